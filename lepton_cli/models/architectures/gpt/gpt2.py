"""GPT-2 (Radford et al. 2019): learned positions, layer norms, an ungated GELU."""

from lepton_cli.models.decoder import Decoder
from lepton_cli.models.parts.block import Mixer
from lepton_cli.models.parts.feed_forward import Ungated
from ops.interface import Array, Operators, Rope


class Gpt2(Decoder):
    has_layer_norms = True

    def embed(self, ops: Operators) -> Array:
        return ops.add(super().embed(ops), self.embed_positions(ops))

    def channel(self, layer: int) -> Mixer:
        return Ungated("gelu")

    def rope(self, layer: int) -> Rope | None:
        return None
