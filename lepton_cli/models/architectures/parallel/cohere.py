"""Command R (Cohere 2024): both mixers at once from one layer norm, scaled logits."""

from lepton_cli.models.decoder import Decoder
from lepton_cli.models.parts.block import LayerNorm, Mixer, Norm, Parallel, RmsNorm, Scaled, Sum
from ops.interface import Array, Operators, Rope


class CommandR(Decoder):
    has_layer_norms, has_norm_biases = True, False
    interleaved_rope = True
    has_head_norm = None  # of the larger model, with weights for each head

    def block(self, layer: int) -> Mixer:
        return Parallel(self.mixer(layer), self.channel(layer), self.norm)

    def logits(self, ops: Operators, x: Array) -> Array:
        scale = self.keys.not_negative("logit_scale", 0.0)
        y = super().logits(ops, x)
        return ops.scale(y, scale) if scale else y


class Cohere2(CommandR):
    """Command R7B: three layers in four see a window; only they turn."""

    local_period, default_window = 4, None

    def rope(self, layer: int) -> Rope | None:
        return self.global_rope if self.is_local(layer) else None


class Cohere2Moe(Cohere2):
    """Command A with experts: the first of four layers sees all; leading dense layers turn too."""

    global_first = True
    gating, has_gating_key, normalizes, has_shared_expert = "sigmoid", True, None, True

    def read_norm(self) -> str:
        """RMS norms, if the file gives their epsilon."""
        rms = self.keys.not_negative("attention.layer_norm_rms_epsilon", 0.0)
        return "layer_norm_rms" if rms else "layer_norm"

    @property
    def norm(self) -> Norm:
        return RmsNorm(self.eps) if self.read_norm() == "layer_norm_rms" else LayerNorm(self.eps)

    def channel(self, layer: int) -> Mixer:
        """Routed and shared experts count half each."""
        channel = super().channel(layer)
        return Scaled(channel, 0.5) if isinstance(channel, Sum) else channel

    def rope(self, layer: int) -> Rope | None:
        leads = layer < self.keys.integer("leading_dense_block_count", 0)
        return self.global_rope if leads else super().rope(layer)
