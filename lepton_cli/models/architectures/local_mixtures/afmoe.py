"""Trinity (Arcee 2025): gated attention, norms before and behind each mixer, local layers."""

from dataclasses import replace

from lepton_cli.models.decoder import Decoder
from lepton_cli.models.parts.attention import GroupedAttention
from lepton_cli.models.parts.block import Mixer, SandwichNorm
from ops.interface import Array, Operators, Rope


class AfMoe(Decoder):
    has_head_norm = True
    local_period = 4
    stretches_local = True
    gating, has_gating_key, normalizes, has_shared_expert = "sigmoid", True, None, True

    def embed(self, ops: Operators) -> Array:
        return ops.scale(super().embed(ops), self.width**0.5)

    def block(self, layer: int) -> Mixer:
        return SandwichNorm(self.mixer(layer), self.channel(layer), self.norm)

    def attention(self, layer: int) -> GroupedAttention:
        return replace(super().attention(layer), gate="sigmoid")

    def rope(self, layer: int) -> Rope | None:
        """Each fourth layer does not turn, whether or not the others have windows."""
        if layer % 4 == 3:
            return None
        return self.local_rope if self.is_local(layer) else self.global_rope

    def local_base(self) -> float:
        return self.keys.rope_base("rope.freq_base_swa", self.rope_base())
