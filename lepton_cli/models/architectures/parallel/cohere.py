"""Command R (Cohere 2024): both mixers at once from one layer norm, scaled logits."""

from lepton_cli.models.decoder import Decoder
from lepton_cli.models.parts.block import Mixer, Parallel
from ops.interface import Array, Operators, Rope


class CommandR(Decoder):
    has_layer_norms = True
    interleaved_rope = True
    has_head_norm = None  # of the larger model, with weights for each head

    def block(self, layer: int) -> Mixer:
        return Parallel(self.mixer(layer), self.channel(layer), self.norm)

    def logits(self, ops: Operators, x: Array) -> Array:
        scale = self.keys.number("logit_scale", 0.0)
        y = super().logits(ops, x)
        return ops.scale(y, scale) if scale else y


class Cohere2(CommandR):
    """Command R7B: three layers in four see a window; only they turn."""

    local_period = 4

    def rope(self, layer: int) -> Rope | None:
        return self.global_rope if self.is_local(layer) else None
