"""Jamba (AI21 2024): Mamba, and attention without positions in some layers; experts in some."""

from lepton_cli.models.decoder import Decoder
from lepton_cli.models.parts.block import Mixer
from lepton_cli.models.parts.state_space import Mamba
from ops.interface import Rope


class Jamba(Decoder):
    normalizes = False

    def mixer(self, layer: int) -> Mixer:
        if self.keys.at("attention.head_count_kv", layer):
            return self.attention(layer)
        return Mamba.read(self.keys, self.eps, has_inner_weights=True)

    def rope(self, layer: int) -> Rope | None:
        return None
