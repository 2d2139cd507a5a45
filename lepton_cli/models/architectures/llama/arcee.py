"""Arcee: Llama with an ungated squared ReLU."""

from lepton_cli.models.architectures.llama.llama import Llama
from lepton_cli.models.parts.block import Mixer
from lepton_cli.models.parts.feed_forward import Ungated


class Arcee(Llama):
    def channel(self, layer: int) -> Mixer:
        return Ungated("squared_relu")
