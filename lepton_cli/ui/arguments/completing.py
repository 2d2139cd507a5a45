"""Completion of names, in shells and in the chat. Imports on demand, for start-up time."""

from collections.abc import Callable, Iterable

from quant.errors import LeptonError


def complete_model(incomplete: str) -> list[str]:
    return _matching(incomplete, model_names)


def complete_pull(incomplete: str) -> list[str]:
    from lepton_cli.engine.library.catalogue import load_aliases

    return _matching(incomplete, load_aliases)


def complete_chat(incomplete: str) -> list[str]:
    from lepton_cli.engine.chat.chats import chat_names

    return _matching(incomplete, chat_names)


def model_names() -> list[str]:
    """Models on this disk, and the built-in one."""
    from lepton_cli.engine.library.known_models import known_models

    return [known.name for known in known_models() if known.path is not None]


def _matching(incomplete: str, names: Callable[[], Iterable[str]]) -> list[str]:
    """Names with this prefix. On errors returns none (the shell then completes files)."""
    try:
        return [name for name in names() if name.startswith(incomplete)]
    except (LeptonError, OSError):
        return []
