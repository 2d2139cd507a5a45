"""Nemotron 3 and 4 (NVIDIA), Jais 2: layer norms, rotary positions, a squared ReLU."""

from lepton_cli.models.decoder import Decoder
from lepton_cli.models.parts.block import Mixer
from lepton_cli.models.parts.feed_forward import Ungated


class Nemotron(Decoder):
    has_layer_norms = True

    def channel(self, layer: int) -> Mixer:
        return Ungated("squared_relu")
