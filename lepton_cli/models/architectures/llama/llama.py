"""Llama 1 to 3 and its many relatives (Mistral, Mixtral, SmolLM, Yi, ...)."""

from lepton_cli.models.decoder import Decoder
from ops.interface import Rope


class Llama(Decoder):
    """Interleaved rotary positions; Llama 3.1 and later divide frequencies by `rope_freqs`."""

    interleaved_rope = True

    def read_rope(self) -> Rope | None:
        rope = super().read_rope()
        if rope is None or "rope_freqs" not in self.weights:
            return rope
        divisors = self.factors("rope_freqs.weight")
        return self.turn(rope.frequencies / divisors, rope.magnitude)

    def attention_scale(self, layer: int) -> float:
        return self.keys.number("attention.scale", 0.0) or super().attention_scale(layer)
