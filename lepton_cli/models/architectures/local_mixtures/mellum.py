"""Mellum 2 (JetBrains 2026): Qwen 3 with experts; local layers turn without stretching."""

from lepton_cli.models.decoder import Decoder
from ops.interface import Rope


class Mellum(Decoder):
    has_head_norm = True
    local_period = 4

    def rope(self, layer: int) -> Rope | None:
        return self.local_rope if self.is_local(layer) else self.global_rope

    def local_base(self) -> float:
        return self.rope_base()
