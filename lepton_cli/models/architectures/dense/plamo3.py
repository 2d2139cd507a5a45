"""PLaMo 3 (Preferred Networks 2025): fused matrices, a sandwich of norms, local layers."""

from lepton_cli.models.decoder import Decoder
from lepton_cli.models.parts.block import Mixer, SandwichNorm
from lepton_cli.models.weights import FEED_FORWARD_SCALES
from ops.interface import Rope


class Plamo3(Decoder):
    has_head_norm = True
    local_period = 8
    unapplied = FEED_FORWARD_SCALES | {"attn_qkv.scale"}

    def block(self, layer: int) -> Mixer:
        return SandwichNorm(self.mixer(layer), self.channel(layer), self.norm)

    def rope(self, layer: int) -> Rope | None:
        return self.local_rope if self.is_local(layer) else self.global_rope
