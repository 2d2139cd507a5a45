"""StableLM: layer norms around SwiGLU, part of each head turns; the 12B's mixers are parallel."""

from lepton_cli.models.decoder import Decoder
from lepton_cli.models.parts.block import Mixer, Parallel


class StableLm(Decoder):
    has_layer_norms = True
    has_head_norm = None

    def block(self, layer: int) -> Mixer:
        if f"blk.{layer}.ffn_norm" in self.weights:
            return super().block(layer)
        return Parallel(self.mixer(layer), self.channel(layer), self.norm)
