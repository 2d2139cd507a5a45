"""The KV cache: K and V in blocks of 256 absolute positions that are allocated as they are used.

A block begins with room for partial results of one token, a record a query head, since what must
grow with the context grows here anyway. Behind it lie, for each layer in turn, K, then V:

K, for each kv head 4 panels of 64 positions. f16, f32: | element 0 of all 64 | element 1 | ... |
    q8_0, for 32 elements at a time: | 64 scales f16 | byte 0 of all 64 | ... | byte 31 |
V, for each kv head 256 rows, a position each. f16, f32: | element 0 | element 1 | ... |
    q8_0: | all bytes | a scale f16 for each 32 of them |

K and V of f16 and f32 are padded to 16 elements.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from ops.cpu.machine import available_memory
from ops.interface import BLOCK, Heads, Step
from quant.errors import OutOfMemoryError, UsageError

CacheType = Literal["f16", "f32", "q8_0"]
CACHE_TYPES: tuple[CacheType, ...] = get_args(CacheType)
PANEL = 64  # positions side by side in K: a cache line of bytes, the most that kernels take at once
LANES = 16
LINE = 64  # bytes of a cache line, on which everything begins


def cached_bytes(kind: CacheType, width: int) -> int:
    """What a kv head's K or V takes for one position."""
    if kind == "q8_0":
        return width // 32 * 34
    return _up(width, LANES) * (2 if kind == "f16" else 4)


def record_bytes(heads: Heads) -> int:
    """A query's partial result over a block: the weighted V, and two registers more."""
    return 4 * (_up(heads.head_width, LANES) + 2 * LANES)


