"""Phi 1 to 2: both mixers at once from one layer norm, biases everywhere, an ungated GELU."""

from lepton_cli.models.decoder import Decoder
from lepton_cli.models.parts.block import Mixer, Parallel
from lepton_cli.models.parts.feed_forward import Ungated


class Phi2(Decoder):
    has_layer_norms = True

    def block(self, layer: int) -> Mixer:
        return Parallel(self.mixer(layer), self.channel(layer), self.norm)

    def channel(self, layer: int) -> Mixer:
        return Ungated("gelu")
