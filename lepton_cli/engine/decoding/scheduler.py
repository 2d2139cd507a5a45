"""Continuous batching: many answers at once; sequences join and leave at every pass.

A pass runs one token of every answer in progress, and fills up with chunks of prompts. A sequence
whose prompt has a prefix in common with another shares its blocks (ops/state copies on write).
When the cache is full, the youngest answer is evicted and its tokens are run again later. The text
of an answer depends on none of this: a token's arithmetic is the same in every pass.
"""

import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from lepton_cli.engine.decoding.answer import Answer
from lepton_cli.engine.decoding.generation import Generation, shifted
from lepton_cli.engine.decoding.window import Passes, common_prefix
from lepton_cli.engine.events import Done, Event, Reasoning, Stats, Text
from ops.interface import Interrupted, Step
from ops.logits import RowLogits
from ops.state.sequence import SequenceState
from quant.errors import LeptonError

WORTH_SHARING = 16  # tokens of a common prefix: shorter ones are cheaper to run again
MAX_FINISHED = 2  # finished sequences kept in the cache, for others with the same prefix


@dataclass(frozen=True, slots=True)
class Request:
    """One answer to generate; `key` identifies it for the caller."""

    key: int
    ids: tuple[int, ...]
    generation: Generation


@dataclass(frozen=True, slots=True)
class Outcome:
    """The result of a request: an answer that ended as `done` says, or an error."""

    key: int
    text: str = ""
    reasoning: str = ""
    done: Done | None = None
    error: LeptonError | None = None


StartAnswer = Callable[[Sequence[int], Generation], tuple[list[int], Answer, int]]


