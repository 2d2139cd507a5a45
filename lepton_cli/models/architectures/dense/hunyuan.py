"""Hunyuan dense and OCR (Tencent 2025): heads are normalised after they turn, by a longer base."""

from dataclasses import replace

from lepton_cli.models.decoder import Decoder
from lepton_cli.models.parts.attention import GroupedAttention
from lepton_cli.models.weights import FEED_FORWARD_SCALES


class Hunyuan(Decoder):
    has_head_norm = True
    unapplied = FEED_FORWARD_SCALES

    def attention(self, layer: int) -> GroupedAttention:
        return replace(super().attention(layer), norm_last=True)

    def rope_base(self) -> float:
        """NTK scaling: a longer context by a longer base."""
        base, width = super().rope_base(), self.head_width(0)
        alpha = self.keys.not_negative("rope.scaling.alpha", 0.0)
        return base * alpha ** (width / (width - 2)) if alpha > 0 else base


class HunyuanMoe(Hunyuan):
    unapplied = frozenset()
    has_shared_expert = True


class HunyuanVl(Hunyuan):
    axes = "stretches"
