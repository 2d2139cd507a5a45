"""Gemma 2: scaled embeddings, GeGLU, a norm after each branch, soft caps, local layers."""

from lepton_cli.models.decoder import Decoder
from lepton_cli.models.weights import Layer
from ops.interface import Array, Operators


class Gemma2(Decoder):
    activation = "gelu"
    local_layers = 2  # one layer in so many sees the whole context
    wide_scale_layers = 46  # the model of this depth scales scores by its width over its heads

    def embed(self, ops: Operators) -> Array:
        return ops.scale(super().embed(ops), self.parameters.width**0.5)

    def block(self, ops: Operators, x: Array, w: Layer) -> Array:
        y = self.attention(ops, self.norm(ops, x, w.attn_norm), w)
        x = ops.add(x, self.norm(ops, y, w.post_attention_norm))
        y = self.feed_forward(ops, self.norm(ops, x, w.ffn_norm), w)
        return ops.add(x, self.norm(ops, y, w.post_ffw_norm))

    def logits(self, ops: Operators, x: Array) -> Array:
        cap = self.keys.number("final_logit_softcapping", 30.0)
        return ops.softcap(super().logits(ops, x), cap)

    def softcap(self) -> float | None:
        return self.keys.number("attn_logit_softcapping", 50.0)

    def is_local(self, layer: int) -> bool:
        period = self.keys.period("attention.sliding_window_pattern", self.local_layers)
        return period == 0 or layer % period < period - 1

    def window(self, layer: int) -> int | None:
        window = self.keys.integer("attention.sliding_window", 4096)
        return window if window > 0 and self.is_local(layer) else None

    def attention_scale(self) -> float:
        p = self.parameters
        if p.layers == self.wide_scale_layers:
            return float((p.width / p.heads) ** -0.5)
        return super().attention_scale()
