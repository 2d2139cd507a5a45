"""Jina embeddings v2 (Günther et al. 2023) and v3 (Sturua et al. 2024)."""

from dataclasses import dataclass, replace

from lepton_cli.models.architectures.encoders.bert import Bert
from lepton_cli.models.decoder import Decoder
from lepton_cli.models.parts.attention import GroupedAttention, falling_slopes
from lepton_cli.models.parts.block import Mixer, SumNorm
from lepton_cli.models.parts.feed_forward import Dense
from lepton_cli.models.weights import Layer
from ops.interface import Array, Operators, Rope

MOST_BIAS = 8.0  # of the distances between tokens; no key gives it


class JinaBertV2(Bert):
    """Biases by distance in place of positions, and gates; for code with norms of q and k."""

    has_head_norm = None  # of whole rows

    def attention(self, layer: int) -> GroupedAttention:
        return replace(super().attention(layer), whole_rows=True)

    def block(self, layer: int) -> Mixer:
        if f"blk.{layer}.attn_norm_2" in self.weights:
            return TwiceNormed(self.mixer(layer), self.channel(layer), self.norm)
        return super().block(layer)

    def dense(self, suffix: str = "") -> Mixer:
        return Dense(self.activation, suffix=suffix)

    def slopes(self, heads: int) -> tuple[float, ...] | None:
        return falling_slopes(heads, MOST_BIAS)


@dataclass(frozen=True, slots=True)
class TwiceNormed(SumNorm):
    """What entered the block is added a second time, behind the norm of the first sum."""

    def __call__(self, ops: Operators, x: Array, w: Layer) -> Array:
        y = self.norm(ops, ops.add(x, self.mixer(ops, x, w)), w[self.mixer_norm])
        x = self.norm(ops, ops.add(x, y), w.attn_norm_2)
        return self.norm(ops, ops.add(x, self.channel(ops, x, w)), w[self.channel_norm])


class JinaBertV3(Bert):
    """BERT with rotary positions."""

    def rope(self, layer: int) -> Rope | None:
        return Decoder.rope(self, layer)
