"""Laguna (poolside 2026): gated attention with as many heads as a layer has, local layers."""

from dataclasses import replace

from lepton_cli.models.decoder import Decoder
from lepton_cli.models.parts.attention import GroupedAttention
from ops.interface import Rope


class Laguna(Decoder):
    has_head_norm = True
    local_period, global_first = 4, True
    gating, has_gating_key, normalizes, has_shared_expert = "sigmoid", True, None, True

    def attention(self, layer: int) -> GroupedAttention:
        return replace(super().attention(layer), gate="softplus")

    def rope(self, layer: int) -> Rope | None:
        return self.local_rope if self.is_local(layer) else self.global_rope

    def local_base(self) -> float:
        return self.keys.rope_base("rope.freq_base_swa", self.rope_base())

    @property
    def local_rotary(self) -> int:
        return self.read_rotary("rope.dimension_count_swa", self.rotary)
