"""Llama-3.x-Nemotron (NVIDIA 2024): a search left out heads, matrices and whole mixers by layer."""

from dataclasses import dataclass

from lepton_cli.models.architectures.llama.llama import Llama
from lepton_cli.models.parts.block import Mixer, Norm
from lepton_cli.models.weights import Layer
from ops.interface import Array, Operators


class Deci(Llama):
    def block(self, layer: int) -> Mixer:
        """A layer without feed-forward passes on what entered, whatever its attention gives."""
        if not self.keys.at("feed_forward_length", layer):
            return unchanged
        if not self.keys.at("attention.head_count", layer):
            return ChannelOnly(self.channel(layer), self.norm)
        return super().block(layer)

    def mixer(self, layer: int) -> Mixer:
        """A layer without heads of keys and values has one matrix in place of attention."""
        return super().mixer(layer) if self.keys.at("attention.head_count_kv", layer) else linear


def unchanged(ops: Operators, x: Array, w: Layer) -> Array:
    w.leave_out("attn_norm", "attn_q", "attn_k", "attn_v", "attn_output")
    return x


def linear(ops: Operators, x: Array, w: Layer) -> Array:
    return ops.linear(w.attn_output, x)


@dataclass(frozen=True, slots=True)
class ChannelOnly:
    channel: Mixer
    norm: Norm

    def __call__(self, ops: Operators, x: Array, w: Layer) -> Array:
        return ops.add(x, self.channel(ops, self.norm(ops, x, w.ffn_norm), w))
