"""Means of what was scored, with their standard errors, as llama-perplexity gives them."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Scores = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Estimate:
    """A value and its standard error; 0 where there are too few scores to tell."""

    value: float
    error: float

    def exponential(self) -> "Estimate":
        """Of a mean loss: the perplexity. Its error is of first order."""
        value = math.exp(self.value) if self.value < MOST_EXPONENT else math.inf
        return Estimate(value, value * self.error)

    def scaled(self, factor: float) -> "Estimate":
        return Estimate(self.value * factor, self.error * factor)


MOST_EXPONENT = 709.0


class Moments:
    """The sums of scores and of their squares."""

    def __init__(self) -> None:
        self.count, self._sum, self._squares = 0, 0.0, 0.0

    def add(self, scores: Scores) -> None:
        self.count += len(scores)
        self._sum += float(scores.sum())
        self._squares += float((scores * scores).sum())

    @property
    def mean(self) -> Estimate:
        """The mean of what was added, at least one score."""
        value = self._sum / self.count
        variance = self._squares / self.count - value * value
        few = self.count < 2 or variance <= 0
        return Estimate(value, 0.0 if few else math.sqrt(variance / (self.count - 1)))
