"""Gemma 2: scaled embeddings, GeGLU, a norm after each branch, soft caps, local layers."""

from lepton_cli.models.decoder import Decoder
from lepton_cli.models.parts.block import Mixer, SandwichNorm
from ops.interface import Array, Operators


class Gemma2(Decoder):
    activation = "gelu"
    local_period, default_window = 2, 4096
    wide_scale_layers = 46  # the model of this depth scales scores by its width over its heads
    final_softcap = 30.0

    def embed(self, ops: Operators) -> Array:
        return ops.scale(super().embed(ops), self.width**0.5)

    def block(self, layer: int) -> Mixer:
        return SandwichNorm(self.mixer(layer), self.channel(layer), self.norm)

    def logits(self, ops: Operators, x: Array) -> Array:
        y = super().logits(ops, x)
        cap = self.keys.not_negative("final_logit_softcapping", self.final_softcap)
        return ops.softcap(y, cap) if cap else y

    def softcap(self) -> float | None:
        return self.keys.not_negative("attn_logit_softcapping", 50.0) or None

    def attention_scale(self, layer: int) -> float:
        if self.layers == self.wide_scale_layers:
            heads = self.keys.heads_at(layer)
            return float((self.width / heads) ** -0.5)
        return super().attention_scale(layer)
