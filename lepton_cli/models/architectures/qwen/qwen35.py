"""Qwen 3.5 and 3.6: gated delta nets, and gated attention in every fourth layer."""

from typing import ClassVar, Literal

from lepton_cli.models.decoder import Decoder
from lepton_cli.models.parts.attention import GatedAttention
from lepton_cli.models.parts.block import Mixer
from lepton_cli.models.parts.recurrence import GatedDelta
from ops.interface import DeltaHeads


class Qwen35(Decoder):
    has_head_norm = True
    has_shared_expert, has_next_token = True, True
    axes: ClassVar[Literal["alternating"] | None] = "alternating"
    ffn_norm = "post_attention_norm"  # its name notwithstanding, it stands before the channel mixer
    grouped_keys: ClassVar[bool] = False  # neighbouring heads of values share a head of keys

    def mixer(self, layer: int) -> Mixer:
        recurrent = layer < self.layers and self.keys.is_recurrent(layer, 4)
        return self.delta(layer) if recurrent else self.attention(layer)

    def attention(self, layer: int) -> GatedAttention:
        attention = super().attention(layer)
        return GatedAttention(attention.heads, attention.rope, attention.head_norm)

    def attention_scale(self, layer: int) -> float:
        return self.keys.not_negative("attention.scale", 0.0) or super().attention_scale(layer)

    def delta(self, layer: int) -> GatedDelta:
        taps = self.keys.positive("ssm.conv_kernel")
        return GatedDelta(self.delta_heads(), self.norm, self.eps, taps)

    def delta_heads(self) -> DeltaHeads:
        """Raises ModelFileError for numbers that cannot belong together."""
        keys = self.keys
        width, heads = keys.positive("ssm.state_size"), keys.positive("ssm.time_step_rank")
        key_heads, inner = keys.positive("ssm.group_count"), keys.positive("ssm.inner_size")
        if heads % key_heads:
            raise keys.error("ssm.time_step_rank", f"is {heads}: no multiple of {key_heads}")
        if inner != heads * width:
            raise keys.error("ssm.inner_size", f"is {inner} with {heads} heads of {width}")
        return DeltaHeads(heads, key_heads, width, width, width**-0.5, self.grouped_keys)
