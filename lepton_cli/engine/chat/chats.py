"""The chats on this disk, by their names: those kept as they happened, and those that were saved.

A name is that of a kept chat, of a chat that `/save NAME` wrote, or of any file of either kind.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from lepton_cli.engine.chat.autosave import is_session, read_session, sessions_folder
from lepton_cli.engine.chat.conversation import Conversation
from lepton_cli.engine.chat.saved import SavedChat, read_chat
from lepton_cli.engine.library.paths import state_folder
from lepton_cli.engine.library.suggestions import did_you_mean
from quant.errors import UsageError

ENDINGS = (".jsonl", ".json")
LISTED = "`lepton sessions` lists the chats"


@dataclass(frozen=True, slots=True)
class Chat:
    """A chat that was read. `texts` is all that was ever said in it, also in other branches."""

    path: Path
    changed: float  # seconds since 1970
    model: str | None
    conversation: Conversation
    texts: tuple[str, ...]

    @property
    def name(self) -> str:
        return self.path.stem

    @property
    def first_words(self) -> str:
        """The first line of the first question, or of what was said and taken back."""
        asked = [turn.message.content for turn in self.conversation.turns]
        return next(iter([*asked, *self.texts]), "").strip().partition("\n")[0]

    @property
    def date(self) -> str:
        return time.strftime("%Y-%m-%d %H:%M", time.localtime(self.changed))


def saved_folder() -> Path:
    """Where `/save NAME` writes."""
    return state_folder() / "chats"


def kept_first() -> tuple[Path, Path]:
    """The folders in the order in which `--resume` looks for a name."""
    return sessions_folder(), saved_folder()


def saved_first() -> tuple[Path, Path]:
    """The folders in the order in which `/load`, `/save` and `--load` look for a name."""
    return saved_folder(), sessions_folder()


def chats_in(*folders: Path) -> list[Path]:
    """The one that was used last first."""
    found = []
    for path in (path for folder in folders for path in folder.glob("*")):
        try:
            if path.suffix in ENDINGS:
                found.append((path.stat().st_mtime, path))
        except OSError:  # it has gone meanwhile
            continue
    return [path for _, path in sorted(found, reverse=True)]


def latest_session(folder: Path) -> Path:
    """Raises UsageError where none is kept."""
    known = chats_in(folder)
    if not known:
        raise UsageError("no chat is kept yet", f"chats in a terminal are kept in {folder}")
    # what is no chat of ours does not stand in its way
    return next(filter(is_session, known), known[0])


def find_chat(name: str, folders: Sequence[Path]) -> Path:
    """The chat of that name, or the only one whose name begins so, or the file.

    Raises UsageError with the names that are near.
    """
    path = Path(name).expanduser()
    if path.name != name or path.suffix in ENDINGS:  # no bare name
        if not path.is_file():
            raise UsageError(f"{path}: no such file", LISTED)
        return path
    known: dict[str, Path] = {}
    for folder in folders:
        for found in chats_in(folder):
            known.setdefault(found.stem, found)
    if name in known:
        return known[name]
    begun = [stem for stem in known if name and stem.startswith(name)]
    if len(begun) == 1:
        return known[begun[0]]
    if not begun and path.is_file() and path.suffix != ".gguf":
        return path
    raise UsageError(f"no chat is called {name!r}", _hint(name, list(known)))


def _hint(name: str, known: Sequence[str]) -> str:
    if name.endswith(".gguf"):
        return "the model comes first: lepton chat MODEL --resume"
    if not known:
        return "no chat is kept yet; chats in a terminal are"
    return did_you_mean(name, known) or f"the latest are {', '.join(known[:3])}; {LISTED}"


def read_any(path: Path) -> Chat:
    """Raises UsageError for what is no chat."""
    if is_session(path):
        kept = read_session(path)
        texts = tuple(node.turn.message.content for node in kept.tree.nodes.values())
        return Chat(path, path.stat().st_mtime, kept.model, kept.conversation, texts)
    saved = read_chat(path)
    texts = tuple(message.content for message in saved.conversation.messages)
    return Chat(path, path.stat().st_mtime, saved.model, saved.conversation, texts)


def as_saved(chat: Chat) -> SavedChat:
    return SavedChat(chat.conversation, chat.model)


def chat_names() -> list[str]:
    """Of every chat that a command takes, the latest first."""
    return list(dict.fromkeys(path.stem for path in chats_in(*kept_first())))


def saved_names() -> list[str]:
    return sorted(path.stem for path in chats_in(saved_folder()))
