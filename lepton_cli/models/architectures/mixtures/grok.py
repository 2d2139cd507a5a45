"""Grok 1 and 2 (xAI 2024): norms before and behind each mixer, soft-capped scores."""

from dataclasses import replace

from lepton_cli.models.decoder import Decoder
from lepton_cli.models.parts.block import Mixer, SandwichNorm, Scaled, Sum
from lepton_cli.models.rope import Yarn, read_yarn
from lepton_cli.models.weights import FEED_FORWARD_SCALES
from ops.interface import Array, Operators


class Grok(Decoder):
    activation = "gelu"
    unapplied = FEED_FORWARD_SCALES

    def embed(self, ops: Operators) -> Array:
        scale = self.keys.not_negative("embedding_scale", 78.38367176906169)
        return ops.scale(super().embed(ops), scale)

    def block(self, layer: int) -> Mixer:
        own = f"blk.{layer}.layer_output_norm" in self.weights
        return SandwichNorm(
            self.mixer(layer),
            self.channel(layer),
            self.norm,
            mixer_norm="attn_output_norm",
            channel_norm="layer_output_norm" if own else "post_ffw_norm",
        )

    def channel(self, layer: int) -> Mixer:
        """Grok 2 has a dense part beside the experts."""
        if f"blk.{layer}.ffn_up" not in self.weights:
            return self.mixture(layer)
        return Scaled(Sum(self.mixture(layer), self.dense()), 2**-0.5)

    def attention_scale(self, layer: int) -> float:
        return self.keys.not_negative("attention.output_scale", 0.08838834764831845)

    def softcap(self) -> float | None:
        return self.keys.not_negative("attn_logit_softcapping", 30.0) or None

    def logits(self, ops: Operators, x: Array) -> Array:
        scale = self.keys.not_negative("logit_scale", 0.5773502691896257)
        y = ops.scale(super().logits(ops, x), scale)
        cap = self.keys.not_negative("final_logit_softcapping", 0.0)
        return ops.softcap(y, cap) if cap > 0 else y

    @property
    def yarn(self) -> Yarn:
        return replace(read_yarn(self.keys, fast=8.0), log_multiplier=0.0)
