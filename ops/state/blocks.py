"""The memory of all sequences' states: blocks that sequences may share, and slots of their own."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ops.machine import available_memory
from ops.state.layout import LINE, StateLayout
from quant.errors import OutOfMemoryError


@dataclass(slots=True, eq=False)
class Block:
    """K and V of 256 positions; sequences with a common beginning hold the same ones."""

    memory: Any  # what the pool keeps of it: an array, or addresses on a card
    holders: int = 1


class BlockPool:
    """Where the blocks of all sequences come from, and go back to: this one has them in memory."""

    def __init__(self, layout: StateLayout) -> None:
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

    def take_slots(self) -> Any:
        """Zeros for what a sequence keeps beside its blocks. Raises OutOfMemoryError."""
        try:
            return _aligned(self.layout.slot_bytes)
        except MemoryError as error:
            wanted = f"{self.layout.slot_bytes / 1e6:.1f} MB"
            message = f"no memory for {wanted} of recurrent state; {available_memory()}"
            raise OutOfMemoryError(message, "use fewer --jobs") from error

    def copy_slots(self, source: Any, target: Any) -> None:
        target[:] = source

    def slots_address(self, slots: Any) -> int:
        """Where kernels find them."""
        start: int = slots.ctypes.data
        return start

    def read_slots(self, slots: Any) -> NDArray[np.uint8]:  # (slot_bytes,)
        held: NDArray[np.uint8] = slots
        return held

    def write_slots(self, slots: Any, held: NDArray[np.uint8]) -> None:
        """What `read_slots` gave."""
        slots[:] = held


def _aligned(size: int) -> NDArray[np.uint8]:
    memory = np.zeros(size + LINE, np.uint8)
    start = -memory.ctypes.data % LINE
    return memory[start : start + size]
