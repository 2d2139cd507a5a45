"""Attention residuals (Moonshot AI 2026): a mixer reads a weighted sum of what blocks made."""

from collections.abc import Sequence
from dataclasses import dataclass

from ops.interface import Array, Linear, Operators, check_widths


@dataclass(frozen=True, slots=True)
class AttentionResiduals:
    """Rows are weighted by the softmax of their scores, each the product of a norm with `w`."""

    width: int
    eps: float

    def __call__(self, ops: Operators, rows: Sequence[Array], w: Linear) -> Array:
        """Each (T, D) -> (T, D). Row by row: L = ln Σ exp(score) so far, p = σ(score − L)."""
        check_widths(w.weight.name, w.weight.size, self.width)
        total, sum_of_all = rows[0], self.score(ops, rows[0], w)
        for row in rows[1:]:
            ahead = ops.add(self.score(ops, row, w), ops.scale(sum_of_all, -1.0))  # (T, 1)
            change = ops.add(row, ops.scale(total, -1.0))
            total = ops.add(total, ops.multiply(change, ops.activate(ahead, "sigmoid")))
            sum_of_all = ops.add(sum_of_all, ops.activate(ahead, "softplus"))
        return total

    def score(self, ops: Operators, row: Array, w: Linear) -> Array:  # (T, D) -> (T, 1)
        return ops.linear(w, ops.rms_norm(row, self.width, self.eps))
