"""The memory of all sequences' states: KV blocks, which may be shared, and recurrent slots."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ops.machine import available_memory
from ops.state.layout import LINE, StateLayout
from quant.errors import OutOfMemoryError

MAX_CHECKPOINTS = 32
"""Per sequence, where no other number was asked for: as many as llama.cpp keeps."""


@dataclass(slots=True, eq=False)
class Block:
    """K and V of 256 positions; sequences with a common prefix share blocks."""

    memory: Any  # an array, or addresses on a card
    holders: int = 1  # reference count


class BlockPool:
    """Allocates and frees the blocks and slots of all sequences, in host memory."""

    def __init__(self, layout: StateLayout) -> None:
        self.layout = layout
        self.block_bytes, self.slot_bytes = layout.block_bytes, layout.slot_bytes
        self.checkpoints = MAX_CHECKPOINTS  # per sequence
        self.used = 0  # blocks that a sequence holds
        self._copies = 0  # of slots that a sequence or a checkpoint holds
        self._spare: list[Any] = []
        self._spare_slots: list[Any] = []

    @property
    def bytes(self) -> int:
        """What all sequences hold."""
        return self.used * self.block_bytes + self._copies * self.slot_bytes

    def take(self) -> Block:
        """A free block. Raises OutOfMemoryError."""
        self.used += 1
        if self._spare:
            return Block(self._spare.pop())
        try:
            return Block(self._allocate())
        except OutOfMemoryError:  # from a card; it names the card's memory
            self.used -= 1
            raise
        except MemoryError as error:
            self.used -= 1
            wanted = f"{self.block_bytes / 1e6:.1f} MB"
            message = f"no memory for {wanted} more of KV cache; {available_memory()}"
            raise OutOfMemoryError(message, "use a smaller -c, or fewer --jobs") from error

    def give_back(self, block: Block) -> None:
        """Drops one reference; memory without references is kept for the next `take`."""
        block.holders -= 1
        if not block.holders:
            self.used -= 1
            self._spare.append(block.memory)

    def clear(self) -> None:
        """Frees the memory of unused blocks and slots."""
        self._spare.clear()
        self._spare_slots.clear()

    def address(self, block: Block) -> int:
        """The block's address for kernels."""
        start: int = block.memory.ctypes.data
        return start

    def copy(self, source: Block, target: Block) -> None:
        target.memory[:] = source.memory

    def read(self, block: Block) -> NDArray[np.uint8]:  # (block_bytes,)
        """The block's bytes, valid until the next step."""
        memory: NDArray[np.uint8] = block.memory
        return memory

    def write(self, block: Block, held: NDArray[np.uint8]) -> None:
        """Overwrites the block with bytes from `read`."""
        block.memory[:] = held

    def _allocate(self) -> Any:
        return _aligned(self.block_bytes)

    def take_slots(self) -> Any:
        """Zeroed memory for a sequence's recurrent state. Raises OutOfMemoryError."""
        slots = self._spare_slots.pop() if self._spare_slots else self._allocate_slots()
        slots[:] = 0
        self._copies += 1
        return slots

    def give_back_slots(self, slots: Any) -> None:
        """The memory is kept for the next `take_slots`."""
        self._copies -= 1
        self._spare_slots.append(slots)

    def _allocate_slots(self) -> Any:
        try:
            return _aligned(self.slot_bytes)
        except MemoryError as error:
            wanted = f"{self.slot_bytes / 1e6:.1f} MB"
            message = f"no memory for {wanted} of recurrent state; {available_memory()}"
            raise OutOfMemoryError(message, "use fewer --jobs") from error

    def copy_slots(self, source: Any, target: Any) -> None:
        target[:] = source

    def slots_address(self, slots: Any) -> int:
        """The slots' address for kernels."""
        start: int = slots.ctypes.data
        return start

    def read_slots(self, slots: Any) -> NDArray[np.uint8]:  # (slot_bytes,)
        held: NDArray[np.uint8] = slots
        return held

    def write_slots(self, slots: Any, held: NDArray[np.uint8]) -> None:
        """Overwrites the slots with bytes from `read_slots`."""
        slots[:] = held


def _aligned(size: int) -> NDArray[np.uint8]:
    memory = np.zeros(size + LINE, np.uint8)
    start = -memory.ctypes.data % LINE
    return memory[start : start + size]
