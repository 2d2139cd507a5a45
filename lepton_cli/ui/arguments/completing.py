"""Completion of names, in shells and at the prompt. Imports are late, for start-up time."""

from collections.abc import Callable, Iterable

from quant.errors import LeptonError


def complete_model(incomplete: str) -> list[str]:
    return _beginning(incomplete, model_names)


def complete_chat(incomplete: str) -> list[str]:
    from lepton_cli.engine.chat.chats import chat_names

    return _beginning(incomplete, chat_names)


def model_names() -> list[str]:
    """Those that can be opened as they are: on this disk, or part of Lepton."""
    from lepton_cli.engine.library.known_models import known_models

    return [known.name for known in known_models() if known.path is not None]


def _beginning(incomplete: str, names: Callable[[], Iterable[str]]) -> list[str]:
    """Where none begins so, files are completed; an error would garble the line."""
    try:
        return [name for name in names() if name.startswith(incomplete)]
    except (LeptonError, OSError):
        return []
