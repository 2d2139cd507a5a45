"""LFM2 (Liquid AI 2025): short convolutions, and grouped attention in some layers."""

from lepton_cli.models.decoder import Decoder
from lepton_cli.models.parts.block import Mixer
from lepton_cli.models.parts.recurrence import ShortConvolution


class Lfm2(Decoder):
    """A layer without heads of keys and values is a convolution."""

    has_head_norm = True
    has_gating_key = True
    output_norm = "token_embd_norm"  # its name notwithstanding, it stands behind the blocks

    def mixer(self, layer: int) -> Mixer:
        if self.keys.at("attention.head_count_kv", layer):
            return self.attention(layer)
        return ShortConvolution(self.keys.positive("shortconv.l_cache"))

    def is_local(self, layer: int) -> bool:
        return self.local_window > 0
