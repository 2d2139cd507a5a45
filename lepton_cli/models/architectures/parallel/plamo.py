"""PLaMo 13B: Llama with both mixers at once from one norm."""

from lepton_cli.models.decoder import Decoder
from lepton_cli.models.parts.block import Mixer, Parallel


class Plamo(Decoder):
    def block(self, layer: int) -> Mixer:
        return Parallel(self.mixer(layer), self.channel(layer), self.norm)
