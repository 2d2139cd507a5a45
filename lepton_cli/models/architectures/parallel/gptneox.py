"""GPT-NeoX (Black et al. 2022), Pythia: layer norms, an ungated GELU, mixers mostly parallel."""

from lepton_cli.models.decoder import Decoder
from lepton_cli.models.parts.block import Mixer, Parallel
from lepton_cli.models.parts.feed_forward import Ungated


class GptNeoX(Decoder):
    has_layer_norms = True

    def block(self, layer: int) -> Mixer:
        if not self.keys.boolean("use_parallel_residual"):
            return super().block(layer)
        mixers = self.mixer(layer), self.channel(layer)
        return Parallel(*mixers, self.norm, channel_norm="ffn_norm")

    def channel(self, layer: int) -> Mixer:
        return Ungated("gelu")
