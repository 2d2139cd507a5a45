"""Finds chats on this disk by name: autosaved ones, and those saved with `/save`.

A name is that of an autosaved chat, of one that `/save NAME` wrote, or the path of a file.
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

SUFFIXES = (".jsonl", ".json")
LIST_HINT = "`lepton sessions` lists the chats"


@dataclass(frozen=True, slots=True)
class Chat:
    """A chat read from disk. `texts` are all messages, those of other branches included."""

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
        """The first line of the first question, or of a question that was undone."""
        asked = [turn.message.content for turn in self.conversation.turns]
        return next(iter([*asked, *self.texts]), "").strip().partition("\n")[0]

    @property
    def date(self) -> str:
        return time.strftime("%Y-%m-%d %H:%M", time.localtime(self.changed))


def saved_folder() -> Path:
    """Where `/save NAME` writes."""
    return state_folder() / "chats"


def sessions_first() -> tuple[Path, Path]:
    """The folders in the order in which `--resume` searches them."""
    return sessions_folder(), saved_folder()


def saved_first() -> tuple[Path, Path]:
    """The folders in the order in which `/load`, `/save` and `--load` search them."""
    return saved_folder(), sessions_folder()


def chats_in(*folders: Path) -> list[Path]:
    """The files of chats, the latest first."""
    found = []
    for path in (path for folder in folders for path in folder.glob("*")):
        try:
            if path.suffix in SUFFIXES:
                found.append((path.stat().st_mtime, path))
        except OSError:  # deleted meanwhile
            continue
    return [path for _, path in sorted(found, reverse=True)]


def latest_session(folder: Path) -> Path:
    """The last autosaved chat. Raises UsageError if there is none."""
    known = chats_in(folder)
    if not known:
        raise UsageError("no chat is saved yet", f"chats in a terminal are saved in {folder}")
    # files that are not chats are skipped
    return next(filter(is_session, known), known[0])


def find_chat(name: str, folders: Sequence[Path]) -> Path:
    """The chat of that name, else the only one whose name begins with it, else the file.

    Raises UsageError with similar names.
    """
    path = Path(name).expanduser()
    if path.name != name or path.suffix in SUFFIXES:  # a path
        if not path.is_file():
            raise UsageError(f"{path}: no such file", LIST_HINT)
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
        return "no chat is saved yet; chats in a terminal are saved"
    return did_you_mean(name, known) or f"the latest are {', '.join(known[:3])}; {LIST_HINT}"


def read_any(path: Path) -> Chat:
    """Reads a chat in either format. Raises UsageError for any other file."""
    if is_session(path):
        session = read_session(path)
        texts = tuple(node.turn.message.content for node in session.tree.nodes.values())
        return Chat(path, path.stat().st_mtime, session.model, session.conversation, texts)
    saved = read_chat(path)
    texts = tuple(message.content for message in saved.conversation.messages)
    return Chat(path, path.stat().st_mtime, saved.model, saved.conversation, texts)


def as_saved(chat: Chat) -> SavedChat:
    return SavedChat(chat.conversation, chat.model)


def chat_names() -> list[str]:
    """The names of all chats, the latest first."""
    return list(dict.fromkeys(path.stem for path in chats_in(*sessions_first())))


def saved_names() -> list[str]:
    return sorted(path.stem for path in chats_in(saved_folder()))
