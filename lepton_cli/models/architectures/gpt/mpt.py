"""MPT, Replit: layer norms, an ungated GELU, biases by distance, bounded q, k and v."""

from dataclasses import dataclass, replace

import numpy as np

from lepton_cli.models.architectures.gpt.gpt2 import Gpt2
from lepton_cli.models.decoder import Decoder
from lepton_cli.models.parts.attention import GroupedAttention, falling_slopes
from lepton_cli.models.parts.block import Mixer
from lepton_cli.models.weights import Layer
from ops.interface import Array, Linear, Operators, Weight
from quant.errors import ModelFileError
from quant.format import FORMATS, dequantize


class Mpt(Gpt2):
    has_norm_biases = False  # some files have them
    has_head_norm = None  # of whole rows

    def embed(self, ops: Operators) -> Array:
        """Some have a table of positions beside."""
        table = "position_embd" in self.weights
        return super().embed(ops) if table else Decoder.embed(self, ops)

    def attention(self, layer: int) -> GroupedAttention:
        """llama.cpp leaves a norm of k out that stands alone."""
        clamp = self.keys.not_negative("attention.clamp_kqv", 0.0)
        attention = replace(super().attention(layer), whole_rows=True, clamp=clamp or None)
        if attention.head_norm is None and f"blk.{layer}.attn_k_norm" in self.weights:
            self.weights[f"blk.{layer}.attn_k_norm"]
        return attention

    def channel(self, layer: int) -> Mixer:
        """Files that were quantized by activations say what each is divided by."""
        name = f"blk.{layer}.ffn.act.scales"
        if name not in self.weights:
            return super().channel(layer)
        return Divided(inverse_of(self.weights.weight(name)))

    def slopes(self, heads: int) -> tuple[float, ...] | None:
        most = self.keys.not_negative("attention.max_alibi_bias", 0.0)
        return falling_slopes(heads, most) if most else None


def inverse_of(divisors: Weight) -> Linear:
    values = dequantize(divisors.format, divisors.data)
    if not np.all(values):
        raise ModelFileError(f"the tensor {divisors.name} holds a divisor of 0")
    inverse = (1 / values).astype(np.float32).view(np.uint8)
    return Linear(Weight(divisors.name, FORMATS["F32"], divisors.columns, inverse))


@dataclass(frozen=True, slots=True)
class Divided:
    """down(gelu(up x) / divisors)."""

    inverse: Linear

    def __call__(self, ops: Operators, x: Array, w: Layer) -> Array:
        y = ops.activate(ops.linear(w.ffn_up, x), "gelu")
        return ops.linear(w.ffn_down, ops.scale_by(y, self.inverse))
