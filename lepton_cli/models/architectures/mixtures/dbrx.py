"""DBRX (Databricks 2024): layer norms without biases, bounded queries, keys and values."""

from dataclasses import replace

from lepton_cli.models.decoder import Decoder
from lepton_cli.models.parts.attention import GroupedAttention
from lepton_cli.models.weights import FEED_FORWARD_SCALES


class Dbrx(Decoder):
    has_layer_norms, has_norm_biases = True, False
    ffn_norm = "attn_output_norm"  # its name notwithstanding, it stands before the experts
    unapplied = FEED_FORWARD_SCALES

    def attention(self, layer: int) -> GroupedAttention:
        clamp = self.keys.not_negative("attention.clamp_kqv")
        return replace(super().attention(layer), clamp=clamp)
