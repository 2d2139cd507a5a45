"""The state of one sequence: KV blocks and recurrent slots, with rewind, fork and checkpoints.

KV blocks may be cut at any position. Slots, which every step overwrites, cannot: the state goes
back to the last checkpoint. One rule for every caller: `rewind` and `fork` return the position that
was reached, and the caller runs the tokens after it again. Without slots it is the one asked for.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ops.interface import BLOCK, Step
from ops.state.blocks import Block, BlockPool
from ops.state.checkpoints import Checkpoints
from ops.state.layout import StateLayout


@dataclass(frozen=True, slots=True)
class SavedState:
    """The bytes of a state after `position` tokens; copy them before the next step."""

    position: int
    blocks: list[NDArray[np.uint8]]
    slots: NDArray[np.uint8] | None


class SequenceState:
    """The KV blocks of one sequence, allocated as it grows, and its slots."""

    def __init__(self, pool: BlockPool) -> None:
        self.pool = pool
        self.blocks: list[Block] = []
        self.slots: Any = None  # taken with the first step
        self.prompt = 0  # so many tokens an encoder read, all at once: a part of them is nothing
        self._entered = 0  # tokens that the slots have processed
        self._checkpoints = Checkpoints(pool)

    @property
    def layout(self) -> StateLayout:
        return self.pool.layout

    @property
    def bytes(self) -> int:
        copies = len(list(self._checkpoints)) + (self.slots is not None)
        return len(self.blocks) * self.pool.block_bytes + copies * self.pool.slot_bytes

    def missing_bytes(self, start: int, stop: int) -> int:
        """How much memory `reserve` would take."""
        slots = self.pool.slot_bytes if self.slots is None else 0
        return self.missing(start, stop) * self.pool.block_bytes + slots

    def missing(self, start: int, stop: int) -> int:
        """How many blocks `reserve` would take."""
        if not self.layout.pages:
            return 0
        shared = sum(block.holders > 1 for block in self.blocks[start // BLOCK : -(-stop // BLOCK)])
        return shared + max(0, -(-stop // BLOCK) - len(self.blocks))

    def reserve(self, start: int, stop: int) -> None:
        """Prepares positions start .. stop - 1 for writing: allocates blocks, copies shared ones.

        With slots a step must begin where the last one ended. Raises OutOfMemoryError.
        """
        if self.layout.slots:
            assert start == self._entered, "a recurrent state continues only from its own position"
            self._entered = stop
            if self.slots is None:
                self.slots = self.pool.take_slots()
        self.take_blocks(start, stop)

    def take_blocks(self, start: int, stop: int) -> None:
        """The part of `reserve` that allocates KV blocks; may be called ahead of the step."""
        if not self.layout.pages:
            return
        for n in range(start // BLOCK, -(-stop // BLOCK)):
            if n >= len(self.blocks):
                self.blocks.append(self.pool.take())
            elif self.blocks[n].holders > 1:
                copy = self.pool.take()
                self.pool.copy(self.blocks[n], copy)
                self.pool.give_back(self.blocks[n])
                self.blocks[n] = copy

    @property
    def checkpoints(self) -> list[int]:
        """The positions that `rewind` can reach again and again, in ascending order."""
        return self._checkpoints.positions

    def checkpoint(self, *, temporary: bool = False) -> None:
        """Stores a copy of the slots as they are now; does nothing without slots.

        `temporary` is for a pass that may be taken back: the next such copy replaces it.
        """
        if self.slots is not None:
            self._checkpoints.add(self._entered, self.slots, temporary=temporary)

    def rewind(self, position: int) -> int:
        """Drops the state after a position; returns the position reached, which may be earlier.

        Blocks after it are kept until `shrink`: the next tokens overwrite them.
        """
        if position < self.prompt:
            position = self.prompt = 0
        if not self.layout.slots or position == self._entered:
            return position
        if position > self._entered:
            return self._entered
        self._checkpoints.cut(position)
        last = self._checkpoints.last(position)
        if last is not None:
            self.pool.copy_slots(last.slots, self.slots)
        elif self.slots is not None:
            self.pool.give_back_slots(self.slots)
            self.slots = None
        self._entered = last.position if last else 0
        return self._entered

    def reachable(self, position: int) -> int:
        """Which position `rewind` and `fork` would reach."""
        if position < self.prompt:
            return 0
        return self._slots_at(position)[1] if self.layout.slots else position

    def drop_checkpoints(self) -> None:
        """Frees their memory, except that of those that forks share."""
        self._checkpoints.cut(-1)

    def shrink(self, positions: int) -> None:
        """Frees the blocks that positions 0 .. positions - 1 do not need."""
        keep = -(-positions // BLOCK)
        for block in self.blocks[keep:]:
            self.pool.give_back(block)
        del self.blocks[keep:]

    def clear(self) -> None:
        """Drops the whole state."""
        self.shrink(0)
        self.drop_checkpoints()
        self.rewind(0)

    def fork(self, position: int) -> tuple["SequenceState", int]:
        """A new sequence with the same first tokens, and the position that it reached.

        Blocks and checkpoints are shared.
        """
        other = SequenceState(self.pool)
        if position < self.prompt:
            return other, 0
        other.prompt = self.prompt
        if self.layout.slots:
            slots, position = self._slots_at(position)
            other._checkpoints = self._checkpoints.shared(position)
            if slots is not None:
                other.slots, other._entered = self.pool.take_slots(), position
                self.pool.copy_slots(slots, other.slots)
        other.blocks = self.blocks[: -(-position // BLOCK)]
        for block in other.blocks:
            block.holders += 1
        return other, position

    def save(self, position: int) -> SavedState:
        """The bytes up to a position or, with slots, up to the last checkpoint before it."""
        slots = None
        if self.layout.slots:
            found, position = self._slots_at(position)
            slots = None if found is None else self.pool.read_slots(found)
        count = -(-position // BLOCK) if self.layout.pages else 0
        return SavedState(position, [self.pool.read(block) for block in self.blocks[:count]], slots)

    def restore(self, saved: SavedState) -> None:
        """Replaces the state by what `save` returned. Raises OutOfMemoryError."""
        self.clear()
        if not saved.position:
            return
        self.reserve(0, saved.position)
        for mine, given in zip(self.blocks, saved.blocks, strict=False):
            self.pool.write(mine, given)
        if saved.slots is not None:
            self.pool.write_slots(self.slots, saved.slots)
            self.checkpoint()

    def table(self) -> NDArray[np.int64]:  # (blocks,)
        """The blocks' addresses."""
        return np.array([self.pool.address(block) for block in self.blocks], np.int64)

    def _slots_at(self, position: int) -> tuple[Any, int]:
        """The slots there or at the last checkpoint before, and that position; None at 0."""
        if position == self._entered:
            return self.slots, position
        last = self._checkpoints.last(position)
        return (last.slots, last.position) if last else (None, 0)


def reserve(step: Step, states: Sequence[SequenceState]) -> None:
    """Prepares the states of a step's sequences for writing. Raises OutOfMemoryError."""
    for run, state in zip(step.runs(), states, strict=True):
        state.reserve(int(step.positions[run].min()), int(step.positions[run].max()) + 1)
