"""How far a model's predictions are from those of a reference, as llama-perplexity tells it.

Kullback-Leibler divergence of each token's distribution, agreement on the most likely token, and
the change of the right token's probability. Exact, where llama-perplexity keeps the reference's
log-probabilities in 16 bits.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from lepton_cli.engine.loss.estimates import Estimate, Moments, Scores
from lepton_cli.engine.loss.scoring import Logits, Tokens, check_finite

QUANTILES = (0.0, 0.1, 1.0, 5.0, 10.0, 25.0, 50.0, 75.0, 90.0, 95.0, 99.0, 99.9, 100.0)  # percent


@dataclass(frozen=True, slots=True)
class TokenScores:
    """What two models say of some tokens, (n,) each."""

    divergences: Scores  # of the other model's distribution from the reference's
    agreements: Scores  # 1 where both find the same token most likely, otherwise 0
    reference_losses: Scores
    losses: Scores

    @property
    def changes(self) -> Scores:
        """Of the right token's probability."""
        return np.exp(-self.losses) - np.exp(-self.reference_losses)


def token_scores(reference: Logits, other: Logits, tokens: Tokens) -> TokenScores:
    """Compares rows of logits, or of log-probabilities, (n, V) each. Raises ModelFileError.

    Row by row, in the processor's cache: exponentials and products are float32, sums float64.
    """
    found = np.empty((4, len(tokens)))
    scratch = np.empty((2, reference.shape[1]), np.float32)
    for number, token in enumerate(tokens.tolist()):
        found[:, number] = _row_scores(reference[number], other[number], token, scratch)
    scores = TokenScores(*found)
    for each in (scores.divergences, scores.reference_losses, scores.losses):
        check_finite(each)
    return scores


def _row_scores(
    reference: Logits, other: Logits, token: int, scratch: Logits
) -> tuple[float, float, float, float]:
    """Of one row, (V,); as the fields of TokenScores."""
    chances, rest = scratch
    top, other_top = int(reference.argmax()), int(other.argmax())
    np.exp(np.subtract(other, other[other_top], out=rest), out=rest)
    other_norm = float(other[other_top]) + math.log(rest.sum(dtype=np.float64))
    np.exp(np.subtract(reference, reference[top], out=chances), out=chances)
    total = chances.sum(dtype=np.float64)
    norm = float(reference[top]) + math.log(total)
    np.subtract(reference, other, out=rest)
    np.subtract(rest, np.float32(norm - other_norm), out=rest)
    divergence = float(np.multiply(rest, chances, out=rest).sum(dtype=np.float64) / total)
    losses = norm - float(reference[token]), other_norm - float(other[token])
    return max(0.0, divergence), float(top == other_top), *losses


class Divergence:
    """The figures of all tokens that were added; at least one."""

    def __init__(self) -> None:
        self._divergences, self._changes = list[Scores](), list[Scores]()
        self._moments = {name: Moments() for name in MEASURES}
        self._products = 0.0  # of both losses

    def add(self, scores: TokenScores) -> None:
        for name, measure in MEASURES.items():
            self._moments[name].add(measure(scores))
        self._products += float((scores.losses * scores.reference_losses).sum())
        self._divergences.append(scores.divergences.astype(np.float32))
        self._changes.append(scores.changes.astype(np.float32))

    @property
    def scored(self) -> int:
        """Tokens."""
        return self._moments["losses"].count

    @property
    def mean(self) -> Estimate:
        """The mean divergence, in nats."""
        return self._moments["divergences"].mean

    @property
    def same_top(self) -> Estimate:
        """The share of tokens for which both models find the same one most likely."""
        return self._moments["agreements"].mean

    @property
    def reference_loss(self) -> Estimate:
        return self._moments["reference_losses"].mean

    @property
    def loss(self) -> Estimate:
        return self._moments["losses"].mean

    @property
    def log_ratio(self) -> Estimate:
        """The difference of the mean losses: the logarithm of the perplexities' ratio.

        Its error is smaller than those of the perplexities, as they vary together.
        """
        one, other = self.loss, self.reference_loss
        variance = one.error**2 + other.error**2 - 2 * self._covariance
        return Estimate(one.value - other.value, math.sqrt(max(0.0, variance)))

    @property
    def correlation(self) -> float:
        """Of both models' mean losses; 0 where one of them does not vary."""
        errors = self.loss.error * self.reference_loss.error
        return self._covariance / errors if errors else 0.0

    @property
    def _covariance(self) -> float:
        """Of the mean losses."""
        if self.scored < 2:
            return 0.0
        together = self._products / self.scored
        return (together - self.loss.value * self.reference_loss.value) / (self.scored - 1)

    @property
    def change(self) -> Estimate:
        """The mean change of the right token's probability."""
        return self._moments["changes"].mean

    @property
    def rms_change(self) -> Estimate:
        """The root of the mean square of these changes."""
        squares = self._moments["squares"].mean
        root = math.sqrt(squares.value)
        return Estimate(root, 0.5 * squares.error / root if root else 0.0)

    def divergence_quantiles(self) -> dict[float, float]:
        """By percent: 0 is the least, 50 the median, 100 the greatest."""
        return _quantiles(self._divergences)

    def change_quantiles(self) -> dict[float, float]:
        return _quantiles(self._changes)


MEASURES: dict[str, Callable[[TokenScores], Scores]] = {
    "divergences": lambda scores: scores.divergences,
    "agreements": lambda scores: scores.agreements,
    "reference_losses": lambda scores: scores.reference_losses,
    "losses": lambda scores: scores.losses,
    "changes": lambda scores: scores.changes,
    "squares": lambda scores: scores.changes**2,
}


def _quantiles(parts: list[Scores]) -> dict[float, float]:
    values = np.percentile(np.concatenate(parts), QUANTILES)
    return dict(zip(QUANTILES, values.tolist(), strict=True))
