"""CogVLM, CogAgent: the text half of a model whose matrices exist twice, for text and pictures."""

from lepton_cli.models.decoder import Decoder
from lepton_cli.models.parts.block import Mixer
from lepton_cli.models.rope import plain
from lepton_cli.models.weights import FEED_FORWARD_SCALES
from ops.interface import Rope

PICTURES = ("vis_attn_qkv", "vis_attn_output", "vis_gate", "vis_up", "vis_down")


class CogVlm(Decoder):
    """Rotary positions are those of Llama 2, whatever the keys say."""

    ignored = frozenset({"rope_freqs.weight"})
    unapplied = FEED_FORWARD_SCALES | {"attn_qkv.scale"}

    def block(self, layer: int) -> Mixer:
        for name in PICTURES:  # they belong to the model, and text does not need them
            self.weights[f"blk.{layer}.{name}"]
        return super().block(layer)

    def rope(self, layer: int) -> Rope | None:
        return self.turn(plain(10000.0, self.head_width(0)))
