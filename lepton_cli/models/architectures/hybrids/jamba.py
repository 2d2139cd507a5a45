"""Jamba (AI21 2024): Mamba, and attention without positions in some layers; experts in some."""

from lepton_cli.models.decoder import Decoder
from lepton_cli.models.parts.block import Mixer
from lepton_cli.models.parts.feed_forward import Dense
from lepton_cli.models.parts.state_space import Mamba
from ops.interface import Rope


class Jamba(Decoder):
    def mixer(self, layer: int) -> Mixer:
        if self.keys.at("attention.head_count_kv", layer):
            return self.attention(layer)
        return Mamba.read(self.keys, self.eps)

    def channel(self, layer: int) -> Mixer:
        has_experts = f"blk.{layer}.ffn_gate_inp" in self.weights
        return super().channel(layer) if has_experts else Dense(self.activation)

    def rope(self, layer: int) -> Rope | None:
        return None
