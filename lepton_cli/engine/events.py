"""The events of an answer: small frozen records without arrays, which the screen consumes."""

from dataclasses import dataclass
from typing import Literal

from quant.errors import ConstraintError

FinishReason = Literal["stop", "length", "context", "interrupted"]
"""`stop`: end of text or a stop string; `length`: the `-n` limit; `context`: the window is full."""


@dataclass(frozen=True, slots=True)
class Stats:
    """Counts in tokens, times in seconds."""

    prompt_tokens: int
    cached_tokens: int  # prompt tokens taken from the KV cache
    dropped_tokens: int  # prompt tokens dropped by the overflow policy
    generated_tokens: int
    prefill_seconds: float
    decode_seconds: float
    context_used: int
    context_size: int
    guessed_tokens: int = 0  # draft tokens (see speculation.py)
    accepted_tokens: int = 0  # draft tokens that were accepted
    checks: int = 0  # passes that ran draft tokens
    reasoning_tokens: int = 0  # generated tokens that belong to the reasoning


@dataclass(frozen=True, slots=True)
class Prefill:
    """Progress of the prefill, in tokens."""

    done: int
    total: int


@dataclass(frozen=True, slots=True)
class Filled:
    """Progress of an answer by diffusion, in tokens: they are not found in their order."""

    done: int
    total: int


@dataclass(frozen=True, slots=True)
class Text:
    """A piece of the answer: whole characters."""

    text: str


@dataclass(frozen=True, slots=True)
class Reasoning:
    """A piece of the model's reasoning before the answer: whole characters."""

    text: str


@dataclass(frozen=True, slots=True)
class TokenLogprobs:
    """A token's log-probability, and the most likely tokens at its position with theirs."""

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
    unmet: ConstraintError | None = None  # why the answer does not meet its constraint
    logprobs: tuple[TokenLogprobs, ...] = ()  # of each token, if requested


Event = Prefill | Filled | Text | Reasoning | Done
