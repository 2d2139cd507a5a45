"""Falcon (TII 2023): both mixers at once, few heads of keys and values, an ungated GELU."""

from lepton_cli.models.decoder import Decoder
from lepton_cli.models.parts.block import Mixer, Parallel
from lepton_cli.models.parts.feed_forward import Ungated


class Falcon(Decoder):
    has_layer_norms = True

    def block(self, layer: int) -> Mixer:
        """In the 40B attention has a norm of its own."""
        own = f"blk.{layer}.attn_norm_2" in self.weights
        norm = "attn_norm_2" if own else "attn_norm"
        return Parallel(self.mixer(layer), self.channel(layer), self.norm, mixer_norm=norm)

    def channel(self, layer: int) -> Mixer:
        return Ungated("gelu")
