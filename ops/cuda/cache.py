"""The KV cache on a card: blocks of 256 positions, of which each layer has K, then V.

K and V of a layer are one piece a kv head, whose inside `ops.cuda.kernels.cached` draws. A block
has no room for partial results: they have their own memory (`ops.cuda.attending.scratch_bytes`).
Heads wider than 256 are not for the kernels.
"""

from dataclasses import dataclass
from typing import get_args

from ops.cache import CacheLayout
from ops.cuda.kernels.cached import Kind, head_bytes, padded
from ops.interface import BLOCK, Heads
from quant.errors import UsageError

WIDEST = 256


@dataclass(frozen=True, slots=True)
class CardCacheLayout(CacheLayout):
    """A layer without kv heads takes no room: another device has it."""

    def __post_init__(self) -> None:
        """Raises UsageError."""
        for kind in (self.k, self.v):
            if kind not in get_args(Kind):
                message = f"a card's cache holds f16 or q8_0, not {kind}"
                raise UsageError(message, "use -ctk f16 -ctv f16")
        for width in {heads.head_width for heads in self.layers if heads.kv_heads}:
            if width > WIDEST or width % 2:
                message = f"a card takes even head widths up to {WIDEST}; this model's is {width}"
                raise UsageError(message, "use --backend cpu")
            if "q8_0" in (self.k, self.v) and width % 32:
                message = f"a q8_0 cache needs a head width of 32, 64, ...; this model's is {width}"
                raise UsageError(message, "use -ctk f16 -ctv f16")

    @property
    def block_bytes(self) -> int:
        return self.offsets(len(self.layers))[0]

    def position_bytes(self, layer: int) -> int:
        """K and V of all kv heads of a layer, for one position."""
        heads = self.layers[layer]
        return heads.kv_heads * (self.key_bytes(heads) + self.value_bytes(heads)) // BLOCK

    def key_bytes(self, heads: Heads) -> int:
        """K of one kv head in one block."""
        return head_bytes(self.k, padded(heads.head_width))

    def value_bytes(self, heads: Heads) -> int:
        return head_bytes(self.v, padded(heads.head_width))

    def offsets(self, layer: int) -> tuple[int, int]:
        """Bytes from a block's start to the layer's K and V."""
        start = BLOCK * sum(map(self.position_bytes, range(layer)))
        if layer == len(self.layers):
            return start, start
        heads = self.layers[layer]
        return start, start + heads.kv_heads * self.key_bytes(heads)
