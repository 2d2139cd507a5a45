"""Granite 3 (IBM 2024): Llama with multipliers of embedding, branches, scores and logits."""

from lepton_cli.models.architectures.llama.llama import Llama
from lepton_cli.models.parts.block import Mixer, Scaled
from lepton_cli.models.weights import FEED_FORWARD_SCALES
from ops.interface import Array, Operators, Rope


class Granite(Llama):
    unapplied = FEED_FORWARD_SCALES
    has_shared_expert = True

    def embed(self, ops: Operators) -> Array:
        return ops.scale(super().embed(ops), self.embedding_scale())

    def mixer(self, layer: int) -> Mixer:
        return Scaled(super().mixer(layer), self.residual_scale())

    def channel(self, layer: int) -> Mixer:
        return Scaled(super().channel(layer), self.residual_scale())

    def embedding_scale(self) -> float:
        return self.multiplier("embedding_scale", 1.0)

    def residual_scale(self) -> float:
        return self.multiplier("residual_scale", 1.0)

    def logits(self, ops: Operators, x: Array) -> Array:
        return ops.scale(super().logits(ops, x), 1 / self.logit_scale())

    def logit_scale(self) -> float:
        scale = self.keys.not_negative("logit_scale")
        if scale == 0:
            raise self.keys.error("logit_scale", "is 0")
        return scale

    def multiplier(self, key: str, default: float) -> float:
        """0 stands for a multiplier that the model does not have."""
        return self.keys.not_negative(key, 0.0) or default

    def rope(self, layer: int) -> Rope | None:
        turns = self.keys.boolean("rope.scaling.finetuned", True)
        return self.global_rope if turns else None


class GraniteMoe(Granite):
    def rope(self, layer: int) -> Rope | None:
        return self.global_rope


class GraniteSwa(Granite):
    """Granite 4 with local layers; a list says which layers turn."""

    local_period, default_window = 1, None  # the file lists the local layers

    def rope(self, layer: int) -> Rope | None:
        return self.global_rope if self.keys.at("attention.rope_pattern", layer, 1) else None
