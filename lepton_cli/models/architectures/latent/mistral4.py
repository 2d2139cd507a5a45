"""Mistral Large 3 and Small 4 (2025): DeepSeek V3 with queries that grow with the position."""

from dataclasses import replace

from lepton_cli.models.architectures.latent.deepseek2 import DeepSeek2
from lepton_cli.models.parts.attention import Temperature
from lepton_cli.models.parts.latent import LatentAttention
from lepton_cli.models.weights import FEED_FORWARD_SCALES


class Mistral4(DeepSeek2):
    unapplied = FEED_FORWARD_SCALES

    def latent(self, layer: int) -> LatentAttention:
        scale = self.keys.not_negative("attention.temperature_scale", 0.0)
        if not scale:
            return super().latent(layer)
        period = self.keys.positive("attention.temperature_length")
        return replace(super().latent(layer), temperature=Temperature(scale, period))
