"""Speculative decoding: guesses are run with the last token in one pass (Leviathan et al. 2023).

Each token is still drawn from the model's own logits. While a draw equals the guess, the logits of
the next one are already there; after the first difference the remaining guesses are dropped. So the
answer is exactly the same with and without speculation, greedy or not; only passes are saved.
"""

from collections.abc import Sequence
from typing import Protocol

import numpy as np

from lepton_cli.engine.decoding.window import Window

NGRAM = 3  # tokens that must occur earlier; shorter n-grams predict too little
MAX_PAUSE = 64  # tokens without guesses after all guesses failed


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


class Speculation:
    """Decides how many tokens to guess: more after accepted ones, fewer after rejected ones."""

    def __init__(self, guesser: Guesser, most: int) -> None:
        self.guessed = self.accepted = 0
        self._guesser, self._most = guesser, most
        self._length = max(1, most // 4)
        self._failures = self._pause = 0

    def guess(self, ids: Sequence[int], room: int) -> list[int]:
        if self._pause:
            self._pause -= 1
            return []
        count = min(self._length, room)
        return self._guesser.guess(ids, count) if count > 0 else []

    def update(self, guessed: int, accepted: int) -> None:
        if not guessed:
            return
        self.guessed += guessed
        self.accepted += accepted
        self._length = min(self._most, 2 * self._length if accepted == guessed else accepted + 1)
        self._failures = 0 if accepted else self._failures + 1
        self._pause = min(2**self._failures, MAX_PAUSE) if self._failures > 1 else 0
