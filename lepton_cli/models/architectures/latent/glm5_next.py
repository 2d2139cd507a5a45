"""GLM-5-Next (Zhipu 2026): Kimi delta and latent attention between streams that are mixed.

An indexer selects positions for latent attention in pools. Up to `attention.indexer.top_k`
positions, and the last unfinished pool, it selects all; here every position is seen.
"""

from dataclasses import replace

from lepton_cli.models.architectures.latent.kimi import KimiLinear
from lepton_cli.models.architectures.latent.streamed import MixedStreams
from lepton_cli.models.parts.block import Mixer
from lepton_cli.models.parts.latent import LatentAttention
from lepton_cli.models.parts.recurrence import KimiDelta
from lepton_cli.models.parts.streams import mean_of_streams
from lepton_cli.models.weights import Layer
from ops.interface import Array, Operators

LENGTH_EPS = 1e-6
INDEXER = (
    *("indexer.k_norm", "indexer.proj", "indexer.attn_k", "indexer.attn_q_b"),
    *("indexer_compressor_gate", "indexer_compressor_ape"),
)


class Glm5Next(MixedStreams, KimiLinear):
    """The logits are those of the streams' mean."""

    gating, normalizes = "sigmoid", None

    def mixer(self, layer: int) -> Mixer:
        mixer = super().mixer(layer)
        if isinstance(mixer, KimiDelta):
            return replace(mixer, eps=LENGTH_EPS, sign=-1.0)
        return mixer

    def lower_bound(self) -> float | None:
        key = "kda.gate_lower_bound"
        return self.keys.number(key) if key in self.keys else None

    def latent(self, layer: int) -> LatentAttention:
        Layer(self.weights, layer).leave_out(*INDEXER)
        return super().latent(layer)

    @property
    def rotary(self) -> int:
        """Nothing turns, and no columns stand apart."""
        return 0

    def score_scale(self) -> float:
        return 1.0

    def final_norm(self, ops: Operators, x: Array) -> Array:
        return super().final_norm(ops, mean_of_streams(ops, x, self.streams.count, self.width))
