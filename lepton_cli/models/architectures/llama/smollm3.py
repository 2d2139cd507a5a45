"""SmolLM 3: Llama without positions in every fourth layer."""

from lepton_cli.models.architectures.llama.llama import Llama
from ops.interface import Rope


class SmolLm3(Llama):
    def rope(self, layer: int) -> Rope | None:
        return self.global_rope if (layer + 1) % 4 else None
