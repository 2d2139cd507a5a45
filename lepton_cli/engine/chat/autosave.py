"""A chat on disk as it happens: each turn becomes a line of the chat's file when it is there.

Lines are added and never changed. So a crash costs no more than the line that was being written,
and two programs that go on with one chat give it branches instead of overwriting each other:

{"format": "lepton-session", "version": 1}
{"turn": "8a41f0", "after": null, "role": "user", "content": "..."}
{"turn": "77b2c9", "after": "8a41f0", "role": "assistant", "content": "...", "finish": "stop",
 "tokens": [9707, 0], "identity": "0b08f6"}
{"at": "77b2c9", "time": 1784812345, "model": "name of the model", "file": "/where/it/was.gguf"}

`after` is the turn before, `at` where the chat has come to. Tokens count for their model alone.
"""

import json
import os
import re
import time
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from itertools import count
from pathlib import Path
from typing import Any, Protocol

from lepton_cli.engine.chat.branches import Node, Tree
from lepton_cli.engine.chat.conversation import Conversation
from lepton_cli.engine.chat.saved import read_turn, turn_record
from lepton_cli.engine.library.outputs import append_lines
from lepton_cli.engine.library.paths import open_kept, private_folder, read_kept, state_folder
from quant.errors import LeptonError, UsageError

FORMAT, VERSION = "lepton-session", 1
ENDING = ".jsonl"
LONGEST_NAME = 40  # characters of a chat's name, which its first words give
LONGEST_HEAD = 4096  # bytes of a file's first line


class Held(Protocol):
    """What a chat was held with."""

    @property
    def name(self) -> str: ...
    @property
    def path(self) -> Path: ...
    @property
    def identity(self) -> str: ...


@dataclass(slots=True)
class SavedSession:
    """A chat that was read from disk."""

    path: Path
    tree: Tree = field(default_factory=Tree)
    at: str | None = None
    model: str | None = None
    file: Path | None = None
    damaged: int = 0  # lines that say nothing

    @property
    def conversation(self) -> Conversation:
        return self.tree.conversation(self.at)


class Autosave:
    """Writes what a tree has grown by. `failure` says why the last words are not on disk."""

    def __init__(self, folder: Path, kept: SavedSession | None = None) -> None:
        self.path = None if kept is None else kept.path
        self.failure: str | None = None
        self._folder = folder
        self._written = set[str]() if kept is None else set(kept.tree.nodes)
        self._said = None if kept is None else _where(kept.at, kept.model, kept.file)

    def record(self, tree: Tree, at: str | None, held: Held) -> None:
        """A chat without a question is not worth a file. Fails by `failure` alone."""
        if self.path is not None and not self.path.exists():  # somebody moved it: begin another
            self.path, self._said = None, None
            self._written.clear()
        new = [node for node in tree.nodes.values() if node.name not in self._written]
        said, first = _where(at, held.name, held.path.absolute()), _first_words(new)
        if (self.path is None and first is None) or not (new or said != self._said):
            return
        records = [*(_turn_record(node, held) for node in new), {**said, "time": int(time.time())}]
        try:
            self._write(b"".join(map(_line, records)), first or "")
        except OSError as error:
            self.failure = error.strerror or str(error)
        except LeptonError as error:
            self.failure = f"{error.message}; {error.hint}" if error.hint else error.message
        else:
            self.failure, self._said = None, said
            self._written.update(node.name for node in new)

    def _write(self, data: bytes, words: str) -> None:
        if self.path is not None:
            with _opened(self.path, os.O_APPEND) as handle:
                append_lines(handle, data)
            return
        path = _created(private_folder(self._folder), _called(words))
        try:
            with _opened(path, os.O_APPEND) as handle:
                append_lines(handle, _line({"format": FORMAT, "version": VERSION}) + data)
        except OSError:  # a full disk: nothing is better than half a beginning
            path.unlink(missing_ok=True)
            raise
        self.path = path


def sessions_folder() -> Path:
    return state_folder() / "sessions"


def is_session(path: Path) -> bool:
    """Whether the file says that it is a kept chat."""
    try:
        with open(open_kept(path), "rb") as file:
            head = _record(file.readline(LONGEST_HEAD))
    except (OSError, UsageError):
        return False
    return head is not None and head.get("format") == FORMAT


