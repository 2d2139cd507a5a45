"""Saved conversations: JSON, which can be loaded again; Markdown and plain text for reading.

{"format": "lepton-chat", "version": 1, "model": "name of the model",
 "messages": [{"role": "system", "content": "..."},
              {"role": "user", "content": "..."},
              {"role": "assistant", "content": "...", "reasoning": "...", "finish": "stop"}]}
"""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

from lepton_cli.engine.chat.conversation import Conversation, Turn
from lepton_cli.engine.events import FinishReason
from lepton_cli.engine.library.paths import read_chat_file, write_private
from lepton_cli.engine.text.messages import Message, Role
from lepton_cli.engine.text.reading import decoded
from quant.errors import UsageError

FORMAT = "lepton-chat"
VERSION = 1


@dataclass(frozen=True, slots=True)
class SavedChat:
    """A conversation, and the name of the model it was last with."""

    conversation: Conversation
    model: str | None


def write_chat(path: Path, chat: SavedChat) -> None:
    """Writes the file atomically, in the format of its suffix.

    Raises UsageError for a suffix that is not in WRITERS, or a path that cannot be written.
    """
    writer = WRITERS.get(path.suffix.lower())
    if writer is None:
        raise UsageError(
            f"{path}: {path.suffix or 'no suffix'} is not a format that chats are saved in",
            f"end the name with one of {' '.join(WRITERS)}",
        )
    write_private(path, writer(chat))


def read_chat(path: Path) -> SavedChat:
    """Reads a chat that `write_chat` wrote as JSON. Raises UsageError for anything else."""
    try:
        data = json.loads(decoded(read_chat_file(path), str(path), path))
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise UsageError(
            f"{path} is not a saved chat: {error}", "only chats saved as .json can be loaded"
        ) from error
    return _chat(path, data)


def _chat(path: Path, data: Any) -> SavedChat:
    if not isinstance(data, dict) or data.get("format") != FORMAT:
        raise UsageError(f'{path} is not a saved chat: it has no "format": "{FORMAT}"')
    if data.get("version") != VERSION:
        raise UsageError(
            f"{path} is a chat of version {data.get('version')!r:.60}; this Lepton reads {VERSION}",
            "update Lepton",
        )
    records, model = data.get("messages"), data.get("model")
    if not isinstance(records, list):
        raise UsageError(f'{path}: "messages" is not a list')
    turns = [read_turn(f"{path}: message {i}", record) for i, record in enumerate(records, 1)]
    leads = bool(turns) and turns[0].message.role == "system"
    if any(turn.message.role == "system" for turn in turns[leads:]):
        raise UsageError(f"{path}: only the first message may have the role system")
    system = turns[0].message.content if leads else None
    named = model if isinstance(model, str) else None
    return SavedChat(Conversation(system, tuple(turns[leads:])), named)


def read_turn(where: str, record: Any) -> Turn:
    """A turn from its JSON record. The message of its UsageError begins with `where`."""
    if not isinstance(record, dict):
        raise UsageError(f"{where} is not an object")
    role: Any = record.get("role")
    reason: Any = record.get("finish")
    if role not in get_args(Role):
        raise UsageError(f"{where}: unknown role {role!r:.60}")
    if reason is not None and reason not in get_args(FinishReason):
        raise UsageError(f"{where}: unknown finish {reason!r:.60}")
    content: Any = record.get("content")
    reasoning: Any = record.get("reasoning")
    if not _is_text(content) or not (reasoning is None or _is_text(reasoning)):
        raise UsageError(f"{where}: content and reasoning must be text")
    return Turn(Message(role, content, reasoning), reason)


def _is_text(value: Any) -> bool:
    """Whether it is valid text: JSON can contain lone surrogates, which are not."""
    return isinstance(value, str) and not any("\ud800" <= c <= "\udfff" for c in value)


def _json(chat: SavedChat) -> str:
    messages = [turn_record(turn) for turn in _all_turns(chat.conversation)]
    data = {"format": FORMAT, "version": VERSION, "model": chat.model, "messages": messages}
    return json.dumps(data, ensure_ascii=False, indent=1) + "\n"


def turn_record(turn: Turn) -> dict[str, str]:
    """A turn as the JSON record that `read_turn` reads."""
    message = turn.message
    record = {"role": message.role, "content": message.content}
    if message.reasoning is not None:
        record["reasoning"] = message.reasoning
    return record if turn.reason is None else {**record, "finish": turn.reason}


def _markdown(chat: SavedChat) -> str:
    return "\n".join(
        _sections(chat, "## {}\n", lambda thought: "> " + thought.replace("\n", "\n> "))
    )


def _text(chat: SavedChat) -> str:
    return "\n".join(_sections(chat, "{}:", lambda thought: f"[thinking]\n{thought}\n[answer]"))


def _sections(chat: SavedChat, title: str, thinking: Callable[[str], str]) -> Iterator[str]:
    for turn in _all_turns(chat.conversation):
        message = turn.message
        yield title.format(message.role.capitalize())
        if message.reasoning:
            yield thinking(message.reasoning.strip()) + "\n"
        yield message.content.strip() + "\n"
        if turn.reason not in (None, "stop"):
            yield f"({turn.reason})\n"


def _all_turns(conversation: Conversation) -> tuple[Turn, ...]:
    system = () if conversation.system is None else (Turn(conversation.messages[0]),)
    return (*system, *conversation.turns)


WRITERS: dict[str, Callable[[SavedChat], str]] = {".json": _json, ".md": _markdown, ".txt": _text}
"""Suffix -> function that formats a chat."""
