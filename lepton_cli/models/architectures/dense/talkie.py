"""Talkie: norms without weights, and the embedding once more behind each block."""

from dataclasses import dataclass

from lepton_cli.models.decoder import Decoder
from lepton_cli.models.parts.attention import GroupedAttention
from lepton_cli.models.parts.block import BarePreNorm, Mixer
from lepton_cli.models.weights import FEED_FORWARD_SCALES, Layer
from ops.interface import Array, Linear, Operators, Weight, check_widths


class Talkie(Decoder):
    unapplied = FEED_FORWARD_SCALES - {"ffn_down.scale"}

    def forward(self, ops: Operators) -> Array:
        x = first = self.final_norm(ops, self.embed(ops))  # (T, D)
        for n, block in enumerate(self.blocks):
            w, layer = Layer(self.weights, n), ops.layer(n)
            x = layer.add(block(layer, x, w), layer.scale_by(first, w.layer_output_scale))
            x = self.steered(layer, x, n)
        return self.logits(ops, self.final_norm(ops, ops.select_outputs(x)))  # (O, V)

    def block(self, layer: int) -> Mixer:
        return BarePreNorm(self.mixer(layer), self.channel(layer), self.final_norm)

    def attention(self, layer: int) -> GroupedAttention:
        parts = self.heads(layer), self.rope(layer)
        return TalkieAttention(*parts, norm_last=True, eps=self.eps)

    def final_norm(self, ops: Operators, x: Array) -> Array:
        return ops.rms_norm(x, self.width, self.eps)

    def logits(self, ops: Operators, x: Array) -> Array:
        return ops.scale(super().logits(ops, x), self.keys.not_negative("logit_scale"))


@dataclass(frozen=True, slots=True)
class TalkieAttention(GroupedAttention):
    """The norms have no weights but a number for each head of q."""

    eps: float = 0.0

    def normalized(self, ops: Operators, q: Array, k: Array, w: Layer) -> tuple[Array, Array]:
        width = self.heads.head_width
        factors = w.attn_q_norm.weight  # (H, 1)
        check_widths(factors.name, factors.rows * factors.columns, self.heads.query_heads)
        row = Weight(factors.name, factors.format, factors.rows, factors.data.reshape(1, -1))
        q, k = ops.rms_norm(q, width, self.eps), ops.rms_norm(k, width, self.eps)
        return ops.scale_by(q, Linear(row)), k
