"""One answer: the prompt is fitted into the window and read, then tokens are drawn to the end."""

import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal

from lepton_cli.engine.events import Done, Event, FinishReason, Prefill, Stats, Text
from lepton_cli.engine.positions import Positions
from lepton_cli.engine.sampling import Sampler, Sampling
from lepton_cli.engine.streams import (
    ReasoningFormat,
    ReasoningSplitter,
    StopMatcher,
    Utf8Stream,
    begins_in_thought,
    reasoning_token_ids,
)
from lepton_cli.engine.tokenizer import Tokenizer
from ops.interface import Interrupted
from quant.errors import ContextOverflowError, UsageError

Overflow = Literal["error", "drop-old", "middle", "shift"]
"""What happens to a prompt that is too long: an error; its beginning, or its middle, is left out.

`shift` leaves out the beginning too, and again whenever the window is full while generating.
"""


@dataclass(frozen=True, slots=True)
class Generation:
    """How an answer is made. `max_tokens` None: until end of text or the window is full."""

    sampling: Sampling = field(default_factory=Sampling)
    max_tokens: int | None = None
    stop: tuple[str, ...] = ()
    overflow: Overflow = "error"
    ignore_eos: bool = False
    split_reasoning: bool = True


def fit(ids: Sequence[int], size: int, overflow: Overflow, keep: int = 0) -> list[int]:
    """The prompt's tokens that enter a window of `size`, which keeps room for an answer.

    The first `keep` tokens always enter: many models are lost without their BOS.
    Raises ContextOverflowError when the policy is `error`, UsageError for an empty prompt.
    """
    if not ids:
        raise UsageError("the prompt is empty", "give it on the command line, with -f, or on stdin")
    if len(ids) < size:
        return list(ids)
    if overflow == "error":
        message = f"the prompt has {len(ids)} tokens, the context {size}"
        hint = "use a larger -c, a shorter prompt, or --overflow drop-old|middle|shift"
        raise ContextOverflowError(message, hint)
    count = max(1, size - size // 4)  # a quarter of the window for the answer
    head = min(count - 1, count // 2 if overflow == "middle" else keep)
    return [*ids[:head], *ids[len(ids) - (count - head) :]]


class Answer:
    """Draws one answer over the positions of a model; `events` may be iterated once."""

    def __init__(
        self,
        positions: Positions,
        tokenizer: Tokenizer,
        sampler: Sampler,
        generation: Generation,
        reasoning: ReasoningFormat | None,
    ) -> None:
        """`reasoning` is how the model writes its thoughts, where these are to be told apart."""
        self._positions, self._tokenizer, self._generation = positions, tokenizer, generation
        self._sampler, self._reasoning = sampler, reasoning
        self._splitter: ReasoningSplitter | None = None
        self._rendered: frozenset[int] = frozenset()
        if generation.split_reasoning:
            self._rendered = reasoning_token_ids(tokenizer, reasoning)
        self._characters, self._stops = Utf8Stream(), StopMatcher(generation.stop)
        self._drawn: list[int] = []
        self._keep, self._turn = 0, 0
        self._stop_string: str | None = None

    def events(
        self, prompt: Sequence[int], interrupt: threading.Event | None = None
    ) -> Iterator[Event]:
        """Prefill, Text and Reasoning events as they come, and Done at the end."""
        self._keep = int(len(prompt) > 0 and prompt[0] == self._tokenizer.bos)
        ids = fit(prompt, self._positions.size, self._generation.overflow, self._keep)
        if self._generation.split_reasoning:
            thinking = begins_in_thought(self._tokenizer, self._reasoning, ids)
            self._splitter = ReasoningSplitter(self._reasoning, in_thought=thinking)
        cached, start = self._positions.reuse(ids), time.perf_counter()
        self._turn = self._positions.turn
        decode_start, reason = start, None
        try:
            for done in self._positions.prefill(ids, interrupt):
                yield Prefill(done, len(ids))
            for token in ids:
                self._sampler.accept(token)
            decode_start = time.perf_counter()
            while reason is None:
                reason, pieces = self._draw(interrupt)
                yield from pieces
        except Interrupted:
            reason = "interrupted"
        if self._stop_string is None:
            yield from self._show(self._stops.feed(self._characters.flush())[0])
            yield from self._show(self._stops.flush())
        yield from self._splitter.flush() if self._splitter else ()
        end = time.perf_counter()
        stats = Stats(
            prompt_tokens=len(ids),
            cached_tokens=cached,
            dropped_tokens=len(prompt) - len(ids),
            generated_tokens=len(self._drawn),
            prefill_seconds=(decode_start if self._drawn else end) - start,
            decode_seconds=end - decode_start if self._drawn else 0.0,
            context_used=len(self._positions.ids),
            context_size=self._positions.size,
        )
        yield Done(reason, self._stop_string, tuple(self._drawn), stats)

    def _draw(self, interrupt: threading.Event | None) -> tuple[FinishReason | None, list[Event]]:
        """One token: drawn, shown, and entered to get the logits for the next."""
        limit = self._generation.max_tokens
        if limit is not None and len(self._drawn) >= limit:
            return "length", []
        if interrupt is not None and interrupt.is_set():
            return "interrupted", []
        self._positions.check(self._turn)
        token = self._sampler.sample(self._positions.logits)
        if token in self._tokenizer.end_of_generation and not self._generation.ignore_eos:
            return "stop", []
        self._sampler.accept(token)
        self._drawn.append(token)
        pieces = self._text(token)
        if self._stop_string is not None:
            return "stop", pieces
        if limit is not None and len(self._drawn) >= limit:
            return "length", pieces
        return self._enter(token, interrupt), pieces

    def _enter(self, token: int, interrupt: threading.Event | None) -> FinishReason | None:
        positions = self._positions
        if len(positions.ids) >= positions.size:
            if self._generation.overflow != "shift":
                return "context"
            positions.shift(self._keep, interrupt)
        positions.enter(token, interrupt)
        return None

    def _text(self, token: int) -> list[Event]:
        data = self._tokenizer.token_bytes(token, render_special=token in self._rendered)
        text, self._stop_string = self._stops.feed(self._characters.feed(data))
        return self._show(text)

    def _show(self, text: str) -> list[Event]:
        if not text:
            return []
        return list(self._splitter.feed(text)) if self._splitter else [Text(text)]
