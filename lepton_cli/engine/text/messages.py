"""A conversation's messages, and the prompt text that a template makes of them."""

from dataclasses import dataclass
from typing import Literal

Role = Literal["system", "user", "assistant"]


@dataclass(frozen=True, slots=True)
class Message:
    """One turn's words; `reasoning` is what was thought before an answer, without its tags."""

    role: Role
    content: str
    reasoning: str | None = None


@dataclass(frozen=True, slots=True)
class Segment:
    """A stretch of prompt: only `trusted` text, the template's own, may become special tokens."""

    text: str
    trusted: bool
