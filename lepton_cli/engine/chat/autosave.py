"""Saves a chat while it goes on: each finished turn is appended as a line to the chat's file.

Lines are only appended, never changed. So a crash costs at most the line that was being written,
and two programs that continue the same chat add branches instead of overwriting each other:

{"format": "lepton-session", "version": 1}
{"turn": "8a41f0", "after": null, "role": "user", "content": "..."}
{"turn": "77b2c9", "after": "8a41f0", "role": "assistant", "content": "...", "finish": "stop",
 "tokens": [9707, 0], "identity": "0b08f6"}
{"at": "77b2c9", "time": 1784812345, "model": "name of the model", "file": "/where/it/was.gguf",
 "adapters": [{"path": "/a.gguf", "scale": 1.0, "layers": null, "digest": "5f0c11"}]}

`after` is the previous turn, `at` the current one. Tokens are valid only for the model `identity`.
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
from lepton_cli.engine.library.json_values import Plain
from lepton_cli.engine.library.outputs import append_lines
from lepton_cli.engine.library.paths import open_chat, private_folder, read_chat_file, state_folder
from quant.errors import LeptonError, UsageError

FORMAT, VERSION = "lepton-session", 1
SUFFIX = ".jsonl"
MAX_NAME = 40  # characters of a chat's name, made of its first words
MAX_HEADER = 4096  # bytes of a file's first line


class ModelInfo(Protocol):
    """What is recorded about the model of a chat."""

    @property
    def name(self) -> str: ...
    @property
    def path(self) -> Path: ...
    @property
    def identity(self) -> str: ...
    @property
    def adapters(self) -> "Adapters": ...


class Adapters(Protocol):
    """The adapters of an open model."""

    def saved(self) -> list[Plain]: ...


@dataclass(slots=True)
class SavedSession:
    """A chat that was read from disk."""

    path: Path
    tree: Tree = field(default_factory=Tree)
    current: str | None = None  # the name of the last turn
    model: str | None = None
    file: Path | None = None
    adapters: list[Any] = field(default_factory=list)
    damaged: int = 0  # unreadable lines

    @property
    def conversation(self) -> Conversation:
        return self.tree.conversation(self.current)


class Autosave:
    """Appends new turns of a tree to its file. `failure` says why the last ones are not saved."""

    def __init__(self, folder: Path, resumed: SavedSession | None = None) -> None:
        self.path = None if resumed is None else resumed.path
        self.failure: str | None = None
        self._folder = folder
        self._written = set[str]() if resumed is None else set(resumed.tree.nodes)
        self._last_position = None
        if resumed is not None:
            self._last_position = _position(
                resumed.current, resumed.model, resumed.file, resumed.adapters
            )

    def record(self, tree: Tree, current: str | None, model: ModelInfo) -> None:
        """Saves new turns and the current one. Sets `failure` instead of raising.

        A chat without a question gets no file.
        """
        if self.path is not None and not self.path.exists():  # moved away: begin a new one
            self.path, self._last_position = None, None
            self._written.clear()
        new = [node for node in tree.nodes.values() if node.name not in self._written]
        adapters = model.adapters.saved()
        position = _position(current, model.name, model.path.absolute(), adapters)
        first = _first_question(new)
        if (self.path is None and first is None) or not (new or position != self._last_position):
            return
        end = {**position, "time": int(time.time())}
        records = [*(_turn_record(node, model) for node in new), end]
        try:
            self._append(b"".join(map(_json_line, records)), first or "")
        except OSError as error:
            self.failure = error.strerror or str(error)
        except LeptonError as error:
            self.failure = f"{error.message}; {error.hint}" if error.hint else error.message
        else:
            self.failure, self._last_position = None, position
            self._written.update(node.name for node in new)

    def _append(self, data: bytes, words: str) -> None:
        if self.path is not None:
            with _open_file(self.path, os.O_APPEND) as handle:
                append_lines(handle, data)
            return
        path = _create_file(private_folder(self._folder), _file_name(words))
        try:
            with _open_file(path, os.O_APPEND) as handle:
                append_lines(handle, _json_line({"format": FORMAT, "version": VERSION}) + data)
        except OSError:  # a full disk: no file is better than half a header
            path.unlink(missing_ok=True)
            raise
        self.path = path


def sessions_folder() -> Path:
    return state_folder() / "sessions"


def is_session(path: Path) -> bool:
    """Whether the file's header is that of an autosaved chat."""
    try:
        with open(open_chat(path), "rb") as file:
            head = _parse(file.readline(MAX_HEADER))
    except (OSError, UsageError):
        return False
    return head is not None and head.get("format") == FORMAT


