"""Nomic Embed (Nussbaum et al. 2024): BERT with rotary positions and gates, later with experts."""

from dataclasses import replace

from lepton_cli.models.architectures.encoders.bert import Bert
from lepton_cli.models.decoder import Decoder
from lepton_cli.models.parts.block import Mixer
from lepton_cli.models.parts.feed_forward import Dense, Mixture
from ops.interface import Rope


class NomicBert(Bert):
    activation = "silu"

    def dense(self, suffix: str = "") -> Mixer:
        return Dense(self.activation, suffix=suffix)

    def rope(self, layer: int) -> Rope | None:
        return Decoder.rope(self, layer)


class NomicBertMoe(Bert):
    """Some layers have experts without gates, whose weights are not divided by their sum."""

    normalizes = False

    def mixture(self, layer: int) -> Mixture:
        return replace(super().mixture(layer), gated=False)

    def rope(self, layer: int) -> Rope | None:
        return Decoder.rope(self, layer)
