"""OLMo 2 and 3 (AI2): norms behind each mixer, and of whole rows of q and k."""

from dataclasses import replace

from lepton_cli.models.decoder import Decoder
from lepton_cli.models.parts.attention import GroupedAttention
from lepton_cli.models.parts.block import Mixer, PostNorm
from ops.interface import Rope


class OlMoe(Decoder):
    """Norms before the mixers, and experts whose weights do not sum to 1."""

    has_head_norm = True
    normalizes = False

    def attention(self, layer: int) -> GroupedAttention:
        return replace(super().attention(layer), whole_rows=True)


class Olmo2(Decoder):
    """OLMo 3 adds local layers, whose positions are not stretched."""

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
