"""Guesses of what comes next, entered with the last token in one pass (Leviathan et al. 2023).

Each token is still drawn from the model's own logits. While a draw is as guessed, the logits behind
it are already there; from the first that is not, guesses are forgotten. So an answer is the very
same with and without, greedy or not, and only passes are saved.
"""

from collections.abc import Sequence
from typing import Protocol

import numpy as np

from lepton_cli.engine.decoding.window import Positions

GRAM = 3  # tokens that must have stood there before; shorter ones are followed by anything
LONGEST_PAUSE = 64  # tokens without a guess after guesses that all went wrong


class Guesser(Protocol):
    """Where guesses come from."""

    def guess(self, ids: Sequence[int], most: int) -> list[int]:
        """What may follow these tokens."""


class PromptLookup:
    """What followed the last time that the text said the same (Saxena 2023)."""

    def __init__(self) -> None:
        self._after: dict[tuple[int, ...], int] = {}  # some tokens -> where what followed stands
        self._known = 0

    def guess(self, ids: Sequence[int], most: int) -> list[int]:
        if len(ids) < self._known:  # the window was shifted
            self._after.clear()
            self._known = 0
        for end in range(max(self._known, GRAM), len(ids)):
            self._after[tuple(ids[end - GRAM : end])] = end
        self._known = len(ids)
        place = self._after.get(tuple(ids[-GRAM:]), len(ids))
        return list(ids[place : place + most])


class DraftModel:
    """What a smaller model of the same vocabulary holds for likeliest, while it is sure enough."""

    def __init__(self, positions: Positions, least: float) -> None:
        """Below the probability `least` it stops guessing."""
        self._positions, self._least = positions, least

    def guess(self, ids: Sequence[int], most: int) -> list[int]:
        positions, guesses = self._positions, list[int]()
        if len(ids) + most > positions.size:
            return guesses
        positions.reuse(ids)
        for _ in positions.prefill(ids):
            pass
        while len(guesses) < most:
            logits = np.asarray(positions.logits)
            token = int(np.argmax(logits))
            if 1 / np.exp(logits - logits[token]).sum() < self._least:
                break
            guesses.append(token)
            if len(guesses) < most:
                positions.enter([token])
        return guesses


class Speculation:
    """How many tokens to guess: more after right guesses, fewer and then none after wrong ones."""

    def __init__(self, guesser: Guesser, most: int) -> None:
        self.guessed = self.right = 0
        self._guesser, self._most = guesser, most
        self._length = max(1, most // 4)
        self._failures = self._pause = 0

    def guess(self, ids: Sequence[int], room: int) -> list[int]:
        if self._pause:
            self._pause -= 1
            return []
        count = min(self._length, room)
        return self._guesser.guess(ids, count) if count > 0 else []

    def learn(self, guessed: int, right: int) -> None:
        if not guessed:
            return
        self.guessed += guessed
        self.right += right
        self._length = min(self._most, 2 * self._length if right == guessed else right + 1)
        self._failures = 0 if right else self._failures + 1
        self._pause = min(2**self._failures, LONGEST_PAUSE) if self._failures > 1 else 0
