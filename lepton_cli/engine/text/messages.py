"""Messages of a conversation, and segments of the prompt made from them."""

from dataclasses import dataclass
from typing import Literal

Role = Literal["system", "user", "assistant"]


@dataclass(frozen=True, slots=True)
class Message:
    """A message; `reasoning` is the reasoning before an answer, without tags."""

    role: Role
    content: str
    reasoning: str | None = None


@dataclass(frozen=True, slots=True)
class Segment:
    """A part of a prompt; only `trusted` text (the template's own) may become special tokens."""

    text: str
    trusted: bool
