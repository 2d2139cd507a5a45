"""Beam search: looks for the most likely whole answers, several partial ones at a time.

Scores are mean log-probabilities of the model's own distribution (Wu et al. 2016 with exponent 1):
samplers and seeds have no effect. Ties go to the earlier beam and the lower id.
"""

import threading
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from itertools import chain

import numpy as np
from numpy.typing import NDArray

from lepton_cli.engine.decoding.answer import no_answer, split_reasoning
from lepton_cli.engine.decoding.generation import Generation
from lepton_cli.engine.decoding.window import Passes
from lepton_cli.engine.events import FinishReason
from lepton_cli.engine.library.sizes import counted
from lepton_cli.engine.sampling.logprobs import log_probabilities
from lepton_cli.engine.text.streaming import ReasoningFormat
from lepton_cli.engine.text.tokenizer import Tokenizer
from ops.interface import Interrupted, Step
from ops.logits import Values
from ops.state.sequence import SequenceState
from quant.errors import ConstraintError, UsageError


@dataclass(frozen=True, slots=True)
class Beam:
    """An answer; `logprob` is the sum over its tokens and, if it has one, its end token."""

    token_ids: tuple[int, ...]
    logprob: float
    reason: FinishReason
    text: str = ""
    reasoning: str = ""
    unmet: ConstraintError | None = None  # why it does not meet its constraint

    @property
    def score(self) -> float:
        return self.logprob / max(1, len(self.token_ids) + (self.reason == "stop"))

    def decoded(
        self,
        prompt: Sequence[int],
        tokenizer: Tokenizer,
        generation: Generation,
        reasoning: ReasoningFormat | None,
        *,
        begins_text: bool = False,
    ) -> "Beam":
        """The same with its text and reasoning; see Answer for `begins_text`."""
        drawn = self.token_ids
        parts = drawn, prompt, tokenizer, generation, reasoning
        text, thought, thinks = split_reasoning(*parts, begins_text=begins_text)
        unmet = no_answer(text, self.reason, len(drawn)) if thinks else None
        return replace(self, text=text, reasoning=thought, unmet=unmet)


@dataclass(frozen=True, slots=True)
class BeamRules:
    """When a beam ends, and which tokens are excluded.

    `stops(ids)` says whether the text of these tokens contains a stop string.
    """

    ends: Collection[int]
    excluded: Collection[int]
    max_tokens: int | None
    stops: Callable[[Sequence[int]], bool]

    @classmethod
    def of(
        cls, generation: Generation, tokenizer: Tokenizer, suppressed: Collection[int]
    ) -> "BeamRules":
        """`suppressed`: tokens that are never drawn."""
        ends = () if generation.ignore_eos else tokenizer.end_of_generation
        excluded = {*suppressed, *(tokenizer.end_of_generation if generation.ignore_eos else ())}
        excluded |= {token for token, bias in generation.sampling.logit_bias if bias == -np.inf}
        return cls(
            ends,
            excluded,
            generation.max_tokens,
            lambda drawn: any(stop in tokenizer.decode(drawn) for stop in generation.stop),
        )


@dataclass(frozen=True, slots=True, eq=False)
class _LiveBeam:
    """A beam that has not ended."""

    ids: tuple[int, ...]
    logprob: float
    state: SequenceState


def check_beams(width: int, most: int, generation: Generation) -> None:
    """Raises UsageError for a number of beams, or a setting, that the search cannot have."""
    if not 1 <= width <= most:
        raise UsageError(counted(width, "beam"), f"it may be 1 to {most}")
    if generation.reasoning_budget > 0:
        message = "a beam search cannot end the reasoning after a number of tokens"
        raise UsageError(message, "leave out --reasoning-budget, or make it 0")