@dataclass(slots=True, eq=False)
class _Sequence:
    """An answer in progress: prompt and answer are `ids`; the first `entered` are in the cache."""

    request: Request
    prompt: list[int]
    answer: Answer
    keep: int
    state: SequenceState
    ids: list[int]
    entered: int = 0
    cached: int = 0  # prompt tokens shared from another sequence
    marks: set[int] = field(default_factory=set)  # where others with this prefix will part from it
    words: list[str] = field(default_factory=list)
    thoughts: list[str] = field(default_factory=list)
    error: LeptonError | None = None
    begun: float = 0.0  # time when its prefill began
    read: float = 0.0  # time when its prefill ended

    @property
    def pending(self) -> int:
        return len(self.ids) - self.entered

    @property
    def next_stop(self) -> int:
        """How many tokens it may run at once: up to the next mark, if need be."""
        marks = [mark - self.entered for mark in self.marks if mark > self.entered]
        return min([self.pending, *marks])

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
        assert answer.reason is not None, "only an answer that has ended has an outcome"
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
    """Batches of answers with one model: `size` positions per answer, `limit` bytes of state."""

    def __init__(self, passes: Passes, size: int, limit: int, begin: StartAnswer) -> None:
        self._passes, self._size, self._begin = passes, size, begin
        self._limit = limit + passes.pool.bytes  # the model's own window
        self._scales = passes.scales
        self._active: list[_Sequence] = []  # oldest first
        self._finished: deque[_Sequence] = deque()

    def outcomes(
        self, requests: Iterable[Request], jobs: int, interrupt: threading.Event | None = None
    ) -> Iterator[Outcome]:
        """Runs up to `jobs` requests at a time; yields outcomes as answers end."""
        jobs, waiting = min(jobs, self._passes.outputs, self._passes.chunk), iter(requests)
        try:
            more = True
            while more or self._active:
                more = more and not (interrupt is not None and interrupt.is_set())
                while more and len(self._active) < jobs:
                    request = next(waiting, None)
                    more = request is not None
                    if request is not None:
                        yield from self._start(request)
                if self._active:
                    self._advance(interrupt)
                    yield from self._finish()
        finally:
            for sequence in [*self._active, *self._finished]:
                sequence.state.clear()
            self._active.clear()
            self._finished.clear()

    def _start(self, request: Request) -> Iterator[Outcome]:
        request = replace(request, ids=tuple(self._passes.prompts.opened(request.ids)))
        try:
            prompt, answer, keep = self._begin(request.ids, request.generation)
        except LeptonError as error:
            yield Outcome(request.key, error=error)
            return
        state = SequenceState(self._passes.pool)
        sequence = _Sequence(request, prompt, answer, keep, state, list(prompt))
        self._active.append(sequence)
        if answer.reason is not None:  # max_tokens is 0
            yield from self._finish()

    def _advance(self, interrupt: threading.Event | None) -> None:
        """One pass, and one new token for every sequence whose prefill is complete."""
        self._passes.check_scales(self._scales)
        parts = self._plan_pass()
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
            if sequence.entered in sequence.marks:
                sequence.state.checkpoint()
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
            self._evict(sequence)
        sequence.ids.append(answer.drawn[-1])

    def _plan_pass(self) -> list[tuple[_Sequence, int]]:
        """How many tokens of which sequence: first decoding, then prefill, oldest first."""
        parts: list[tuple[_Sequence, int]] = []
        room = self._passes.chunk
        if self._passes.pool.layout.slots:
            self._mark_prefixes()
        decoding = [one for one in self._active if one.entered and one.pending == 1]
        for sequence in [*decoding, *(one for one in self._active if one not in decoding)]:
            if not room:
                break
            if not sequence.entered and self._waits_for_prefix(sequence):
                continue
            count = min(sequence.next_stop, room)
            if not sequence.entered and count <= self._encoded(sequence):
                continue  # until a pass has room for its whole prompt
            if self._reserve(sequence, count, [one for one, _ in parts]):
                parts.append((sequence, count))
                room -= count
        return parts

    def _encoded(self, sequence: _Sequence) -> int:
        """How many of its tokens an encoder reads, all in one pass."""
        return self._passes.prompts.encoded(sequence.ids)

    def _waits_for_prefix(self, sequence: _Sequence) -> bool:
        """Shares the state of another sequence's common prefix; True: wait until it has more.

        Only older sequences, or ones already begun, are waited for: so no two wait for each other.
        Recurrent layers share what the other had at a checkpoint, which is set where they part.
        """
        offers = self._offers(sequence)
        best = max(offers, key=lambda offer: offer.later, default=_Offer(sequence, 0, 0, 0))
        if best.later - best.now >= WORTH_SHARING:
            return True
        if best.now >= WORTH_SHARING:
            sequence.state, sequence.entered = best.donor.state.fork(best.now)
            reached = min(sequence.entered, len(sequence.prompt))
            sequence.cached = sequence.cached or reached
        return False

    def _offers(self, sequence: _Sequence) -> list["_Offer"]:
        older = self._active[: self._active.index(sequence)]
        begun = [one for one in (*self._finished, *self._active) if one.entered]
        encoded = self._encoded(sequence)
        return [_offer(sequence, other, encoded) for other in (*older, *begun)]

    def _mark_prefixes(self) -> None:
        """Where recurrent layers need a checkpoint, so that others can begin there.

        In the sequence that is waited for, or, if nobody can set one any more, in the next of its
        kind.
        """
        for sequence in [one for one in self._active if not one.entered]:
            for offer in self._offers(sequence):
                if offer.common - offer.now >= WORTH_SHARING:
                    marked = offer.donor if offer.later == offer.common else sequence
                    marked.marks.add(offer.common)

    def _reserve(self, sequence: _Sequence, count: int, busy: Sequence[_Sequence]) -> bool:
        """Allocates cache for the next tokens, evicting younger sequences; False: it has to wait.

        Sequences that are `busy` in this pass are not evicted.
        """
        start, stop = sequence.entered, sequence.entered + count
        pool, victims = self._passes.pool, self._victims(sequence, busy)
        room = self._limit - sequence.state.missing_bytes(start, stop)
        while pool.bytes > room and (victim := next(victims, None)) is not None:
            self._evict(victim)
            room = self._limit - sequence.state.missing_bytes(start, stop)
        if pool.bytes > room:
            sequence.state.drop_checkpoints()
        if pool.bytes > room:
            return False
        sequence.state.take_blocks(start, stop)
        sequence.begun = sequence.begun or time.perf_counter()
        return True

    def _victims(self, sequence: _Sequence, busy: Sequence[_Sequence]) -> Iterator[_Sequence]:
        """Those whose cache it may take, in order: finished ones, then younger ones, last first."""
        yield from self._finished
        for one in reversed(self._active):
            if one is sequence:
                return
            if one not in busy:
                yield one

    def _evict(self, sequence: _Sequence) -> None:
        """Frees its blocks; its tokens are run again when there is room."""
        sequence.state.clear()
        sequence.entered = 0

    def _finish(self) -> Iterator[Outcome]:
        for sequence in [one for one in self._active if one.error or one.answer.reason]:
            self._active.remove(sequence)
            self._finished.append(sequence)
            if len(self._finished) > MAX_FINISHED:
                self._finished.popleft().state.clear()
            yield sequence.outcome(self._size)


@dataclass(frozen=True, slots=True)
class _Offer:
    """What a sequence can take over from another: tokens `now`, `later`, and all in `common`."""

    donor: _Sequence
    now: int
    later: int
    common: int


def _offer(sequence: _Sequence, other: _Sequence, encoded: int) -> _Offer:
    """A checkpoint can be set only in front of where the other is.

    What an encoder has read of `encoded` tokens can be shared as a whole.
    """
    length = common_prefix(sequence.ids[:-1], other.ids)
    length = length if length >= encoded else 0
    now = other.state.reachable(min(length, other.entered))
    return _Offer(other, now, length if other.entered <= length else now, length)


def _step(parts: Sequence[tuple[_Sequence, int]]) -> Step:
    """The step for these sequences; logits are wanted where no prompt tokens remain."""
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
