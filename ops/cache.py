"""The KV cache: K and V in blocks of 256 absolute positions that are allocated as they are used."""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ops.interface import BLOCK
from quant.errors import OutOfMemoryError

CacheType = Literal["f16", "f32"]
DTYPES: dict[str, np.dtype[Any]] = {"f16": np.dtype("<f2"), "f32": np.dtype("<f4")}


@dataclass(frozen=True, slots=True)
class CacheLayout:
    """One block holds, for each layer in turn, K then V, each (256, width of that layer).

    A program knows a layer by its offset in a block; the step's table gives the blocks' addresses.
    """

    widths: tuple[int, ...]  # kv_heads * head_width of each layer
    type: CacheType = "f16"

    @property
    def dtype(self) -> np.dtype[Any]:
        return DTYPES[self.type]

    @property
    def block_bytes(self) -> int:
        return 2 * BLOCK * sum(self.widths) * self.dtype.itemsize

    def offsets(self, layer: int) -> tuple[int, int]:
        """Bytes from a block's start to the layer's K and V."""
        size = BLOCK * self.dtype.itemsize
        start = 2 * size * sum(self.widths[:layer])
        return start, start + size * self.widths[layer]


class KVCache:
    """The blocks of one sequence, grown before a step and never moved."""

    def __init__(self, layout: CacheLayout) -> None:
        self.layout = layout
        self.blocks: list[NDArray[np.uint8]] = []

    @property
    def bytes(self) -> int:
        return len(self.blocks) * self.layout.block_bytes

    def reserve(self, positions: int) -> None:
        """Makes room for positions 0 .. positions - 1. Raises OutOfMemoryError."""
        while len(self.blocks) * BLOCK < positions:
            try:
                self.blocks.append(np.zeros(self.layout.block_bytes, np.uint8))
            except MemoryError as error:
                message = f"no memory for the KV cache at position {positions}"
                raise OutOfMemoryError(message, "use a smaller -c") from error

    def shrink(self, positions: int) -> None:
        """Gives back the blocks that positions 0 .. positions - 1 do not need."""
        del self.blocks[-(-positions // BLOCK) :]

    def table(self) -> NDArray[np.int64]:  # (blocks,)
        """The blocks' addresses."""
        return np.array([block.ctypes.data for block in self.blocks], np.int64)

    def view(self, layer: int, block: int) -> NDArray[Any]:  # (2, 256, width): K, V
        """One layer's part of one block."""
        start, _ = self.layout.offsets(layer)
        width, dtype = self.layout.widths[layer], self.layout.dtype
        stop = start + 2 * BLOCK * width * dtype.itemsize
        part: NDArray[Any] = self.blocks[block][start:stop].view(dtype)
        return part.reshape(2, BLOCK, width)
