"""Many answers at once: sequences join and leave at every pass of the model.

A pass takes one token of every answer under way, and fills up with prompts, chunk by chunk. Whose
prompt begins as another's takes over that one's blocks (ops/state copies them when they part).
When the cache's memory is used up, the youngest answer gives its blocks back and is read again
later. What an answer says depends on none of this: a row's sums are the same in every pass.
"""

import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from lepton_cli.engine.decoding.answer import Answer
from lepton_cli.engine.decoding.generation import Generation, shifted
from lepton_cli.engine.decoding.window import Passes, common
from lepton_cli.engine.events import Done, Event, Reasoning, Stats, Text
from ops.interface import Interrupted, Step
from ops.logits import RowLogits
from ops.state.sequence import SequenceState
from quant.errors import LeptonError

WORTH_SHARING = 16  # tokens of a common beginning: reading them again costs more than a copy
KEPT = 2  # finished prompts that stay in the cache for those that begin alike


@dataclass(frozen=True, slots=True)
class Request:
    """One answer that is wanted; `key` is the caller's name for it."""

    key: int
    ids: tuple[int, ...]
    generation: Generation


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a request: an answer that ended as `done` says, or an error of its own."""

    key: int
    text: str = ""
    reasoning: str = ""
    done: Done | None = None
    error: LeptonError | None = None


Begin = Callable[[Sequence[int], Generation], tuple[list[int], Answer, int]]


@dataclass(slots=True, eq=False)
class _Sequence:
    """An answer under way: `ids` are to stand in its cache, the first `entered` of them do."""

    request: Request
    prompt: list[int]
    answer: Answer
    keep: int
    state: SequenceState
    ids: list[int]
    entered: int = 0
    cached: int = 0  # of the prompt, taken over from another
    words: list[str] = field(default_factory=list)
    thoughts: list[str] = field(default_factory=list)
    error: LeptonError | None = None
    begun: float = 0.0  # when its prompt first entered
    read: float = 0.0  # when its prompt was read

    @property
    def pending(self) -> int:
        return len(self.ids) - self.entered

    def take(self, events: Iterable[Event]) -> None:
        for event in events:
            if isinstance(event, Text):
                self.words.append(event.text)
            elif isinstance(event, Reasoning):
                self.thoughts.append(event.text)

    def outcome(self, size: int) -> Outcome:
        if self.error:
            return Outcome(self.request.key, error=self.error)
        answer, end = self.answer, time.perf_counter()
        assert answer.reason is not None, "an outcome is of an answer that has ended"
        self.take(answer.finish())
        stats = Stats(
            prompt_tokens=len(self.prompt),
            cached_tokens=self.cached,
            dropped_tokens=len(self.request.ids) - len(self.prompt),
            generated_tokens=len(answer.drawn),
            prefill_seconds=(self.read or end) - (self.begun or end),
            decode_seconds=end - self.read if self.read else 0.0,
            context_used=self.entered,
            context_size=size,
        )
        done = answer.done(stats)
        text, thoughts = "".join(self.words), "".join(self.thoughts)
        return Outcome(self.request.key, text, thoughts, done, done.unmet)


class Batch:
    """Answers over one model's passes; `size` positions each at most, `blocks` of cache in all."""

    def __init__(self, passes: Passes, size: int, blocks: int, begin: Begin) -> None:
        self._passes, self._size, self._blocks, self._begin = passes, size, blocks, begin
        self._foreign = passes.pool.used  # blocks that are none of ours: the model's own window
        self._active: list[_Sequence] = []  # the oldest first
        self._kept: deque[_Sequence] = deque()

    def outcomes(
        self, requests: Iterable[Request], jobs: int, interrupt: threading.Event | None = None
    ) -> Iterator[Outcome]:
        """Takes requests while fewer than `jobs` are under way; outcomes come as answers end."""
        jobs, waiting = min(jobs, self._passes.outputs, self._passes.chunk), iter(requests)
        try:
            more = True
            while more or self._active:
                more = more and not (interrupt is not None and interrupt.is_set())
                while more and len(self._active) < jobs:
                    request = next(waiting, None)
                    more = request is not None
                    if request is not None:
                        yield from self._enter(request)
                if self._active:
                    self._advance(interrupt)
                    yield from self._ended()
        finally:
            for sequence in [*self._active, *self._kept]:
                sequence.state.clear()
            self._active.clear()
            self._kept.clear()

    def _enter(self, request: Request) -> Iterator[Outcome]:
        try:
            prompt, answer, keep = self._begin(request.ids, request.generation)
        except LeptonError as error:
            yield Outcome(request.key, error=error)
            return
        state = SequenceState(self._passes.pool)
        sequence = _Sequence(request, prompt, answer, keep, state, list(prompt))
        self._active.append(sequence)
        if answer.reason is not None:  # nothing is wanted
            yield from self._ended()

    def _advance(self, interrupt: threading.Event | None) -> None:
        """One pass, and a token for every sequence that is read to its end."""
        parts = self._parts()
        assert parts, "there is always room for the oldest"
        asked = [sequence for sequence, count in parts if count == sequence.pending]
        try:
            if interrupt is not None and interrupt.is_set():
                raise Interrupted
            states = [sequence.state for sequence, _ in parts]
            logits = self._passes.run(_step(parts), states, interrupt)
        except Interrupted:
            for sequence in self._active:
                sequence.answer.reason = "interrupted"
            return
        for sequence, count in parts:
            sequence.entered += count
            if sequence.entered == len(sequence.prompt):
                sequence.state.checkpoint()  # others that begin alike can go on from here
        for sequence, row in zip(asked, logits, strict=True):
            self._draw(sequence, row)

    def _draw(self, sequence: _Sequence, logits: RowLogits) -> None:
        answer = sequence.answer
        sequence.read = sequence.read or time.perf_counter()
        try:
            sequence.take(answer.draw(logits))
        except LeptonError as error:
            sequence.error = error
        if sequence.error or answer.reason is not None:
            return
        if len(sequence.ids) >= self._size:
            if sequence.request.generation.overflow != "shift":
                answer.reason = "context"
                return
            sequence.ids = shifted(sequence.ids, self._size, sequence.keep)
            self._forget(sequence)
        sequence.ids.append(answer.drawn[-1])

    def _parts(self) -> list[tuple[_Sequence, int]]:
        """Who enters how many tokens: first the answers under way, then prompts, oldest first."""
        parts: list[tuple[_Sequence, int]] = []
        room = self._passes.chunk
        speaking = [one for one in self._active if one.entered and one.pending == 1]
        for sequence in [*speaking, *(one for one in self._active if one not in speaking)]:
            if not room:
                break
            if not sequence.entered and self._shares_soon(sequence):
                continue
            count = min(sequence.pending, room)
            if self._reserve(sequence, count, [one for one, _ in parts]):
                parts.append((sequence, count))
                room -= count
        return parts

    def _shares_soon(self, sequence: _Sequence) -> bool:
        """Takes over what another has read of the same beginning; whether to wait for more of it.

        Only older sequences are waited for, or such as have begun: so no two wait for each other.
        """
        older = self._active[: self._active.index(sequence)]
        read = [one for one in (*self._kept, *self._active) if one.entered]
        others = [*older, *read]
        found = [(common(sequence.ids[:-1], other.ids), other) for other in others]
        alike, donor = max(found, key=lambda pair: pair[0], default=(0, sequence))
        ready = min(alike, donor.entered)
        if alike - ready >= WORTH_SHARING:
            return True
        if ready >= WORTH_SHARING:
            sequence.state, sequence.entered = donor.state.fork(ready)
            reached = min(sequence.entered, len(sequence.prompt))
            sequence.cached = sequence.cached or reached
        return False

    def _reserve(self, sequence: _Sequence, count: int, busy: Sequence[_Sequence]) -> bool:
        """Room for its next tokens, if need be that of younger ones; False: it has to wait.

        What is `busy` in this pass keeps its own.
        """
        start, stop = sequence.entered, sequence.entered + count
        pool, younger = self._passes.pool, self._active[self._active.index(sequence) + 1 :]
        victims = [*self._kept, *(one for one in reversed(younger) if one not in busy)]
        most = self._blocks + self._foreign
        while pool.used + sequence.state.missing(start, stop) > most and victims:
            self._forget(victims.pop(0))
        if pool.used + sequence.state.missing(start, stop) > most:
            return False
        sequence.state.take_blocks(start, stop)
        sequence.begun = sequence.begun or time.perf_counter()
        return True

    def _forget(self, sequence: _Sequence) -> None:
        """Its blocks go back; it is read again when there is room."""
        sequence.state.clear()
        sequence.entered = 0

    def _ended(self) -> Iterator[Outcome]:
        for sequence in [one for one in self._active if one.error or one.answer.reason]:
            self._active.remove(sequence)
            self._kept.append(sequence)
            if len(self._kept) > KEPT:
                self._kept.popleft().state.clear()
            yield sequence.outcome(self._size)


def _step(parts: Sequence[tuple[_Sequence, int]]) -> Step:
    """A pass of the next tokens of some sequences; those read to their end are asked for logits."""
    spans = [(one, range(one.entered, one.entered + count)) for one, count in parts]
    tokens = [one.ids[place] for one, span in spans for place in span]
    positions = [place for _, span in spans for place in span]
    ends = np.cumsum([count for _, count in parts])
    asked = [count == one.pending for one, count in parts]
    return Step(
        np.array(tokens, np.int32),
        np.array(positions, np.int32),
        (ends - 1)[asked].astype(np.int32),
        (0, *ends[:-1].tolist()),
    )