def read_session(path: Path, identity: str | None = None) -> SavedSession:
    """Reads an autosaved chat; keeps token ids only of the model with this `identity`.

    Skips damaged lines. Raises UsageError for a file that is not a chat, or that others could have
    written.
    """
    try:
        first, *lines = read_chat_file(path).split(b"\n")
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}") from error
    head = _parse(first)
    if head is None or head.get("format") != FORMAT:
        raise UsageError(f'{path} is not a saved chat: it has no "format": "{FORMAT}"')
    if head.get("version") != VERSION:
        message = (
            f"{path} is a chat of version {head.get('version')!r}; this Lepton reads {VERSION}"
        )
        raise UsageError(message, "update Lepton")
    session = SavedSession(path)
    for line in filter(None, lines):
        try:
            _add_record(session, _parse(line) or {}, identity)
        except UsageError:
            session.damaged += 1
    return session


def _add_record(session: SavedSession, record: dict[str, Any], identity: str | None) -> None:
    """Raises UsageError for an invalid record, or one that follows a missing turn."""
    nodes, place = session.tree.nodes, f"{session.path}"
    if "at" in record:
        current, model, file = (record.get(key) for key in ("at", "model", "file"))
        if not _is_known(current, nodes):
            raise UsageError(f"{place}: there is no turn {current!r}")
        session.current, session.model = current, model if isinstance(model, str) else None
        session.file = Path(file) if isinstance(file, str) else None
        adapters = record.get("adapters")
        session.adapters = adapters if isinstance(adapters, list) else []
        return
    name, after = record.get("turn"), record.get("after")
    if not isinstance(name, str) or not _is_known(after, nodes):
        raise UsageError(f"{place}: a turn without a valid predecessor")
    turn, tokens = read_turn(place, record), record.get("tokens")
    if turn.message.role == "system" and after is not None:
        raise UsageError(f"{place}: a system prompt in the middle of the chat")
    mine = identity is not None and record.get("identity") == identity
    if mine and isinstance(tokens, list) and all(type(token) is int for token in tokens):
        turn = replace(turn, token_ids=tuple(tokens))
    nodes.setdefault(name, Node(name, after, turn))


def _is_known(name: Any, nodes: Collection[str]) -> bool:
    """Whether a turn can follow `name`: a known turn, or None for the beginning."""
    return name is None or (isinstance(name, str) and name in nodes)


def _turn_record(node: Node, model: ModelInfo) -> dict[str, Any]:
    record: dict[str, Any] = {"turn": node.name, "after": node.parent, **turn_record(node.turn)}
    if node.turn.token_ids:
        record |= {"tokens": node.turn.token_ids, "identity": model.identity}
    return record


def _position(
    current: str | None, model: str | None, file: Path | None, adapters: list[Any]
) -> dict[str, Any]:
    where = {"at": current, "model": model, "file": None if file is None else str(file)}
    return {**where, "adapters": adapters} if adapters else where


def _first_question(nodes: Sequence[Node]) -> str | None:
    messages = (node.turn.message for node in nodes)
    return next((message.content for message in messages if message.role == "user"), None)


def _parse(line: bytes) -> dict[str, Any] | None:
    try:
        data = json.loads(line)
    except (ValueError, RecursionError):  # cut off, or not text
        return None
    return data if isinstance(data, dict) else None


def _json_line(record: dict[str, Any]) -> bytes:
    """One line of JSON. A lone surrogate (input that is not UTF-8) is replaced."""
    return json.dumps(record, ensure_ascii=False).encode(errors="replace") + b"\n"


@contextmanager
def _open_file(path: Path, flags: int) -> Iterator[int]:
    """The file's descriptor; a new file is private (0600)."""
    handle = open_chat(path, os.O_RDWR | flags)
    try:
        yield handle
    finally:
        os.close(handle)


def _create_file(folder: Path, stem: str) -> Path:
    """A new empty file, numbered if another chat begins with the same words."""
    for number in count(1):
        path = folder / f"{stem}{f'-{number}' if number > 1 else ''}{SUFFIX}"
        try:
            with _open_file(path, os.O_CREAT | os.O_EXCL):
                break
        except FileExistsError:
            continue
    return path


def _file_name(words: str) -> str:
    """A file name from the first words of a text: letters and digits of any script."""
    found: list[str] = re.findall(r"[^\W_]+", words.lower())
    name, *more = found or ["chat"]
    for word in more:
        if len(name) + len(word) >= MAX_NAME:
            break
        name += f"-{word}"
    return name[:MAX_NAME]
