"""MiniCPM 1 and 2: Granite's multipliers, with others in files that do not say."""

from lepton_cli.models.architectures.granite.granite import Granite
from ops.interface import Rope


class MiniCpm(Granite):
    def embedding_scale(self) -> float:
        return self.multiplier("embedding_scale", 12.0)

    def residual_scale(self) -> float:
        return self.multiplier("residual_scale", 1.4 * self.layers**-0.5)

    def logit_scale(self) -> float:
        return self.multiplier("logit_scale", self.width / 256)

    def rope(self, layer: int) -> Rope | None:
        return self.global_rope
