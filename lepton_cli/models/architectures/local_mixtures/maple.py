"""Maple (2026): Qwen 3 with experts; local layers alone turn, gates of experts are bounded."""

from dataclasses import replace

from lepton_cli.models.decoder import Decoder
from lepton_cli.models.parts.feed_forward import Limit, Mixture
from lepton_cli.models.weights import FEED_FORWARD_SCALES
from ops.interface import Rope


class Maple(Decoder):
    has_head_norm = True
    local_period, default_window = 1, None  # the file lists the local layers
    stretches_local = True
    unapplied = FEED_FORWARD_SCALES

    def mixture(self, layer: int) -> Mixture:
        limit = Limit(self.keys.number_at("swiglu_clamp_exp", layer, 0.0), early=True)
        return replace(super().mixture(layer), limit=limit)

    def rope(self, layer: int) -> Rope | None:
        return self.local_rope if self.is_local(layer) else None

    def local_base(self) -> float:
        return self.keys.rope_base("rope.freq_base_swa", self.rope_base())

    @property
    def local_rotary(self) -> int:
        return self.read_rotary("rope.dimension_count_swa", self.rotary)
