"""The candidates for the next token, and the samplers that filter or reshape them.

Formulas and thresholds are llama.cpp's, in float64; p is the softmax over the remaining candidates.
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Indices = NDArray[np.intp]
MIN_TEMPERATURE = 1e-30  # lower ones would overflow; only the most likely token remains


@dataclass(frozen=True, slots=True, eq=False)
class Candidates:
    """At least one token, always in ascending order of ids, so that ties go to the lowest id.

    Stages may modify the logits in place: copying 150k of them takes up to 1 ms.
    """

    ids: NDArray[np.int32]  # (n,)
    logits: NDArray[np.floating[Any]]  # (n,), finite; float64, or float32 before a first top_k

    def __len__(self) -> int:
        return len(self.ids)

    def keep(self, chosen: NDArray[np.bool_] | Indices) -> "Candidates":
        """Selects by a mask, or by indices in ascending order."""
        return Candidates(self.ids[chosen], self.logits[chosen].astype(np.float64, copy=False))

    def find(self, ids: NDArray[np.int32]) -> tuple[Indices, NDArray[np.bool_]]:
        """The indices of those ids that are candidates, and a mask of which ids these are."""
        positions = np.searchsorted(self.ids, ids).clip(max=len(self) - 1)
        present = self.ids[positions] == ids
        return positions[present], present

    def probabilities(self) -> NDArray[np.float64]:  # (n,)
        weights: NDArray[np.float64] = np.exp(self.logits - self.logits.max())
        weights /= weights.sum()
        return weights

    def surprises(self) -> NDArray[np.float64]:  # (n,) -> -ln p, exact where p would round to 0
        below: NDArray[np.float64] = self.logits.max() - self.logits
        return below + math.log(np.exp(-below).sum())

    def entropy(self) -> float:
        """In nats."""
        return float((self.probabilities() * self.surprises()).sum())

    def likeliest(self, count: int) -> Indices:
        """The indices of the largest logits, largest first, without sorting the others.

        One half is laid on the other again and again, the larger of each two stays: the count-th
        largest of those left at last is a lower bound.
        """
        maxima = self.logits
        while len(maxima) >= 16 * max(1, count):
            half = len(maxima) // 2
            maxima = np.maximum(maxima[:half], maxima[half : 2 * half])
        count = min(count, len(self))
        bound = np.partition(maxima, len(maxima) - count)[len(maxima) - count]
        possible = np.flatnonzero(self.logits >= bound)
        order = np.argsort(-self.logits[possible], kind="stable")
        return possible[order[:count]]


def top_k(candidates: Candidates, count: int) -> Candidates:
    """Keeps the `count` most likely tokens."""
    if count >= len(candidates):
        return candidates.keep(np.arange(len(candidates)))
    return candidates.keep(np.sort(candidates.likeliest(count)))


def top_p(candidates: Candidates, mass: float, min_keep: int) -> Candidates:
    """Keeps the most likely tokens until their probabilities reach `mass` (Holtzman 2020)."""
    p = candidates.probabilities()
    ranked = candidates.likeliest(64)
    while p[ranked].sum() < mass and len(ranked) < len(p):
        ranked = candidates.likeliest(4 * len(ranked))
    count = max(int(np.searchsorted(np.cumsum(p[ranked]), mass)) + 1, min_keep)
    if count > len(ranked):
        ranked = candidates.likeliest(count)
    return candidates.keep(np.sort(ranked[:count]))


def min_p(candidates: Candidates, ratio: float, min_keep: int) -> Candidates:
    """Keeps tokens at least `ratio` times as likely as the most likely one."""
    kept = candidates.logits >= candidates.logits.max() + math.log(ratio)
    if np.count_nonzero(kept) < min_keep:
        return top_k(candidates, min_keep)
    return candidates.keep(kept)


def typical(candidates: Candidates, mass: float, min_keep: int) -> Candidates:
    """Keeps tokens with surprise nearest to the entropy, until above `mass` (Meister 2023)."""
    order = np.argsort(np.abs(candidates.surprises() - candidates.entropy()), kind="stable")
    cumulative = np.cumsum(candidates.probabilities()[order])
    count = max(int(np.searchsorted(cumulative, mass, side="right")) + 1, min_keep)
    return candidates.keep(np.sort(order[:count]))


def top_n_sigma(candidates: Candidates, n: float) -> Candidates:
    """Keeps tokens whose logit is within `n` standard deviations of the largest."""
    return candidates.keep(
        candidates.logits >= candidates.logits.max() - n * candidates.logits.std()
    )


def xtc(candidates: Candidates, threshold: float, min_keep: int) -> Candidates:
    """XTC: of the tokens with p >= threshold keeps only the least likely (ties: highest id)."""
    kept = candidates.probabilities() < threshold
    above = np.flatnonzero(~kept)[::-1]
    if len(above) == 0 or np.count_nonzero(kept) + 1 < min_keep:
        return candidates
    kept[above[np.argmin(candidates.logits[above])]] = True
    return candidates.keep(kept)


def apply_temperature(candidates: Candidates, temperature: float) -> Candidates:
    """Divides logits by the temperature; at 0 or below keeps only the most likely token."""
    if temperature < MIN_TEMPERATURE:
        return candidates.keep(candidates.logits.argmax(axis=0, keepdims=True))
    return Candidates(candidates.ids, candidates.logits / temperature)


def dynamic_temperature(
    candidates: Candidates, temperature: float, spread: float, exponent: float
) -> Candidates:
    """Temperature between temperature - spread (low entropy) and temperature + spread (high)."""
    if len(candidates) == 1:
        return candidates
    uncertainty = min(1.0, candidates.entropy() / math.log(len(candidates)))
    lowest, highest = max(0.0, temperature - spread), temperature + spread
    return apply_temperature(candidates, lowest + (highest - lowest) * uncertainty**exponent)
