"""ERNIE 4.5 dense (Baidu 2025), PaddleOCR's text model: Llama, whatever experts a key counts."""

from lepton_cli.models.decoder import Decoder
from lepton_cli.models.parts.block import Mixer
from lepton_cli.models.parts.feed_forward import Dense
from lepton_cli.models.weights import FEED_FORWARD_SCALES


class Ernie45(Decoder):
    interleaved_rope = True

    def channel(self, layer: int) -> Mixer:
        return Dense(self.activation)


class PaddleOcr(Ernie45):
    interleaved_rope = False
    axes = "stretches"
    unapplied = FEED_FORWARD_SCALES
