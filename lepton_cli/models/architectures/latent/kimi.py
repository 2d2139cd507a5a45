"""Kimi Linear (Moonshot AI 2025): Kimi delta attention, latent attention in some layers."""

from typing import ClassVar

from lepton_cli.models.architectures.latent.deepseek2 import DeepSeek2
from lepton_cli.models.parts.block import Mixer
from lepton_cli.models.parts.recurrence import KimiDelta
from ops.interface import DeltaHeads, Rope


class KimiLinear(DeepSeek2):
    """A layer without heads of keys and values is recurrent; nothing turns."""

    normalizes: ClassVar[bool | None] = True
    has_next_token = False
    unapplied = frozenset({"attn_q.bias", "attn_k.bias", "attn_v.bias"})

    def mixer(self, layer: int) -> Mixer:
        if self.keys.at("attention.head_count_kv", layer):
            return self.latent(layer)
        heads, taps = self.delta_heads(layer), self.keys.positive("ssm.conv_kernel")
        return KimiDelta(heads, self.norm, self.eps, taps, self.lower_bound())

    def delta_heads(self, layer: int) -> DeltaHeads:
        """Files may count no heads in these layers; each has a row of `ssm_beta`."""
        heads = self.weights.weight(f"blk.{layer}.ssm_beta.weight").rows
        width = self.keys.positive("kda.head_dim")
        return DeltaHeads(heads, heads, width, width, width**-0.5)

    def lower_bound(self) -> float | None:
        return None

    def read_lower_bound(self) -> float:
        """Of the logarithms of decays."""
        key = "kda.gate_lower_bound"
        bound = self.keys.number(key)
        if bound >= 0:
            raise self.keys.error(key, f"is {bound}")
        return bound

    def rope(self, layer: int) -> Rope | None:
        return None
