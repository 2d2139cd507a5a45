"""The KV cache on a card: blocks of 256 positions; in each, layer after layer, K and then V.

K and V of a layer are stored per kv head, in the layout drawn in `kernels.attention.cached`.
Partial results of attention have memory of their own (`lowering.attending.scratch_bytes`).
"""

from dataclasses import dataclass
from typing import Self, get_args

from ops.cuda.kernels.attention.cached import Kind, head_bytes, padded
from ops.interface import BLOCK
from ops.operations.base import Pages
from ops.program import Program
from ops.state.formats import CacheType
from ops.state.layout import StateLayout
from quant.errors import UsageError

WIDEST = 256
"""The widest head that the kernels support, in elements."""


@dataclass(frozen=True, slots=True)
class CardStateLayout(StateLayout):
    """`StateLayout` with the sizes that the card's kernels read and write."""

    @classmethod
    def of(cls, program: Program, k: CacheType = "f16", v: CacheType = "f16") -> Self:
        """Raises UsageError."""
        return cls(program.pages, k=k, v=v)

    def __post_init__(self) -> None:
        """Raises UsageError."""
        for kind in (self.k, self.v):
            if kind not in get_args(Kind):
                message = f"a card's cache holds f16 or q8_0, not {kind}"
                raise UsageError(message, "use -ctk f16 -ctv f16")
        for width in {width for each in self.pages for width in (each.key_width, each.value_width)}:
            if "q8_0" in (self.k, self.v) and width % 32:
                message = f"a q8_0 cache needs a head width of 32, 64, ...; this model's is {width}"
                raise UsageError(message, "use -ctk f16 -ctv f16")

    def page_bytes(self, page: Pages) -> int:
        return page.heads * (self.key_bytes(page) + self.value_bytes(page)) // BLOCK

    def key_bytes(self, page: Pages) -> int:
        """Bytes of K, for one kv head in one block."""
        return head_bytes(self.k, padded(page.key_width))

    def value_bytes(self, page: Pages) -> int:
        return head_bytes(self.v, padded(page.value_width))

    def offsets(self, layer: int) -> tuple[int, int]:
        """Bytes from a block's start to the layer's K and V."""
        place = next(n for n, page in enumerate(self.pages) if page.layer == layer)
        start = BLOCK * sum(map(self.page_bytes, self.pages[:place]))
        return start, start + self.pages[place].heads * self.key_bytes(self.pages[place])
