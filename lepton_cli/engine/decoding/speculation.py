"""Speculative decoding: guesses are run with the last token in one pass (Leviathan et al. 2023).

Each token is still drawn from the model's own logits. While a draw equals the guess, the logits of
the next one are already there; after the first difference the remaining guesses are dropped. So the
answer is exactly the same with and without speculation, greedy or not; only passes are saved.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from lepton_cli.engine.decoding.next_token import NextTokens
from lepton_cli.engine.decoding.window import Window
from lepton_cli.engine.loading.plan import SpecType

NGRAM = 3  # tokens that must occur earlier; shorter n-grams predict too little
MAX_PAUSE = 64  # passes without guesses after all guesses failed
FIRST_MEASURED = 2
MOST_MEASURED = 8  # a chain of guesses of a head that was trained for the first of them
TRIAL_PASSES = 8
RETRIED_TRIALS, MOST_TRIALS = 16, 256


class Guesser(Protocol):
    """A source of guesses."""

    def guess(self, ids: Sequence[int], most: int) -> list[int]:
        """At most `most` tokens that may follow `ids`."""


class PromptLookup:
    """Prompt lookup: guesses what followed the last n-gram earlier in the text (Saxena 2023)."""

    def __init__(self) -> None:
        self._after: dict[tuple[int, ...], int] = {}  # n-gram -> index of what followed it
        self._known = 0

    def guess(self, ids: Sequence[int], most: int) -> list[int]:
        if len(ids) < self._known:  # the window was shifted
            self._after.clear()
            self._known = 0
        for end in range(max(self._known, NGRAM), len(ids)):
            self._after[tuple(ids[end - NGRAM : end])] = end
        self._known = len(ids)
        place = self._after.get(tuple(ids[-NGRAM:]), len(ids))
        return list(ids[place : place + most])


class DraftModel:
    """Guesses the most likely tokens of a smaller model with the same vocabulary."""

    def __init__(self, window: Window, min_probability: float) -> None:
        """It stops guessing below `min_probability`."""
        self._window, self._min_probability = window, min_probability

    def guess(self, ids: Sequence[int], most: int) -> list[int]:
        window, guesses = self._window, list[int]()
        if len(ids) + most > window.size:
            return guesses
        window.reuse(ids, temporary=True)
        for _ in window.prefill(ids, temporary=True):
            pass
        while len(guesses) < most:
            logits = np.asarray(window.logits)
            token = int(np.argmax(logits))
            if 1 / np.exp(logits - logits[token]).sum() < self._min_probability:
                break
            guesses.append(token)
            if len(guesses) < most:
                window.append([token])
        return guesses


@dataclass(frozen=True, slots=True)
class OwnHead:
    """Guesses by the model's own next-token head. It stops guessing below `min_probability`."""

    head: NextTokens
    min_probability: float

    def guess(self, ids: Sequence[int], most: int) -> list[int]:
        return self.head.guess(ids, most, self.min_probability)


class Pace(Protocol):
    """Decides how many tokens a source guesses."""

    @property
    def length(self) -> int:
        """How many to guess next."""

    def update(self, guessed: int, accepted: int, seconds: float) -> None:
        """After a pass; `seconds`: of it and of its guesses."""


