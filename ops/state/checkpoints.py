"""Copies of a sequence's recurrent slots, to which it can go back."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from ops.state.blocks import BlockPool
from quant.errors import OutOfMemoryError


@dataclass(slots=True, eq=False)
class Checkpoint:
    """A copy of the slots as they were after the first `position` tokens; forks share it."""

    position: int
    slots: Any
    holders: int = 1  # reference count


class Checkpoints:
    """Those of one sequence: `pool.checkpoints` of them, and one from before the last pass."""

    def __init__(self, pool: BlockPool) -> None:
        self._pool = pool
        self._kept: list[Checkpoint] = []  # in ascending order
        self._temporary: Checkpoint | None = None

    def __iter__(self) -> Iterator[Checkpoint]:
        yield from self._kept
        if self._temporary is not None:
            yield self._temporary

    @property
    def positions(self) -> list[int]:
        """Of those that are kept, in ascending order."""
        return [each.position for each in self._kept]

    def last(self, position: int) -> Checkpoint | None:
        """The last one that is not after a position."""
        earlier = [each for each in self if each.position <= position]
        return max(earlier, key=lambda each: each.position, default=None)

    def add(self, position: int, slots: Any, *, temporary: bool) -> None:
        """Copies the slots. A `temporary` copy is replaced by the next one of its kind.

        Where memory runs out, others give theirs, and at last nothing is kept.
        """
        if any(each.position == position for each in (self if temporary else self._kept)):
            return
        if not (temporary or self._pool.checkpoints):
            return
        memory = self._temporary.slots if temporary and self._temporary else self._memory()
        if memory is None:
            return
        self._pool.copy_slots(slots, memory)
        if temporary:
            self._temporary = Checkpoint(position, memory)
            return
        self._kept.append(Checkpoint(position, memory))
        if len(self._kept) > self._pool.checkpoints:
            self._drop_one()

    def cut(self, position: int) -> None:
        """Drops those after a position."""
        while self._kept and self._kept[-1].position > position:
            self._release(self._kept.pop())
        if self._temporary is not None and self._temporary.position > position:
            self._drop_temporary()

    def shared(self, position: int) -> "Checkpoints":
        """Those up to a position, for a fork."""
        other = Checkpoints(self._pool)
        other._kept = [each for each in self._kept if each.position <= position]
        for each in other._kept:
            each.holders += 1
        return other

    def _memory(self) -> Any:
        while True:
            try:
                return self._pool.take_slots()
            except OutOfMemoryError:
                if not self._kept:
                    return None
                self._drop_one()

    def _drop_one(self) -> None:
        """The older of the two closest to each other, but neither the first nor the last."""
        gaps = np.diff(self.positions[1:])
        self._release(self._kept.pop(1 + int(np.argmin(gaps)) if len(gaps) else 0))

    def _drop_temporary(self) -> None:
        if self._temporary is not None:
            self._release(self._temporary)
            self._temporary = None

    def _release(self, checkpoint: Checkpoint) -> None:
        checkpoint.holders -= 1
        if not checkpoint.holders:
            self._pool.give_back_slots(checkpoint.slots)
