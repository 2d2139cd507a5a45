"""What the engine tells whoever listens: small frozen records, never an array, never a print."""

from dataclasses import dataclass
from typing import Literal

from quant.errors import ConstraintError

FinishReason = Literal["stop", "length", "context", "interrupted"]
"""`stop`: end of text or a stop string; `length`: the `-n` limit; `context`: the window is full."""


@dataclass(frozen=True, slots=True)
class Stats:
    """Counts in tokens, times in seconds."""

    prompt_tokens: int
    cached_tokens: int  # of the prompt, taken from the KV cache
    dropped_tokens: int  # of the prompt, left out by the overflow policy
    generated_tokens: int
    prefill_seconds: float
    decode_seconds: float
    context_used: int
    context_size: int
    guessed_tokens: int = 0  # entered ahead of being drawn (see speculation.py)
    accepted_tokens: int = 0  # of those, drawn as guessed


@dataclass(frozen=True, slots=True)
class Prefill:
    """Progress of reading the prompt."""

    done: int
    total: int


@dataclass(frozen=True, slots=True)
class Text:
    """A piece of the answer: whole characters."""

    text: str


@dataclass(frozen=True, slots=True)
class Reasoning:
    """A piece of what the model thinks before it answers: whole characters."""

    text: str


@dataclass(frozen=True, slots=True)
class TokenLogprobs:
    """A token's log-probability, and the likeliest tokens at its place with theirs."""

    token: int
    logprob: float
    top: tuple[tuple[int, float], ...]


@dataclass(frozen=True, slots=True)
class Done:
    """The end of an answer."""

    reason: FinishReason
    stop_string: str | None
    token_ids: tuple[int, ...]
    stats: Stats
    unmet: ConstraintError | None = None  # why the answer is not what it had to be
    logprobs: tuple[TokenLogprobs, ...] = ()  # of each token, where they are wanted


Event = Prefill | Text | Reasoning | Done
