"""Hyper-connections (Zhu et al. 2024): several residual streams beside each other."""

from dataclasses import dataclass

from lepton_cli.models.parts.block import Mixer, Norm, ones_like
from lepton_cli.models.weights import Layer, Weights
from ops.interface import Array, Linear, Operators, check_widths


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

    def leaving(self, ops: Operators, x: Array, y: Array, made_by: Linear) -> Array:
        """(T, S*D), (T, D) -> (T, S*D): the streams with the mixer's result."""
        shares = self.shares(ops, x, made_by, self.magnitude)
        return ops.add(x, ops.multiply(ops.join([y] * self.count), shares))

    def shares(self, ops: Operators, x: Array, made_by: Linear, most: float) -> Array:
        """(T, S*D) -> (T, S)."""
        normed = ops.rms_norm(x, self.count * self.width, self.norm_eps)
        y = ops.scale(ops.activate(ops.linear(made_by, normed), "sigmoid"), most)
        return ops.add(y, ops.scale(ones_like(ops, y), self.least))

    def matrix(self, w: Layer | Weights, name: str, part: int = 0, parts: int = 1) -> Linear:
        """Rows of `name`_fn with their biases, and a scale for each part. Raises ModelFileError."""
        stretch, matrix = (self.count * part, self.count * (part + 1)), w[f"{name}_fn"].weight
        check_widths(matrix.name, matrix.rows, self.count * parts)
        return Linear(
            matrix.part(*stretch),
            w[f"{name}_base"].weight.columns_part(*stretch),
            w[f"{name}_scale"].weight.columns_part(part, part + 1),
        )


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
        first, last = (self.streams.matrix(w, f"hc_{name}", part, 2) for part in (0, 1))
        y = self.norm(ops, self.streams.entering(ops, x, first), w[f"{name}_norm"])
        return self.streams.leaving(ops, x, mixer(ops, y, w), last)
