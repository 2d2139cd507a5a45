"""The wiring of a block: which norms stand where around its two mixers."""

from collections.abc import Callable
from dataclasses import dataclass

from lepton_cli.models.weights import Layer
from ops.interface import Array, Linear, Operators

Mixer = Callable[[Operators, Array, Layer], Array]  # (T, D) -> (T, D), of tokens or of channels
Norm = Callable[[Operators, Array, Linear], Array]


@dataclass(frozen=True, slots=True)
class RmsNorm:
    eps: float

    def __call__(self, ops: Operators, x: Array, w: Linear) -> Array:
        return ops.rms_norm(x, w, self.eps)


@dataclass(frozen=True, slots=True)
class LayerNorm:
    eps: float

    def __call__(self, ops: Operators, x: Array, w: Linear) -> Array:
        return ops.layer_norm(x, w, self.eps)


@dataclass(frozen=True, slots=True)
class PreNorm:
    """A norm before each mixer, whose result is added to what entered (Xiong et al. 2020)."""

    mixer: Mixer
    channel: Mixer
    norm: Norm
    ffn_norm: str = "ffn_norm"  # the tensor of the norm before the channel mixer

    def __call__(self, ops: Operators, x: Array, w: Layer) -> Array:
        x = ops.add(x, self.mixer(ops, self.norm(ops, x, w.attn_norm), w))
        return ops.add(x, self.channel(ops, self.norm(ops, x, w[self.ffn_norm]), w))


@dataclass(frozen=True, slots=True)
class SandwichNorm:
    """A norm before and after each mixer."""

    mixer: Mixer
    channel: Mixer
    norm: Norm

    def __call__(self, ops: Operators, x: Array, w: Layer) -> Array:
        y = self.mixer(ops, self.norm(ops, x, w.attn_norm), w)
        x = ops.add(x, self.norm(ops, y, w.post_attention_norm))
        y = self.channel(ops, self.norm(ops, x, w.ffn_norm), w)
        return ops.add(x, self.norm(ops, y, w.post_ffw_norm))
