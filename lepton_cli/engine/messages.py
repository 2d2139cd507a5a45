"""A conversation's messages, and the prompt text that a template makes of them."""

from dataclasses import dataclass
from typing import Literal

Role = Literal["system", "user", "assistant"]


@dataclass(frozen=True, slots=True)
class Message:
    """One turn's words; `reasoning` is what the model thought before an answer, without its tags."""

    role: Role
    content: str
    reasoning: str | None = None


@dataclass(frozen=True, slots=True)
class Segment:
    """A stretch of prompt: `trusted` text (the template's own) may become special tokens, a person's may not."""

    text: str
    trusted: bool