class DoublingPace:
    """For guesses that cost nothing: more after accepted ones, fewer after rejected ones."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._length = max(1, most // 4)
        self._failures = self._pause = 0

    @property
    def length(self) -> int:
        return 0 if self._pause else self._length

    def update(self, guessed: int, accepted: int, seconds: float) -> None:
        self._pause = max(0, self._pause - 1)
        if not guessed:
            return
        self._length = min(self._most, 2 * self._length if accepted == guessed else accepted + 1)
        self._failures = 0 if accepted else self._failures + 1
        self._pause = min(2**self._failures, MAX_PAUSE) if self._failures > 1 else 0


class MeasuredPace:
    """For guesses that take time: the number of them that gave the most tokens a second.

    Keeps a number for a trial of some passes, then tries its neighbours; no guesses at all are
    one of the numbers. A neighbour of the best is tried again after a while, which doubles as long
    as the best stays the same.
    """

    def __init__(self, most: int = MOST_MEASURED) -> None:
        self.most = most  # may be changed between answers
        self._length = FIRST_MEASURED
        self._rates: dict[int, float] = {}  # tokens a second
        self._passes = self._accepted = self._retries = 0
        self._best, self._wait, self._patience = -1, 0, 0  # in trials, until the next retry
        self._seconds = 0.0

    @property
    def length(self) -> int:
        return min(self._length, self.most)

    def update(self, guessed: int, accepted: int, seconds: float) -> None:
        self._passes, self._accepted = self._passes + 1, self._accepted + accepted
        self._seconds += seconds
        if self._passes < TRIAL_PASSES:
            return
        rate = (self._passes + self._accepted) / self._seconds
        if self._length and not self._accepted:
            rate = 0.0  # guesses that are all wrong cannot pay, whatever the clock says
        of_before = self._rates.get(self._length, rate) if self._length == self._best else rate
        self._rates[self._length] = (of_before + rate) / 2
        self._passes = self._accepted = 0
        self._seconds = 0.0
        self._length = self._next()

    def _next(self) -> int:
        best = max(self._rates, key=self._rates.__getitem__)
        if best != self._best:  # what was measured around another one is out of date
            fresh = {0, best, self._best} & self._rates.keys()
            self._rates = {n: self._rates[n] for n in fresh}
            self._best, self._wait, self._patience = best, RETRIED_TRIALS, RETRIED_TRIALS
        near = [n for n in (best - 1, best + 1) if 0 <= n <= MOST_MEASURED]
        untried = [n for n in (0, *near) if n not in self._rates]
        if untried:
            return untried[0]
        self._wait -= 1
        if self._wait:
            return best
        self._patience = self._wait = min(2 * self._patience, MOST_TRIALS)
        self._retries += 1
        return near[self._retries % len(near)]


@dataclass(frozen=True, slots=True)
class Source:
    guesser: Guesser
    pace: Pace


class Speculation:
    """Asks sources of guesses in turn until one has some, and counts what became of them."""

    def __init__(self, sources: Sequence[Source]) -> None:
        self.guessed = self.accepted = self.checks = 0
        self._sources, self._asked = sources, list[Source]()

    def guess(self, ids: Sequence[int], room: int) -> list[int]:
        self._asked = []
        for source in self._sources:
            self._asked.append(source)
            count = min(source.pace.length, room)
            guesses = source.guesser.guess(ids, count) if count > 0 else []
            if guesses:
                return guesses
        return []

    def update(self, guessed: int, accepted: int, seconds: float) -> None:
        """After the pass that ran the guesses; `seconds`: of both."""
        self.guessed += guessed
        self.accepted += accepted
        self.checks += guessed > 0
        *others, last = self._asked
        last.pace.update(guessed, accepted, seconds)
        for source in others:
            source.pace.update(0, 0, seconds)


class Guessers:
    """What guesses for a model: earlier text, which costs nothing, then a draft model or its head.

    What was measured in earlier answers counts on.
    """

    def __init__(self, head: NextTokens | None, kinds: Collection[SpecType]) -> None:
        """`kinds`: those that are asked, if they are there."""
        self.head = head
        self.draft: Window | None = None
        self._kinds, self._pace = kinds, MeasuredPace()

    def choose(self, kinds: Collection[SpecType]) -> None:
        """Asks these from now on, at the pace of guessers that nothing is known of."""
        self._kinds, self._pace = kinds, MeasuredPace()

    @property
    def follower(self) -> NextTokens | None:
        """The head if it is asked: it needs the model's rows of every pass."""
        return self.head if "draft-mtp" in self._kinds and not self._drafts else None

    @property
    def _drafts(self) -> bool:
        return self.draft is not None and "draft-simple" in self._kinds

    def speculation(self, most: int, min_probability: float) -> Speculation | None:
        """For one answer: `most` guesses a pass. A model stops guessing below the probability."""
        sources = list[Source]()
        if "ngram-simple" in self._kinds:
            sources.append(Source(PromptLookup(), DoublingPace(most)))
        self._pace.most = most
        if self.draft is not None and self._drafts:
            sources.append(Source(DraftModel(self.draft, min_probability), self._pace))
        elif self.follower is not None:
            sources.append(Source(OwnHead(self.follower, min_probability), self._pace))
        return Speculation(sources) if sources and most > 0 else None

    def forget(self) -> None:
        """Drops what the head and the draft model have read."""
        if self.head is not None:
            self.head.clear()
        if self.draft is not None:
            self.draft.clear()

    def close(self) -> None:
        if self.head is not None:
            self.head.close()
