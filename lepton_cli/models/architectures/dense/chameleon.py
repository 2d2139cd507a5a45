"""Chameleon (Meta 2024): text and picture tokens alike, of which only text is written."""

from dataclasses import replace

from lepton_cli.models.decoder import Decoder
from lepton_cli.models.parts.attention import GroupedAttention
from lepton_cli.models.parts.block import LayerNorm, Mixer, PostNorm


class Chameleon(Decoder):
    interleaved_rope = True
    head_eps = 1e-5  # whatever the file says

    def block(self, layer: int) -> Mixer:
        if not self.keys.boolean("swin_norm", False):
            return super().block(layer)
        return PostNorm(self.mixer(layer), self.channel(layer), self.norm, "attn_norm", "ffn_norm")

    def attention(self, layer: int) -> GroupedAttention:
        return replace(super().attention(layer), head_norm=LayerNorm(self.head_eps))
