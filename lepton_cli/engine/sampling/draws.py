"""The end of the chain: how one token is drawn from the candidates, and what that teaches."""

import math
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from lepton_cli.engine.sampling.candidates import Candidates, top_k
from lepton_cli.engine.sampling.randomness import Xoshiro256

NATS_PER_BIT = math.log(2)


class Draw(Protocol):
    """Exactly one number is taken from the generator for each token."""

    @property
    def name(self) -> str: ...

    def draw(self, candidates: Candidates, rng: Xoshiro256) -> int: ...


def draw_position(weights: NDArray[np.float64], rng: Xoshiro256) -> int:
    """A position, with a chance in proportion to its weight; never one of weight 0."""
    cumulative = np.cumsum(weights)
    return int(np.searchsorted(cumulative, rng.uniform() * cumulative[-1], side="right"))


class Distribution:
    """From the softmax of the logits."""

    name = "dist"

    def draw(self, candidates: Candidates, rng: Xoshiro256) -> int:
        return int(candidates.ids[draw_position(candidates.probabilities(), rng)])


class Mirostat:
    """Keeps the surprise of the drawn tokens near a target, in bits (Basu 2021); version 2.

    Tokens that surprise more than a ceiling are left out; each draw's error moves the ceiling.
    """

    name = "mirostat_v2"

    def __init__(self, target: float, rate: float) -> None:
        self._target, self._rate = target, rate
        self._ceiling = 2 * target

    def draw(self, candidates: Candidates, rng: Xoshiro256) -> int:
        kept = self._narrowed(candidates)
        p = kept.probabilities()
        position = draw_position(p, rng)
        surprise = -math.log(p[position]) / NATS_PER_BIT
        self._ceiling -= self._rate * (surprise - self._target)
        return int(kept.ids[position])

    def _narrowed(self, candidates: Candidates) -> Candidates:
        kept = candidates.surprises() <= self._ceiling * NATS_PER_BIT
        return candidates.keep(kept) if kept.any() else top_k(candidates, 1)


class MirostatZipf(Mirostat):
    """Version 1: Zipf's law, fitted to the likeliest tokens, turns the ceiling into a count."""

    name = "mirostat"
    FITTED = 100  # tokens

    def __init__(self, target: float, rate: float, vocab_size: int) -> None:
        super().__init__(target, rate)
        self._log_vocab_size = math.log(vocab_size)

    def _narrowed(self, candidates: Candidates) -> Candidates:
        if len(candidates) == 1:
            return candidates
        exponent = max(1e-9, self._zipf_exponent(candidates))  # equal logits would give 0
        excess = exponent - 1
        if excess:
            scale = excess / -math.expm1(-excess * self._log_vocab_size)
        else:
            scale = 1 / self._log_vocab_size
        log_count = (math.log(scale) + self._ceiling * NATS_PER_BIT) / exponent
        count = math.exp(min(log_count, math.log(len(candidates))))
        return top_k(candidates, max(1, int(count)))

    def _zipf_exponent(self, candidates: Candidates) -> float:
        """The slope of -ln p over ln rank, by least squares over the steps between neighbours."""
        ranked = candidates.logits[candidates.likeliest(self.FITTED)]
        ranks = np.log(np.arange(1, len(ranked) + 1))
        steps = np.diff(ranks)
        return float(-(steps * np.diff(ranked)).sum() / (steps * steps).sum())


class AdaptiveP:
    """Prefers tokens of a probability that keeps the average of the drawn ones near a target."""

    name = "adaptive_p"
    WIDTH, PEAK, SHARPNESS = 0.3, 5.0, 10.0

    def __init__(self, target: float, decay: float) -> None:
        self._target, self._decay = target, decay
        self._weight = 1 / (1 - decay)  # as after many draws that hit the target
        self._weighted_sum = target * self._weight

    def draw(self, candidates: Candidates, rng: Xoshiro256) -> int:
        p = candidates.probabilities()
        aim = min(1.0, max(0.0, 2 * self._target - self._weighted_sum / self._weight))
        distance = np.abs(p - aim) / self.WIDTH
        logits = self.PEAK - self.SHARPNESS * distance**2 / (1 + distance)
        position = draw_position(np.exp(logits), rng)
        self._weighted_sum = float(p[position]) + self._decay * self._weighted_sum
        self._weight = 1 + self._decay * self._weight
        return int(candidates.ids[position])
