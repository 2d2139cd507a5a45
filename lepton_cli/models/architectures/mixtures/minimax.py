"""MiniMax M2 and M3 (2025): experts chosen with a bias; M2 has norms of whole rows of q and k."""

from dataclasses import replace

from lepton_cli.models.decoder import Decoder
from lepton_cli.models.parts.attention import GroupedAttention
from lepton_cli.models.weights import FEED_FORWARD_SCALES, Layer


class MiniMaxM2(Decoder):
    has_head_norm = True
    has_gating_key = True
    unapplied = FEED_FORWARD_SCALES

    def attention(self, layer: int) -> GroupedAttention:
        return replace(super().attention(layer), whole_rows=True)


class MiniMaxM3(Decoder):
    """Its sparse attention selects blocks of a long context; here every position is seen."""

    activation = "clamped_swiglu"
    has_head_norm = True
    has_gating_key, normalizes, has_shared_expert = True, None, True
    unapplied = FEED_FORWARD_SCALES

    def attention(self, layer: int) -> GroupedAttention:
        indexer = ("q_proj", "k_proj", "q_norm", "k_norm")
        Layer(self.weights, layer).leave_out(*(f"indexer.{name}" for name in indexer))
        return super().attention(layer)
