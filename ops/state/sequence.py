"""One sequence's state: what it keeps of its tokens, cut back, shared and copied.

Blocks of keys and values may be cut anywhere. Slots, which every step overwrites, cannot: the state
goes back to the last checkpoint. One rule for every caller: `rewind` and `fork` say which position
was reached; what is missing behind it is entered again. Without slots that is what was asked for.
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
    """A copy of the slots after the first `position` tokens."""

    position: int
    slots: Any


@dataclass(frozen=True, slots=True)
class SavedState:
    """The bytes of a state after `position` tokens, to be copied before the next step."""

    position: int
    blocks: list[NDArray[np.uint8]]
    slots: NDArray[np.uint8] | None


MOST_CHECKPOINTS = 32
"""Of one sequence; beyond that the older of the two that lie closest together goes."""


class SequenceState:
    """The blocks of one sequence, taken as its positions are written, and its slots."""

    def __init__(self, pool: BlockPool) -> None:
        self.pool = pool
        self.blocks: list[Block] = []
        self.slots: Any = None  # taken with the first step
        self._entered = 0  # tokens that the slots have seen
        self._checkpoints: list[Checkpoint] = []  # in rising order

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
        """Makes room to write positions start .. stop - 1, which no other sequence will see.

        With slots a step begins where the last one ended. Raises OutOfMemoryError.
        """
        if self.layout.slots:
            assert start == self._entered, "a recurrent state goes on only where it stands"
            self._entered = stop
            if self.slots is None:
                self.slots = self.pool.take_slots()
        self.take_blocks(start, stop)

    def take_blocks(self, start: int, stop: int) -> None:
        """The part of `reserve` that takes memory of the cache, ahead of the step."""
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
        """Keeps a copy of the slots as they are now; nothing is to be done without slots."""
        if self.slots is None or self._kept_at(self._entered):
            return
        copy = self.pool.take_slots()
        self.pool.copy_slots(self.slots, copy)
        self._checkpoints.append(Checkpoint(self._entered, copy))
        if len(self._checkpoints) > MOST_CHECKPOINTS:
            places = [each.position for each in self._checkpoints]
            del self._checkpoints[1 + int(np.argmin(np.diff(places[1:])))]

    def rewind(self, position: int) -> int:
        """Cuts off what lies behind a position; the position reached, which may be an earlier one.

        Blocks behind it stay until `shrink`: the next tokens are written over them.
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
        """Gives back the blocks that positions 0 .. positions - 1 do not need."""
        keep = -(-positions // BLOCK)
        for block in self.blocks[keep:]:
            self.pool.give_back(block)
        del self.blocks[keep:]

    def clear(self) -> None:
        """Forgets everything."""
        self.shrink(0)
        self._checkpoints.clear()
        self.rewind(0)

    def fork(self, position: int) -> tuple["SequenceState", int]:
        """Another sequence that begins with the same tokens, and the position that it reached.

        Blocks are shared; checkpoints are, too.
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

    def saved(self, position: int) -> SavedState:
        """The bytes of all up to a position, or, with slots, to the last checkpoint before it."""
        slots = None
        if self.layout.slots:
            kept = [each for each in self._checkpoints if each.position <= position]
            if position == self._entered and self.slots is not None:
                slots = self.pool.read_slots(self.slots)
            elif kept:
                position, slots = kept[-1].position, self.pool.read_slots(kept[-1].slots)
            else:
                position = 0
        count = -(-position // BLOCK) if self.layout.pages else 0
        return SavedState(position, [self.pool.read(block) for block in self.blocks[:count]], slots)

    def restore(self, saved: SavedState) -> None:
        """Takes over what `saved` gave. Raises OutOfMemoryError."""
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

    def _kept_at(self, position: int) -> bool:
        return any(each.position == position for each in self._checkpoints)


def reserve(step: Step, states: Sequence[SequenceState]) -> None:
    """Room for what a step writes: its sequences' states in order. Raises OutOfMemoryError."""
    for run, state in zip(step.runs(), states, strict=True):
        state.reserve(int(step.positions[run].min()), int(step.positions[run].max()) + 1)
