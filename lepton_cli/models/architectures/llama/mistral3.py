"""Mistral Small 3 and Ministral 3: Llama with YaRN and queries that grow with the position."""

from dataclasses import replace

from lepton_cli.models.architectures.llama.llama import Llama
from lepton_cli.models.parts.attention import GroupedAttention, Temperature
from lepton_cli.models.rope import Yarn, read_scaling, read_yarn


class Mistral3(Llama):
    @property
    def yarn(self) -> Yarn:
        return read_yarn(self.keys)

    def attention(self, layer: int) -> GroupedAttention:
        attention = super().attention(layer)
        scale = self.keys.not_negative("attention.temperature_scale", 0.0)
        if not scale:
            return attention
        period = read_scaling(self.keys).original_context
        return replace(attention, temperature=Temperature(scale, period))
