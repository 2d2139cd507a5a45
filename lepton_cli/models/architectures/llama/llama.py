"""Llama 1 to 3 and its many relatives (Mistral, Mixtral, SmolLM, Yi, ...)."""

from lepton_cli.models.decoder import Decoder


class Llama(Decoder):
    interleaved_rope = True

    def attention_scale(self, layer: int) -> float:
        return self.keys.not_negative("attention.scale", 0.0) or super().attention_scale(layer)
