"""Jais: GPT-2 with SwiGLU, biases by distance, and scores divided by the heads' width."""

from lepton_cli.models.decoder import Decoder
from lepton_cli.models.parts.attention import falling_slopes
from ops.interface import Rope


class Jais(Decoder):
    has_layer_norms = True

    def attention_scale(self, layer: int) -> float:
        return 1 / self.head_width(layer)

    def rope(self, layer: int) -> Rope | None:
        return None

    def slopes(self, heads: int) -> tuple[float, ...] | None:
        most = self.keys.not_negative("attention.max_alibi_bias", 0.0)
        return falling_slopes(heads, most) if most else None
