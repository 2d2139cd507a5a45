"""One answer as it grows: logits in, a token and the events that it makes out, until a reason.

It knows nothing of the window or of other answers: whoever runs the model enters the tokens.
"""

import math
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from lepton_cli.engine.events import Event, FinishReason, Text
from lepton_cli.engine.generation import Generation
from lepton_cli.engine.sampling import Sampler
from lepton_cli.engine.streams import (
    ReasoningFormat,
    ReasoningSplitter,
    StopMatcher,
    Utf8Stream,
    begins_in_thought,
    reasoning_token_ids,
)
from lepton_cli.engine.tokenizer import Tokenizer


class Answer:
    """`drawn` are its tokens so far; `reason` says why it has ended, None while it goes on."""

    def __init__(
        self,
        prompt: Sequence[int],
        tokenizer: Tokenizer,
        sampler: Sampler,
        generation: Generation,
        reasoning: ReasoningFormat | None,
    ) -> None:
        """`reasoning` is how the model writes its thoughts, where these are to be told apart."""
        self.drawn: list[int] = []
        self.reason: FinishReason | None = None
        self.stop_string: str | None = None
        self._tokenizer, self._sampler, self._generation = tokenizer, sampler, generation
        self._characters, self._stops = Utf8Stream(), StopMatcher(generation.stop)
        self._splitter: ReasoningSplitter | None = None
        self._rendered: frozenset[int] = frozenset()
        if generation.split_reasoning:
            self._rendered = reasoning_token_ids(tokenizer, reasoning)
            thinking = begins_in_thought(tokenizer, reasoning, prompt)
            self._splitter = ReasoningSplitter(reasoning, in_thought=thinking)
        for token in prompt:
            sampler.accept(token)
        if generation.max_tokens is not None and generation.max_tokens <= 0:
            self.reason = "length"

    @property
    def left(self) -> float:
        """How many tokens may still be drawn."""
        most = self._generation.max_tokens
        return math.inf if most is None else most - len(self.drawn)

    def draw(self, logits: NDArray[np.float32]) -> list[Event]:  # (V,)
        """Draws the next token. Unless `reason` is set, `drawn[-1]` is to be entered."""
        token = self._sampler.sample(logits)
        if token in self._tokenizer.end_of_generation and not self._generation.ignore_eos:
            self.reason = "stop"
            return []
        self._sampler.accept(token)
        self.drawn.append(token)
        data = self._tokenizer.token_bytes(token, render_special=token in self._rendered)
        text, self.stop_string = self._stops.feed(self._characters.feed(data))
        if self.stop_string is not None:
            self.reason = "stop"
        elif len(self.drawn) == self._generation.max_tokens:
            self.reason = "length"
        return self._show(text)

    def finish(self) -> Iterator[Event]:
        """What was held back, once the answer has ended."""
        if self.stop_string is None:
            yield from self._show(self._stops.feed(self._characters.flush())[0])
            yield from self._show(self._stops.flush())
        yield from self._splitter.flush() if self._splitter else ()

    def _show(self, text: str) -> list[Event]:
        if not text:
            return []
        return list(self._splitter.feed(text)) if self._splitter else [Text(text)]
