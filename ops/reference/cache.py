"""What a sequence keeps, as plain arrays."""

import math

import numpy as np
from numpy.typing import NDArray

from ops.interface import (
    BLOCK,
)
from ops.operations.base import Slot
from ops.reference.arithmetic import KEPT, Floats
from ops.state.formats import CacheType
from ops.state.sequence import SequenceState


class PlainCache:
    """A sequence's K and V as float32 in rows, holding only what the cache's types can hold."""

    def __init__(self, state: SequenceState, k: CacheType, v: CacheType) -> None:
        """`state` is of float32; `k` and `v` are the types that it stands for."""
        self._state, self._types = state, (k, v)

    def keep(self, layer: int, position: int, k: Floats, v: Floats) -> None:  # (K·d,) twice
        views = self.view(layer, position // BLOCK)
        for rows, kind, row in zip(views, self._types, (k, v), strict=True):
            rows[position % BLOCK] = KEPT[kind](row)

    def slot(self, slot: Slot) -> Floats:
        """What a recurrent layer keeps; to be written in place."""
        start = self._state.layout.slot_offset(slot)
        memory: NDArray[np.uint8] = self._state.slots
        kept: Floats = memory[start : start + 4 * math.prod(slot.shape)].view(np.float32)
        return kept.reshape(slot.shape)

    def view(self, layer: int, block: int) -> tuple[Floats, Floats]:  # (256, K·d), (256, K·e)
        """K and V of one layer in one block."""
        page, start = self._state.layout.page(layer), self._state.layout.offsets(layer)[0]
        memory, parts = self._state.blocks[block].memory, list[Floats]()
        for width in (page.heads * page.key_width, page.heads * page.value_width):
            stop = start + 4 * BLOCK * width
            parts.append(memory[start:stop].view(np.float32).reshape(BLOCK, width))
            start = stop
        return parts[0], parts[1]
