"""AltUp (Baykal et al. 2023): several streams of activations, of which a block computes one.

The streams of a token stand one behind the other in a row, the one that blocks compute first. What
becomes of the others is guessed before, and corrected after, by small matrices that a router gives.
"""

from dataclasses import dataclass

from lepton_cli.models.parts.block import Norm
from lepton_cli.models.weights import Layer
from ops.interface import Array, Linear, Operators, check_widths

NO_EPS = 1e-30


@dataclass(frozen=True, slots=True)
class AlternatingUpdates:
    """`width` is the model's: a row holds `streams` times as much."""

    streams: int
    width: int
    norm: Norm

    def opened(self, ops: Operators, x: Array, w: Linear) -> Array:  # (T, D) -> (T, S*D)
        """x, and its products with stacked matrices, as large as x."""
        size = self.size(ops, x)
        others = (ops.linear(one, x) for one in self.matrices(w))
        return ops.join([x, *(self.of_size(ops, y, size) for y in others)])

    def closed(self, ops: Operators, x: Array, w: Linear) -> Array:  # (rows, S*D) -> (rows, D)
        """The mean of the first stream and of the others' products, all as large as the first."""
        total = self.first(ops, x)
        size = self.size(ops, total)
        for n, matrix in enumerate(self.matrices(w), start=1):
            stream = ops.columns(x, n * self.width, (n + 1) * self.width)
            total = ops.add(total, self.of_size(ops, ops.linear(matrix, stream), size))
        return ops.scale(total, 1 / self.streams)

    def first(self, ops: Operators, x: Array) -> Array:  # (rows, S*D) -> (rows, D)
        return ops.columns(x, 0, self.width)

    def guessed(self, ops: Operators, x: Array, w: Layer) -> Array:  # (T, S*D) -> same
        """Each stream with a mixture of all."""
        factors = self.factors(ops, w.altup_predict_coef, self.first(ops, x), w, self.streams)
        return ops.add(x, ops.mix(x, factors, self.streams))

    def corrected(self, ops: Operators, guess: Array, y: Array, w: Layer) -> Array:
        """(T, S*D), (T, D) -> (T, S*D): by what the first stream became instead of its guess."""
        new = ops.add(y, ops.scale(self.first(ops, guess), -1.0))
        factors = self.factors(ops, w.altup_correct_coef, y, w, 1)  # less 1 each
        change = ops.add(ops.mix(new, factors, 1), ops.join([new] * self.streams))
        return ops.add(guess, change)

    def added_to_others(self, ops: Operators, x: Array, y: Array) -> Array:
        """(T, S*D), (T, D) -> (T, S*D): y added to all streams but the first."""
        others = ops.columns(x, self.width, self.streams * self.width)
        others = ops.add(others, ops.join([y] * (self.streams - 1)))
        return ops.join([self.first(ops, x), others])

    def factors(self, ops: Operators, matrix: Linear, x: Array, w: Layer, mixed: int) -> Array:
        """(T, D) -> (T, S·mixed): for each stream those of so many that it is mixed of."""
        check_widths(matrix.weight.name, matrix.weight.rows, self.streams * mixed)
        seen = ops.scale(self.norm(ops, x, w.altup_router_norm), 1 / self.width)
        return ops.linear(matrix, ops.activate(ops.linear(w.altup_router, seen), "tanh"))

    def matrices(self, w: Linear) -> list[Linear]:
        check_widths(w.weight.name, w.weight.experts, self.streams - 1)
        return [Linear(w.weight.matrix(n)) for n in range(w.weight.experts)]

    def size(self, ops: Operators, x: Array) -> Array:  # (rows, D) -> (rows, 1)
        """The root of the mean square of each row: the mean of x · x / it."""
        even = ops.rms_norm(x, self.width, NO_EPS)
        return ops.scale(ops.mix(x, even, self.width), 1 / self.width)

    def of_size(self, ops: Operators, x: Array, size: Array) -> Array:
        return ops.multiply(ops.rms_norm(x, self.width, NO_EPS), size)
