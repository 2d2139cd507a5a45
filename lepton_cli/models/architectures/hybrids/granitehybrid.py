"""Granite 4 (IBM 2025): Granite whose layers without heads of keys and values are Mamba-2."""

from lepton_cli.models.architectures.granite.granite import Granite
from lepton_cli.models.parts.block import Mixer, Scaled
from lepton_cli.models.parts.state_space import Mamba2


class GraniteHybrid(Granite):
    def mixer(self, layer: int) -> Mixer:
        if self.keys.at("attention.head_count_kv", layer):
            return super().mixer(layer)
        return Scaled(Mamba2.read(self.keys, self.norm), self.residual_scale())

    def logit_scale(self) -> float:
        return self.multiplier("logit_scale", 1.0)
