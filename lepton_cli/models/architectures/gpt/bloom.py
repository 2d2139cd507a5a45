"""BLOOM: layer norms, an ungated GELU, biases by distance in place of positions."""

from lepton_cli.models.decoder import Decoder
from lepton_cli.models.parts.attention import falling_slopes
from lepton_cli.models.parts.block import Mixer
from lepton_cli.models.parts.feed_forward import Ungated
from ops.interface import Array, Operators, Rope


class Bloom(Decoder):
    has_layer_norms = True

    def embed(self, ops: Operators) -> Array:
        return self.norm(ops, super().embed(ops), self.weights["token_embd_norm"])

    def channel(self, layer: int) -> Mixer:
        return Ungated("gelu")

    def rope(self, layer: int) -> Rope | None:
        return None

    def slopes(self, heads: int) -> tuple[float, ...] | None:
        return falling_slopes(heads, 8.0)
