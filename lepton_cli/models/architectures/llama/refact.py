"""Refact: Llama with biases by distance in place of rotary positions."""

from lepton_cli.models.architectures.llama.llama import Llama
from lepton_cli.models.parts.attention import falling_slopes
from lepton_cli.models.weights import FEED_FORWARD, FEED_FORWARD_SCALES
from ops.interface import Rope


class Refact(Llama):
    ignored = frozenset({"rope_freqs.weight", "rope_factors_long.weight"})
    ignored |= {"rope_factors_short.weight"}
    unapplied = FEED_FORWARD_SCALES | {f"{name}.bias" for name in ("attn_output", *FEED_FORWARD)}

    def rope(self, layer: int) -> Rope | None:
        return None

    def slopes(self, heads: int) -> tuple[float, ...] | None:
        return falling_slopes(heads, 8.0)
