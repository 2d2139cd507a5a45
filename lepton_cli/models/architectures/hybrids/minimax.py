"""MiniMax-Text-01 and M1 (2025): lightning attention, and softmax attention in some layers."""

from lepton_cli.models.decoder import Decoder
from lepton_cli.models.parts.block import Mixer, NormResidual
from lepton_cli.models.parts.lightning import Lightning
from lepton_cli.models.weights import FEED_FORWARD_SCALES


class MiniMax01(Decoder):
    unapplied = FEED_FORWARD_SCALES | {"attn_qkv.scale"}

    def block(self, layer: int) -> Mixer:
        scale = self.keys.not_negative("residual_scale")
        return NormResidual(self.mixer(layer), self.channel(layer), self.norm, scale)

    def mixer(self, layer: int) -> Mixer:
        if not self.keys.is_recurrent(layer, 8):
            return self.attention(layer)
        heads = self.keys.heads_at(layer)
        depth = layer / max(1, self.layers - 1)
        return Lightning.at_depth(heads, self.head_width(layer), self.norm, depth)
