"""BitNet b1.58 (Ma et al. 2024): one more norm inside each branch, before its last matrix."""

from dataclasses import replace

from lepton_cli.models.decoder import Decoder
from lepton_cli.models.parts.attention import GroupedAttention
from lepton_cli.models.parts.block import Mixer
from lepton_cli.models.parts.feed_forward import Dense


class BitNet(Decoder):
    def attention(self, layer: int) -> GroupedAttention:
        return replace(super().attention(layer), inner_norm=self.norm)

    def channel(self, layer: int) -> Mixer:
        activation = self.keys.string("hidden_act", "silu")
        if activation != "silu":
            raise self.keys.error("hidden_act", f"is {activation!r}: not supported yet")
        return Dense("silu", self.norm)
