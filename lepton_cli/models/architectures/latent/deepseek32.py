"""DeepSeek V3.2 (2025): V3 with an indexer that selects positions of a long context.

Up to `attention.indexer.top_k` positions it selects all; here every position is seen.
"""

from lepton_cli.models.architectures.latent.deepseek2 import DeepSeek2
from lepton_cli.models.parts.latent import LatentAttention
from lepton_cli.models.weights import Layer


class DeepSeek32(DeepSeek2):
    def latent(self, layer: int) -> LatentAttention:
        indexer = ("k_norm", "proj", "attn_k", "attn_q_b")
        Layer(self.weights, layer).leave_out(*(f"indexer.{name}" for name in indexer))
        return super().latent(layer)


class GlmDsa(DeepSeek32):
    """GLM-5 (Zhipu 2026): in part with layers that read an earlier one's selection."""

    gating = "sigmoid"

    def log_multiplier(self) -> float:
        return 0.0
