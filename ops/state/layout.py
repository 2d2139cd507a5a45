"""The memory layout of a sequence's state: KV blocks of 256 positions, and slots as one array.

A block begins with scratch for one token's partial softmax results (one record per query head): it
has to grow with the context, as the block does. Each layer's part follows (formats.py).
Slots are float32, one after the other.
"""

import math
from dataclasses import dataclass
from typing import Self

from ops.interface import BLOCK, Heads
from ops.operations.attention import Attention
from ops.operations.base import Pages, Slot
from ops.program import Program
from ops.state.formats import CODED, LANES, PANEL, CacheType, cached_bytes
from quant.errors import UsageError

LINE = 64  # bytes of a cache line; everything is aligned to it


def record_bytes(heads: Heads) -> int:
    """Bytes of a query head's partial softmax result: the weighted V and two more vectors."""
    return 4 * (_round_up(heads.values, LANES) + 2 * LANES)


@dataclass(frozen=True, slots=True)
class StateLayout:
    """The offsets of each layer in a block and in the slots.

    `scratch`: bytes at the start of a block.
    """

    pages: tuple[Pages, ...] = ()
    slots: tuple[Slot, ...] = ()
    scratch: int = 0
    k: CacheType = "f16"
    v: CacheType = "f16"

    @classmethod
    def of(cls, program: Program, k: CacheType = "f16", v: CacheType = "f16") -> Self:
        """The layout for a program. Raises UsageError for cache types that do not fit it."""
        heads = [op.heads for op in program.operations if isinstance(op, Attention)]
        room = max((one.query_heads * record_bytes(one) for one in heads), default=0)
        slots = tuple(state for state in program.states if isinstance(state, Slot))
        return cls(program.pages, slots, _round_up(room, LINE), k, v)

    def __post_init__(self) -> None:
        """Raises UsageError."""
        for width in {width for each in self.pages for width in (each.key_width, each.value_width)}:
            coded = next((kind for kind in (self.k, self.v) if kind in CODED), None)
            if coded and width % 32:
                message = (
                    f"a {coded} cache needs a head width of 32, 64, ...; this model's is {width}"
                )
                raise UsageError(message, "use -ctk f16 -ctv f16")

    @property
    def block_bytes(self) -> int:
        """0 for a program without attention."""
        if not self.pages:
            return 0
        return self.scratch + BLOCK * sum(map(self.page_bytes, self.pages))

    @property
    def slot_bytes(self) -> int:
        return sum(map(_slot_bytes, self.slots))

    def page(self, layer: int) -> Pages:
        return next(page for page in self.pages if page.layer == layer)

    def panel_bytes(self, layer: int) -> int:
        """Bytes of 64 positions of one kv head's K."""
        return PANEL * cached_bytes(self.k, self.page(layer).key_width)

    def row_bytes(self, layer: int) -> int:
        """Bytes of one position of one kv head's V."""
        return cached_bytes(self.v, self.page(layer).value_width)

    def position_bytes(self, layer: int) -> int:
        """Bytes of K and V of all kv heads of a layer for one position."""
        return self.page_bytes(self.page(layer))

    def page_bytes(self, page: Pages) -> int:
        widths = cached_bytes(self.k, page.key_width) + cached_bytes(self.v, page.value_width)
        return page.heads * widths

    def offsets(self, layer: int) -> tuple[int, int]:
        """Bytes from a block's start to the layer's K and V."""
        place = next(n for n, page in enumerate(self.pages) if page.layer == layer)
        start = self.scratch + BLOCK * sum(map(self.page_bytes, self.pages[:place]))
        return start, start + BLOCK // PANEL * self.pages[place].heads * self.panel_bytes(layer)

    def slot_offset(self, slot: Slot) -> int:
        """Bytes from the start of the slots."""
        return sum(map(_slot_bytes, self.slots[: self.slots.index(slot)]))


def _slot_bytes(slot: Slot) -> int:
    return _round_up(4 * math.prod(slot.shape), LINE)


def _round_up(number: int, multiple: int) -> int:
    return -(-number // multiple) * multiple
