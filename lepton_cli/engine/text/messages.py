"""Messages of a conversation, and segments of the prompt made from them."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import takewhile
from typing import Literal

Role = Literal["system", "user", "assistant", "tool"]


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A call of a tool that an answer asks for; `arguments` is the text of a JSON object."""

    id: str
    name: str
    arguments: str


@dataclass(frozen=True, slots=True)
class Message:
    """A message; `reasoning` is the reasoning before an answer, without tags.

    An answer may have `calls`; a tool's message has the id and the name of its call.
    """

    role: Role
    content: str
    reasoning: str | None = None
    calls: tuple[ToolCall, ...] = ()
    call_id: str | None = None
    name: str | None = None


@dataclass(frozen=True, slots=True)
class Segment:
    """A part of a prompt; only `trusted` text (the template's own) may become special tokens."""

    text: str
    trusted: bool


def with_fewer_systems(messages: Sequence[Message], *, most: int) -> list[Message]:
    """At most `most` (0 or 1) system messages, at the beginning; their text is not lost.

    Those that come first become one; any other goes in front of the next question.
    """
    leading = [message.content for message in takewhile(_is_system, messages)]
    rest = list(messages[len(leading) :])
    turns, waiting = list[Message](), list[str]()
    if most and leading:
        turns.append(Message("system", "\n\n".join(leading)))
    else:
        waiting = leading
    for message in rest:
        if _is_system(message):
            waiting.append(message.content)
        elif waiting and message.role == "user":
            turns.append(replace(message, content="\n".join([*waiting, message.content])))
            waiting = []
        else:
            turns.append(message)
    return [*turns, Message("user", "\n".join(waiting))] if waiting else turns


def _is_system(message: Message) -> bool:
    return message.role == "system"
