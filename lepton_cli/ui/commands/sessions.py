"""`lepton sessions`: the chats on this disk, listed, searched, shown, exported and deleted."""

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from lepton_cli.engine.chat.chats import (
    Chat,
    as_saved,
    chats_in,
    find_chat,
    read_any,
    sessions_first,
)
from lepton_cli.engine.chat.saved import WRITERS, write_chat
from lepton_cli.engine.library.json_values import Plain
from lepton_cli.ui.reports.numbers import columns
from lepton_cli.ui.terminal.asking import agrees, can_ask
from lepton_cli.ui.terminal.notes import note
from lepton_cli.ui.terminal.output import emit, emit_json
from lepton_cli.ui.terminal.terminal import width_of
from lepton_cli.ui.terminal.wrapping import cut
from quant.errors import LeptonError, UsageError

SCHEMA = "lepton.sessions.v1"
BEFORE = 8  # characters shown before a word that was found
SHARES = {"name": 0.4, "model": 0.15}  # largest share of a row, so that the text is visible


def show_list(*, json: bool) -> None:
    _print([(chat, chat.first_words) for chat in _readable()], ("name", "date", "model"), json=json)


def search(words: Sequence[str], *, json: bool) -> None:
    """Prints the chats with all the words, each with a line that has the first of them.

    Raises LeptonError if there is none.
    """
    wanted = [word.casefold() for word in words]
    found = []
    for chat in _readable():
        said = "\n".join(chat.texts).casefold()
        if all(word in said for word in wanted):
            found.append((chat, _line_with(wanted[0], chat.texts)))
    if not found and not json:
        raise LeptonError(f"no chat contains {' and '.join(words)}", "`lepton sessions` lists all")
    _print(found, ("name", "date"), json=json)


def show(name: str, *, json: bool) -> None:
    suffix = ".json" if json else ".md"
    emit(sys.stdout, WRITERS[suffix](as_saved(read_any(find_chat(name, sessions_first())))))


def export(name: str, file: str | None, *, force: bool) -> None:
    """Writes a chat; without a file, or with -, Markdown on stdout. Raises UsageError."""
    if file in (None, "-"):
        show(name, json=False)
        return
    chat, path = read_any(find_chat(name, sessions_first())), Path(str(file)).expanduser()
    if path.exists() and not force:
        raise UsageError(f"{path} exists already", "choose another name, or replace it with -f")
    write_chat(path, as_saved(chat))
    note(f"{chat.name} is in {path}")


def remove(names: Sequence[str], *, yes: bool) -> None:
    """Deletes chats after asking; needs whole names. Raises UsageError without a terminal."""
    paths = [_exactly(name) for name in names]
    if not yes and not can_ask():
        what = f"{len(paths)} chats" if len(paths) > 1 else paths[0].stem
        raise UsageError(
            f"cannot ask whether to delete {what}: no terminal", "--yes deletes without asking"
        )
    for path in paths:
        if yes or agrees(f"delete {path.parent.name}/{path.name}?"):
            path.unlink()
            emit(sys.stdout, f"deleted {path}\n")


def _exactly(name: str) -> Path:
    path = find_chat(name, sessions_first())
    if name not in (path.stem, path.name, str(path)):
        raise UsageError(
            f"no chat is called {name!r}", f"to delete {path.stem}, type its whole name"
        )
    return path


def _readable() -> Iterator[Chat]:
    """All chats; reports unreadable ones on stderr."""
    for path in chats_in(*sessions_first()):
        try:
            yield read_any(path)
        except UsageError as error:
            note(error.message)


def _line_with(word: str, texts: Sequence[str]) -> str:
    """The line from shortly before the word, so that it is visible when rows are cut."""
    lines = (line.strip() for text in texts for line in text.splitlines())
    line = next((line for line in lines if word in line.casefold()), "")
    start = line.casefold().find(word) - BEFORE
    return f"…{line[start:]}" if start > 0 else line


def _print(found: Sequence[tuple[Chat, str]], shown: Sequence[str], *, json: bool) -> None:
    """Prints a table of chats with a text each; `shown` are the columns before it."""
    if json:
        records: list[Plain] = [_record(chat, words) for chat, words in found]
        emit_json(sys.stdout, {"schema": SCHEMA, "sessions": records})
        return
    if not found:
        note(f"no chat is saved yet; chats in a terminal are saved in {sessions_first()[0]}")
        return
    width = width_of(sys.stdout)
    rows = [
        (*(_cell(chat, name, width) for name in shown), " ".join(words.split()))
        for chat, words in found
    ]
    lines = columns([(*shown, "words"), *rows]).splitlines()
    emit(sys.stdout, "".join(f"{line if width is None else cut(line, width)}\n" for line in lines))


def _cell(chat: Chat, name: str, width: int | None) -> str:
    text = getattr(chat, name) or ""
    return text if width is None or name not in SHARES else cut(text, int(width * SHARES[name]))


def _record(chat: Chat, words: str) -> Plain:
    return {
        "name": chat.name,
        "path": str(chat.path),
        "time": int(chat.changed),
        "model": chat.model,
        "messages": len(chat.conversation.turns),
        "words": words,
    }