def read_session(path: Path, identity: str | None = None) -> SavedSession:
    """Tokens are taken where the model that they belong to is this one.

    Raises UsageError for a file that is no chat, or that others could have written; of a chat,
    damaged lines are passed over.
    """
    try:
        first, *lines = read_kept(path).split(b"\n")
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}") from error
    head = _record(first)
    if head is None or head.get("format") != FORMAT:
        raise UsageError(f'{path} is not a kept chat: it has no "format": "{FORMAT}"')
    if head.get("version") != VERSION:
        message = (
            f"{path} is a chat of version {head.get('version')!r}; this Lepton reads {VERSION}"
        )
        raise UsageError(message, "update Lepton")
    kept = SavedSession(path)
    for line in filter(None, lines):
        try:
            _take(kept, _record(line) or {}, identity)
        except UsageError:
            kept.damaged += 1
    return kept


def _take(kept: SavedSession, record: dict[str, Any], identity: str | None) -> None:
    """Raises UsageError for a record that says nothing, or builds on what is missing."""
    nodes, place = kept.tree.nodes, f"{kept.path}"
    if "at" in record:
        at, model, file = (record.get(key) for key in ("at", "model", "file"))
        if not _is_place(at, nodes):
            raise UsageError(f"{place}: there is no turn {at!r}")
        kept.at, kept.model = at, model if isinstance(model, str) else None
        kept.file = Path(file) if isinstance(file, str) else None
        return
    name, after = record.get("turn"), record.get("after")
    if not isinstance(name, str) or not _is_place(after, nodes):
        raise UsageError(f"{place}: a turn without a place")
    turn, tokens = read_turn(place, record), record.get("tokens")
    if turn.message.role == "system" and after is not None:
        raise UsageError(f"{place}: a system text amid the chat")
    mine = identity is not None and record.get("identity") == identity
    if mine and isinstance(tokens, list) and all(type(token) is int for token in tokens):
        turn = replace(turn, token_ids=tuple(tokens))
    nodes.setdefault(name, Node(name, after, turn))


def _is_place(name: Any, nodes: Collection[str]) -> bool:
    """Whether a turn can follow there: behind another, or at the beginning."""
    return name is None or (isinstance(name, str) and name in nodes)


def _turn_record(node: Node, held: Held) -> dict[str, Any]:
    record: dict[str, Any] = {"turn": node.name, "after": node.parent, **turn_record(node.turn)}
    if node.turn.token_ids:
        record |= {"tokens": node.turn.token_ids, "identity": held.identity}
    return record


def _where(at: str | None, model: str | None, file: Path | None) -> dict[str, Any]:
    return {"at": at, "model": model, "file": None if file is None else str(file)}


def _first_words(nodes: Sequence[Node]) -> str | None:
    messages = (node.turn.message for node in nodes)
    return next((message.content for message in messages if message.role == "user"), None)


def _record(line: bytes) -> dict[str, Any] | None:
    try:
        data = json.loads(line)
    except (ValueError, RecursionError):  # torn, or no text at all
        return None
    return data if isinstance(data, dict) else None


def _line(record: dict[str, Any]) -> bytes:
    """Half a surrogate pair, from a terminal that sends no UTF-8, must not lose the rest."""
    return json.dumps(record, ensure_ascii=False).encode(errors="replace") + b"\n"


@contextmanager
def _opened(path: Path, flags: int) -> Iterator[int]:
    """A file's handle; a new file is its owner's alone."""
    handle = open_kept(path, os.O_RDWR | flags)
    try:
        yield handle
    finally:
        os.close(handle)


def _created(folder: Path, called: str) -> Path:
    """An empty file that nobody else has: another program may begin a chat with the same words."""
    for number in count(1):
        path = folder / f"{called}{f'-{number}' if number > 1 else ''}{ENDING}"
        try:
            with _opened(path, os.O_CREAT | os.O_EXCL):
                break
        except FileExistsError:
            continue
    return path


def _called(words: str) -> str:
    """The first words of a text as a file's name: letters and digits of any script."""
    found: list[str] = re.findall(r"[^\W_]+", words.lower())
    name, *more = found or ["chat"]
    for word in more:
        if len(name) + len(word) >= LONGEST_NAME:
            break
        name += f"-{word}"
    return name[:LONGEST_NAME]