@dataclass(frozen=True, slots=True)
class CacheLayout:
    """Where everything lies in a block. A program knows a layer by its offsets in a block."""

    layers: tuple[Heads, ...]
    k: CacheType = "f16"
    v: CacheType = "f16"

    def __post_init__(self) -> None:
        """Raises UsageError."""
        for width in {heads.head_width for heads in self.layers}:
            if "q8_0" in (self.k, self.v) and width % 32:
                message = f"a q8_0 cache needs a head width of 32, 64, ...; this model's is {width}"
                raise UsageError(message, "use -ctk f16 -ctv f16")

    @property
    def block_bytes(self) -> int:
        return self.offsets(len(self.layers))[0]

    def panel_bytes(self, heads: Heads) -> int:
        """64 positions of one kv head's K."""
        return PANEL * cached_bytes(self.k, heads.head_width)

    def row_bytes(self, heads: Heads) -> int:
        """A position of one kv head's V."""
        return cached_bytes(self.v, heads.head_width)

    def position_bytes(self, layer: int) -> int:
        """K and V of all kv heads of a layer, for one position."""
        heads = self.layers[layer]
        return heads.kv_heads * (self.panel_bytes(heads) // PANEL + self.row_bytes(heads))

    def offsets(self, layer: int) -> tuple[int, int]:
        """Bytes from a block's start to the layer's K and V."""
        room = max((heads.query_heads * record_bytes(heads) for heads in self.layers), default=0)
        start = _up(room, LINE) + BLOCK * sum(map(self.position_bytes, range(layer)))
        if layer == len(self.layers):
            return start, start
        heads = self.layers[layer]
        return start, start + BLOCK // PANEL * heads.kv_heads * self.panel_bytes(heads)


def _up(number: int, multiple: int) -> int:
    return -(-number // multiple) * multiple


@dataclass(slots=True, eq=False)
class Block:
    """K and V of 256 positions; sequences with a common beginning hold the same ones."""

    memory: Any  # what the pool keeps of it: an array, or addresses on a card
    holders: int = 1


class BlockPool:
    """Where the blocks of all sequences come from, and go back to: this one has them in memory."""

    def __init__(self, layout: CacheLayout) -> None:
        self.layout = layout
        self.used = 0  # blocks that somebody holds
        self._spare: list[Any] = []

    def take(self) -> Block:
        """Raises OutOfMemoryError."""
        self.used += 1
        if self._spare:
            return Block(self._spare.pop())
        try:
            return Block(self._allocate())
        except OutOfMemoryError:  # a card's, which tells its numbers
            self.used -= 1
            raise
        except MemoryError as error:
            self.used -= 1
            wanted = f"{self.layout.block_bytes / 1e6:.1f} MB"
            message = f"no memory for {wanted} more of KV cache; {available_memory()}"
            raise OutOfMemoryError(message, "use a smaller -c, or fewer --jobs") from error

    def give_back(self, block: Block) -> None:
        """One holder less; memory that nobody holds is kept for the next to take."""
        block.holders -= 1
        if not block.holders:
            self.used -= 1
            self._spare.append(block.memory)

    def clear(self) -> None:
        """Frees what nobody holds."""
        self._spare.clear()

    def address(self, block: Block) -> int:
        """Where kernels find it."""
        start: int = block.memory.ctypes.data
        return start

    def copy(self, source: Block, target: Block) -> None:
        target.memory[:] = source.memory

    def read(self, block: Block) -> NDArray[np.uint8]:  # (block_bytes,)
        """What it holds, until the next step."""
        memory: NDArray[np.uint8] = block.memory
        return memory

    def write(self, block: Block, held: NDArray[np.uint8]) -> None:
        """What `read` gave for this block or another one."""
        block.memory[:] = held

    def _allocate(self) -> Any:
        return _aligned(self.layout.block_bytes)


class KVCache:
    """The blocks of one sequence, taken as its positions are written."""

    def __init__(self, pool: BlockPool) -> None:
        self.pool = pool
        self.blocks: list[Block] = []

    @property
    def layout(self) -> CacheLayout:
        return self.pool.layout

    @property
    def bytes(self) -> int:
        return len(self.blocks) * self.layout.block_bytes

    def missing(self, start: int, stop: int) -> int:
        """How many blocks `reserve` would take."""
        shared = sum(block.holders > 1 for block in self.blocks[start // BLOCK : -(-stop // BLOCK)])
        return shared + max(0, -(-stop // BLOCK) - len(self.blocks))

    def reserve(self, start: int, stop: int) -> None:
        """Makes room to write positions start .. stop - 1, which no other sequence will see.

        Raises OutOfMemoryError.
        """
        for n in range(start // BLOCK, -(-stop // BLOCK)):
            if n >= len(self.blocks):
                self.blocks.append(self.pool.take())
            elif self.blocks[n].holders > 1:
                copy = self.pool.take()
                self.pool.copy(self.blocks[n], copy)
                self.pool.give_back(self.blocks[n])
                self.blocks[n] = copy

    def shrink(self, positions: int) -> None:
        """Gives back the blocks that positions 0 .. positions - 1 do not need."""
        keep = -(-positions // BLOCK)
        for block in self.blocks[keep:]:
            self.pool.give_back(block)
        del self.blocks[keep:]

    def fork(self, positions: int) -> "KVCache":
        """Another sequence that begins with the same positions 0 .. positions - 1."""
        other = KVCache(self.pool)
        other.blocks = self.blocks[: -(-positions // BLOCK)]
        for block in other.blocks:
            block.holders += 1
        return other

    def table(self) -> NDArray[np.int64]:  # (blocks,)
        """The blocks' addresses."""
        return np.array([self.pool.address(block) for block in self.blocks], np.int64)


def reserve(step: Step, caches: Sequence[KVCache]) -> None:
    """Room for what a step writes: its sequences' caches in order. Raises OutOfMemoryError."""
    for run, cache in zip(step.runs(), caches, strict=True):
        cache.reserve(int(step.positions[run].min()), int(step.positions[run].max()) + 1)


def _aligned(size: int) -> NDArray[np.uint8]:
    memory = np.zeros(size + LINE, np.uint8)
    start = -memory.ctypes.data % LINE
    return memory[start : start + size]