class BeamSearch:
    """A search over one model's passes, with sequence states of its own."""

    def __init__(self, passes: Passes, size: int, rules: BeamRules, width: int) -> None:
        """`size`: the context in positions; `width`: the number of beams."""
        self._passes, self._size, self._rules, self._width = passes, size, rules, width
        self._live: list[_LiveBeam] = []
        self._done: list[Beam] = []

    def run(self, prompt: Sequence[int], interrupt: threading.Event | None = None) -> list[Beam]:
        """At most `width` answers, best first."""
        state, start = SequenceState(self._passes.pool), len(prompt)
        self._live = [_LiveBeam((), 0.0, state)]
        try:
            rows = self._read(prompt, state, interrupt)
            while self._live and not self._decided():
                self._expand(rows, start)
                self._end_at_limits(start)
                if self._live:
                    rows = self._advance(start, interrupt)
        except Interrupted:
            self._end("interrupted")
        finally:
            for beam in self._live:
                beam.state.clear()
        return sorted(self._done, key=lambda beam: -beam.score)[: self._width]

    def _read(
        self, prompt: Sequence[int], state: SequenceState, interrupt: threading.Event | None
    ) -> Values:
        for first in range(0, len(prompt), self._passes.chunk):
            part = prompt[first : first + self._passes.chunk]
            places = np.arange(first, first + len(part), dtype=np.int32)
            last = np.array([len(part) - 1], np.int32)
            step = Step(np.array(part, np.int32), places, last)
            rows = self._passes.run(step, [state], interrupt)
        return np.asarray(rows)

    def _advance(self, start: int, interrupt: threading.Event | None) -> Values:
        """Runs the last token of every beam."""
        count = len(self._live)
        tokens = np.array([beam.ids[-1] for beam in self._live], np.int32)
        places = np.full(count, start + len(self._live[0].ids) - 1, np.int32)
        step = Step(tokens, places, np.arange(count, dtype=np.int32), tuple(range(count)))
        rows = self._passes.run(step, [beam.state for beam in self._live], interrupt)
        return np.asarray(rows)

    def _expand(self, rows: Values, start: int) -> None:
        """Keeps the best continuations of all beams; those that ended move to the results.

        The beams' states hold the prompt of `start` tokens and all ids of the beam.
        """
        length = start + len(self._live[0].ids)
        options = chain.from_iterable(
            self._options(beam, log_probabilities(row))
            for beam, row in zip(self._live, rows, strict=True)
        )
        best = sorted(options, key=lambda option: -option[0])[: 2 * self._width]
        old, self._live = self._live, []
        for logprob, beam, token in best:
            ids = (*beam.ids, token)
            if token in self._rules.ends:
                self._done.append(Beam(beam.ids, logprob, "stop"))
            elif self._rules.stops(ids):
                self._done.append(Beam(ids, logprob, "stop"))
            elif len(self._live) < self._width:
                state, _ = beam.state.fork(length)  # at its end: nothing has to be run again
                self._live.append(_LiveBeam(ids, logprob, state))
        for beam in old:
            beam.state.clear()

    def _options(
        self, beam: _LiveBeam, logprobs: NDArray[np.float64]
    ) -> list[tuple[float, _LiveBeam, int]]:
        logprobs[list(self._rules.excluded)] = -np.inf
        count = min(2 * self._width, len(logprobs))
        chosen = np.argpartition(-logprobs, count - 1)[:count]
        ordered = chosen[np.lexsort((chosen, -logprobs[chosen]))]
        return [
            (beam.logprob + float(logprobs[n]), beam, int(n))
            for n in ordered
            if logprobs[n] > -np.inf
        ]

    def _end_at_limits(self, start: int) -> None:
        """All beams have one length, so the token limit or a full context ends them together."""
        length = len(self._live[0].ids) if self._live else 0
        if length and length == self._rules.max_tokens:
            self._end("length")
        elif length and start + length > self._size:
            self._end("context")

    def _end(self, reason: FinishReason) -> None:
        for beam in self._live:
            self._done.append(Beam(beam.ids, beam.logprob, reason))
            beam.state.clear()
        self._live = []

    def _decided(self) -> bool:
        """Whether no live beam, if it ended here, would be better than the answers found."""
        if len(self._done) < self._width:
            return False
        found = sorted((beam.score for beam in self._done), reverse=True)[self._width - 1]
        return all(Beam(beam.ids, beam.logprob, "length").score <= found for beam in self._live)
