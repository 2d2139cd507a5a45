"""Embeddings of the last few tokens together, which enter streams in a layer (Qwen 2026)."""

from dataclasses import dataclass

from lepton_cli.models.parts.block import Mixer
from lepton_cli.models.parts.streams import GatedStreams
from lepton_cli.models.weights import Layer
from ops.interface import Array, Linear, Ngrams, Operators, Weight


@dataclass(frozen=True, slots=True)
class NgramInput:
    """Before `block` a value of the n-grams is added to each stream that its key meets, and what a
    convolution of such values makes of them."""

    ngrams: Ngrams
    table: Weight
    taps: Linear
    streams: GatedStreams
    block: Mixer

    def __call__(self, ops: Operators, x: Array, w: Layer) -> Array:
        s = self.streams
        made = ops.embed_ngrams(self.table, self.ngrams)  # (T, heads*D')
        key = s.normed(ops, ops.linear(w.ple_key, made), w.ple_norm_key)  # (T, S*D)
        met = ops.multiply(key, s.normed(ops, x, w.ple_norm_query))
        score = ops.scale(ops.sums(met, s.width), s.width**-0.5)  # (T, S)
        gate = ops.activate(ops.activate(score, "signed_root"), "sigmoid")
        value = ops.multiply(ops.join([ops.linear(w.ple_value, made)] * s.count), gate)
        mixed = ops.convolve(s.normed(ops, value, w.ple_norm_conv), self.taps)
        x = ops.add(x, ops.add(value, ops.activate(mixed, "silu")))
        return self.block(ops, x, w)
