"""Ling 3 (inclusionAI 2026): Kimi delta attention, and latent attention with a gate a head."""

from dataclasses import replace
from typing import ClassVar, Literal

from lepton_cli.models.architectures.latent.deepseek2 import DeepSeek2
from lepton_cli.models.architectures.latent.kimi import KimiLinear
from lepton_cli.models.architectures.local_mixtures.step35 import BoundedGates
from lepton_cli.models.parts.latent import LatentAttention
from lepton_cli.models.rope import Frequencies
from lepton_cli.models.weights import FEED_FORWARD_SCALES
from ops.interface import Rope

MATRICES = ("attn_q", "attn_k", "attn_v", "attn_output", "attn_gate", "ssm_beta")


class BailingMoe3(BoundedGates, KimiLinear):
    """Of vision models, whose positions have several axes, the pairs are halves of the head."""

    normalizes = None
    unapplied = KimiLinear.unapplied | FEED_FORWARD_SCALES | {f"{n}.scale" for n in MATRICES}
    axes: ClassVar[Literal["stretches"] | None] = "stretches"

    def latent(self, layer: int) -> LatentAttention:
        return replace(super().latent(layer), gate="sigmoid")

    def lower_bound(self) -> float | None:
        return self.read_lower_bound()

    def rope(self, layer: int) -> Rope | None:
        return DeepSeek2.rope(self, layer)

    def turn(self, frequencies: Frequencies, magnitude: float = 1.0) -> Rope:
        key = "rope.dimension_sections"
        vision = key in self.keys and min(self.keys.integers(key)[:2]) > 0
        return replace(super().turn(frequencies, magnitude), interleaved=not vision)
