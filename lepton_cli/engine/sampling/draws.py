"""The end of the sampler chain: draws one token, and updates the state of adaptive samplers."""

import math
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from lepton_cli.engine.sampling.candidates import Candidates, top_k
from lepton_cli.engine.sampling.randomness import Xoshiro256

NATS_PER_BIT = math.log(2)


class Draw(Protocol):
    """Draws a token; takes exactly one number from the generator."""

    @property
    def name(self) -> str: ...

    def draw(self, candidates: Candidates, rng: Xoshiro256) -> int: ...


def draw_position(weights: NDArray[np.float64], rng: Xoshiro256) -> int:
    """A random index with probability proportional to its weight; never one of weight 0."""
    return position_of(rng.uniform(), weights)


def position_of(number: float, weights: NDArray[np.float64]) -> int:
    """As `draw_position`, by a random number in [0, 1)."""
    cumulative = np.cumsum(weights)
    return int(np.searchsorted(cumulative, number * cumulative[-1], side="right"))


class Distribution:
    """Draws from the softmax of the logits."""

    name = "dist"

    def draw(self, candidates: Candidates, rng: Xoshiro256) -> int:
        if len(candidates) == 1:
            rng.uniform()
            return int(candidates.ids[0])
        return int(candidates.ids[draw_position(candidates.probabilities(), rng)])


class Mirostat:
    """Keeps the surprise of the drawn tokens near a target, in bits (Basu 2021); version 2.

    Drops tokens with a surprise above a ceiling, which each draw's error adjusts.
    """

    name = "mirostat_v2"

    def __init__(self, target: float, rate: float) -> None:
        self._target, self._rate = target, rate
        self._ceiling = 2 * target

    def draw(self, candidates: Candidates, rng: Xoshiro256) -> int:
        kept = self._truncate(candidates)
        p = kept.probabilities()
        position = draw_position(p, rng)
        surprise = -math.log(p[position]) / NATS_PER_BIT
        self._ceiling -= self._rate * (surprise - self._target)
        return int(kept.ids[position])

    def _truncate(self, candidates: Candidates) -> Candidates:
        kept = candidates.surprises() <= self._ceiling * NATS_PER_BIT
        return candidates.keep(kept) if kept.any() else top_k(candidates, 1)


class MirostatZipf(Mirostat):
    """Version 1: fits Zipf's law to the most likely tokens to turn the ceiling into a count."""

    name = "mirostat"
    FITTED = 100  # tokens

    def __init__(self, target: float, rate: float, vocab_size: int) -> None:
        super().__init__(target, rate)
        self._log_vocab_size = math.log(vocab_size)

    def _truncate(self, candidates: Candidates) -> Candidates:
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
        """The slope of -ln p over ln rank, by least squares over differences of neighbours."""
        ranked = candidates.logits[candidates.likeliest(self.FITTED)]
        ranks = np.log(np.arange(1, len(ranked) + 1))
        steps = np.diff(ranks)
        return float(-(steps * np.diff(ranked)).sum() / (steps * steps).sum())


class AdaptiveP:
    """Prefers tokens whose probability keeps the average of drawn tokens near a target."""

    name = "adaptive_p"
    WIDTH, PEAK, SHARPNESS = 0.3, 5.0, 10.0

    def __init__(self, target: float, decay: float) -> None:
        self._target, self._decay = target, decay
        self._weight = 1 / (1 - decay)  # as after many draws at the target
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
