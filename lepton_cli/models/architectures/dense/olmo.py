"""OLMo 1 to 3 (AI2): first layer norms without weights, then RMS norms behind each mixer."""

from dataclasses import replace

from lepton_cli.models.decoder import Decoder
from lepton_cli.models.parts.attention import GroupedAttention
from lepton_cli.models.parts.block import BarePreNorm, Mixer, PostNorm
from ops.interface import Array, Operators, Rope


class Olmo(Decoder):
    has_layer_norms, has_norm_biases = True, False
    interleaved_rope = True

    def block(self, layer: int) -> Mixer:
        return BarePreNorm(self.mixer(layer), self.channel(layer), self.final_norm)

    def final_norm(self, ops: Operators, x: Array) -> Array:
        return ops.layer_norm(x, self.width, self.eps)

    def attention(self, layer: int) -> GroupedAttention:
        clamp = self.keys.not_negative("attention.clamp_kqv", 0.0)
        return replace(super().attention(layer), clamp=clamp or None)


class OlMoe(Decoder):
    """Norms before the mixers, and experts whose weights do not sum to 1."""

    has_head_norm = True
    normalizes = False

    def attention(self, layer: int) -> GroupedAttention:
        return replace(super().attention(layer), whole_rows=True)


class Olmo2(Decoder):
    """The norms of q and k span all heads; OLMo 3 adds local layers, which are not stretched."""

    has_head_norm = True
    local_period = 4

    def block(self, layer: int) -> Mixer:
        return PostNorm(self.mixer(layer), self.channel(layer), self.norm)

    def attention(self, layer: int) -> GroupedAttention:
        return replace(super().attention(layer), whole_rows=True)

    def rope(self, layer: int) -> Rope | None:
        return self.local_rope if self.is_local(layer) else self.global_rope

    def local_base(self) -> float:
        return self.rope_base()
