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
from ops.state.layout import StateLayout


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A copy of the slots as they were after the first `position` tokens."""

    position: int
    slots: Any


@dataclass(frozen=True, slots=True)
class SavedState:
    """The bytes of a state after `position` tokens; copy them before the next step."""

    position: int
    blocks: list[NDArray[np.uint8]]
    slots: NDArray[np.uint8] | None


MAX_CHECKPOINTS = 32
"""Per sequence; beyond that the older of the two closest to each other is dropped."""


class SequenceState:
    """The KV blocks of one sequence, allocated as it grows, and its slots."""

    def __init__(self, pool: BlockPool) -> None:
        self.pool = pool
        self.blocks: list[Block] = []
        self.slots: Any = None  # taken with the first step
        self._entered = 0  # tokens that the slots have processed
        self._checkpoints: list[Checkpoint] = []  # in ascending order

    @property
    def layout(self) -> StateLayout:
        return self.pool.layout

    @property
    def bytes(self) -> int:
        copies = len(self._checkpoints) + (self.slots is not None)
        return len(self.blocks) * self.layout.block_bytes + copies * self.layout.slot_bytes

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

    def checkpoint(self) -> None:
        """Stores a copy of the slots as they are now; does nothing without slots."""
        if self.slots is None or self._has_checkpoint(self._entered):
            return
        copy = self.pool.take_slots()
        self.pool.copy_slots(self.slots, copy)
        self._checkpoints.append(Checkpoint(self._entered, copy))
        if len(self._checkpoints) > MAX_CHECKPOINTS:
            places = [each.position for each in self._checkpoints]
            del self._checkpoints[1 + int(np.argmin(np.diff(places[1:])))]

    def rewind(self, position: int) -> int:
        """Drops the state after a position; returns the position reached, which may be earlier.

        Blocks after it are kept until `shrink`: the next tokens overwrite them.
        """
        if not self.layout.slots or position == self._entered:
            return position
        self._checkpoints = [each for each in self._checkpoints if each.position <= position]
        last = self._checkpoints[-1] if self._checkpoints else None
        if last is not None:
            self.pool.copy_slots(last.slots, self.slots)
        else:
            self.slots = None
        self._entered = last.position if last else 0
        return self._entered

    def shrink(self, positions: int) -> None:
        """Frees the blocks that positions 0 .. positions - 1 do not need."""
        keep = -(-positions // BLOCK)
        for block in self.blocks[keep:]:
            self.pool.give_back(block)
        del self.blocks[keep:]

    def clear(self) -> None:
        """Drops the whole state."""
        self.shrink(0)
        self._checkpoints.clear()
        self.rewind(0)

    def fork(self, position: int) -> tuple["SequenceState", int]:
        """A new sequence with the same first tokens, and the position that it reached.

        Blocks and checkpoints are shared.
        """
        other = SequenceState(self.pool)
        if self.layout.slots:
            other._checkpoints = [one for one in self._checkpoints if one.position <= position]
            if position == self._entered and self.slots is not None:
                other.slots = self.pool.take_slots()
                self.pool.copy_slots(self.slots, other.slots)
                other._entered = position
            elif other._checkpoints:
                other.slots = self.pool.take_slots()
                self.pool.copy_slots(other._checkpoints[-1].slots, other.slots)
                other._entered = position = other._checkpoints[-1].position
            else:
                position = 0
        other.blocks = self.blocks[: -(-position // BLOCK)]
        for block in other.blocks:
            block.holders += 1
        return other, position

    def save(self, position: int) -> SavedState:
        """The bytes up to a position or, with slots, up to the last checkpoint before it."""
        slots = None
        if self.layout.slots:
            earlier = [each for each in self._checkpoints if each.position <= position]
            if position == self._entered and self.slots is not None:
                slots = self.pool.read_slots(self.slots)
            elif earlier:
                position, slots = earlier[-1].position, self.pool.read_slots(earlier[-1].slots)
            else:
                position = 0
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

    def _has_checkpoint(self, position: int) -> bool:
        return any(each.position == position for each in self._checkpoints)


def reserve(step: Step, states: Sequence[SequenceState]) -> None:
    """Prepares the states of a step's sequences for writing. Raises OutOfMemoryError."""
    for run, state in zip(step.runs(), states, strict=True):
        state.reserve(int(step.positions[run].min()), int(step.positions[run].max()) + 1)
