"""Hyper-connections (Zhu et al. 2024): several residual streams beside each other."""

from dataclasses import dataclass, replace
from functools import reduce

from lepton_cli.models.parts.block import Mixer, Norm, ones_like
from lepton_cli.models.weights import Layer, Weights
from ops.interface import Array, Linear, Operators


@dataclass(frozen=True, slots=True)
class Streams:
    """A mixer reads a sum of the streams and adds its result to each; they are not mixed.

    Sums and results have weights for each token, made of all streams behind a norm: σ(s·Wx + b),
    above which lies `least`; those of results are `magnitude` times as large.
    """

    count: int
    width: int
    norm_eps: float
    least: float
    magnitude: float

    def entering(self, ops: Operators, x: Array, made_by: Linear) -> Array:  # (T, S*D) -> (T, D)
        return ops.mix(x, self.shares(ops, x, made_by, 1.0), self.count)

    @property
    def rows(self) -> tuple[int, ...]:
        """Of the matrix that makes the weights of a mixer's sum, and of what it adds."""
        return self.count, self.count

    def leaving(self, ops: Operators, x: Array, y: Array, *made_by: Linear) -> Array:
        """(T, S*D), (T, D) -> (T, S*D): the streams with the mixer's result."""
        [last] = made_by
        shares = self.shares(ops, x, last, self.magnitude)
        return ops.add(x, ops.multiply(ops.join([y] * self.count), shares))

    def shares(self, ops: Operators, x: Array, made_by: Linear, most: float) -> Array:
        """(T, S*D) -> (T, S)."""
        normed = ops.rms_norm(x, self.count * self.width, self.norm_eps)
        y = ops.scale(ops.activate(ops.linear(made_by, normed), "sigmoid"), most)
        return ops.add(y, ops.scale(ones_like(ops, y), self.least))

    def matrices(self, w: Layer | Weights, name: str, *rows: int) -> list[Linear]:
        """So many rows of `name`_fn with their biases, and a scale for each part.

        Raises ModelFileError.
        """
        matrix, base, scale = (w[f"{name}_{end}"].weight for end in ("fn", "base", "scale"))
        parts = Linear(matrix, base).parts(*rows)
        return [replace(part, scale=scale.columns_part(n, n + 1)) for n, part in enumerate(parts)]


@dataclass(frozen=True, slots=True)
class MixingStreams(Streams):
    """What goes on of each stream is a sum of all, whose weights sum to nearly 1 both ways."""

    iterations: int

    @property
    def rows(self) -> tuple[int, ...]:
        return self.count, self.count, self.count**2

    def leaving(self, ops: Operators, x: Array, y: Array, *made_by: Linear) -> Array:
        shared, mixed = made_by
        normed = ops.rms_norm(x, self.count * self.width, self.norm_eps)
        shares = ops.scale(ops.activate(ops.linear(shared, normed), "sigmoid"), self.magnitude)
        balanced = ops.balance(ops.linear(mixed, normed), self.count, self.iterations, self.least)
        added = ops.multiply(ops.join([y] * self.count), shares)
        return ops.add(added, ops.mix(x, balanced, self.count))


def mean_of_streams(ops: Operators, x: Array, count: int, width: int) -> Array:
    """(T, S*D) -> (T, D)."""
    starts = range(0, count * width, width)
    total = reduce(ops.add, [ops.columns(x, n, n + width) for n in starts])
    return ops.scale(total, 1 / count)


@dataclass(frozen=True, slots=True)
class GatedStreams:
    """A mixer reads the mean of the streams, each behind a norm and a gate of low rank.

    Its result is added to each stream with a weight of its own.
    """

    count: int
    width: int
    norm: Norm

    def normed(self, ops: Operators, x: Array, w: Linear) -> Array:  # (T, S*D) -> same
        return self.norm(ops, x, w.folded(self.count), self.width)

    def entering(self, ops: Operators, normed: Array, w: Layer | Weights, name: str) -> Array:
        """(T, S*D) -> (T, D): made of the streams behind their norm."""
        low = ops.scale(ops.linear(w[f"{name}_down"], normed), 1 / self.count)
        gate = ops.linear(w[f"{name}_up"], ops.activate(low, "silu"))
        gated = ops.gate(gate, normed, "sigmoid")
        return mean_of_streams(ops, gated, self.count, self.width)

    def leaving(self, ops: Operators, x: Array, y: Array, normed: Array, w: Linear) -> Array:
        """(T, S*D), (T, D), (T, S*D) -> (T, S*D): the streams with the mixer's result."""
        shares = ops.activate(ops.scale(ops.linear(w, normed), 1 / self.count), "sigmoid")
        return ops.add(x, ops.multiply(ops.join([y] * self.count), ops.scale(shares, 2.0)))


@dataclass(frozen=True, slots=True)
class GatedStreamBlock:
    """Two mixers between such streams."""

    mixer: Mixer
    channel: Mixer
    streams: GatedStreams

    def __call__(self, ops: Operators, x: Array, w: Layer) -> Array:
        for mixer, name in ((self.mixer, "hc_attn"), (self.channel, "hc_ffn")):
            normed = self.streams.normed(ops, x, w[f"{name}_norm"])
            y = mixer(ops, self.streams.entering(ops, normed, w, name), w)
            x = self.streams.leaving(ops, x, y, normed, w[f"{name}_inject"])
        return x


@dataclass(frozen=True, slots=True)
class StreamBlock:
    """A pre-norm block between streams."""

    mixer: Mixer
    channel: Mixer
    norm: Norm
    streams: Streams

    def __call__(self, ops: Operators, x: Array, w: Layer) -> Array:
        x = self.half(ops, x, w, self.mixer, "attn")
        return self.half(ops, x, w, self.channel, "ffn")

    def half(self, ops: Operators, x: Array, w: Layer, mixer: Mixer, name: str) -> Array:
        first, *last = self.streams.matrices(w, f"hc_{name}", *self.streams.rows)
        y = self.norm(ops, self.streams.entering(ops, x, first), w[f"{name}_norm"])
        return self.streams.leaving(ops, x, mixer(ops, y, w), *last)
