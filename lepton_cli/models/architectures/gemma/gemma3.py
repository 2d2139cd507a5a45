"""Gemma 3: Gemma 2 without caps, with normalised heads and a rotary base for local layers."""

from lepton_cli.models.architectures.gemma.gemma2 import Gemma2
from ops.interface import Rope


class Gemma3(Gemma2):
    has_head_norm = True
    local_period, default_window = 6, 0
    wide_scale_layers = 62
    final_softcap = 0.0

    def softcap(self) -> float | None:
        return None

    def rope_base(self) -> float:
        """Files that ollama converted itself name the bases of global and local layers."""
        older = self.keys.rope_base("rope.global.freq_base", 10000.0)
        return self.keys.rope_base("rope.freq_base", older)

    def rope(self, layer: int) -> Rope | None:
        return self.global_rope if self.window(layer) is None else self.local_rope

    def local_base(self) -> float:
        older = self.keys.rope_base("rope.local.freq_base", 10000.0)
        return self.keys.rope_base("rope.freq_base_swa", older)
