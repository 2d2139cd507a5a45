"""Layers that keep a state of fixed size."""

import math
from dataclasses import dataclass, field

from ops.interface import DeltaHeads, Linear, Ngrams, Step, Weight
from ops.operations.base import (
    READ,
    VECTOR,
    WRITTEN,
    Buffer,
    Cost,
    Operation,
    PositionBytes,
    Slot,
)


@dataclass(frozen=True, slots=True, eq=False)
class Recurrent(Operation):
    """What goes through each run's tokens in order, from what its slot holds."""

    slot: Slot = field(kw_only=True)

    @property
    def state(self) -> Slot:
        return self.slot

    @property
    def reads_state(self) -> bool:
        return True


@dataclass(frozen=True, slots=True, eq=False)
class Convolve(Recurrent):
    """A causal convolution of each channel; its slot holds the rows before the step's."""

    x: Buffer = field(metadata=READ)
    y: Buffer = field(metadata=WRITTEN)
    w: Linear = field(metadata=VECTOR)


@dataclass(frozen=True, slots=True, eq=False)
class Shift(Recurrent):
    """Each token's row becomes that of the one before; its slot holds the last."""

    x: Buffer = field(metadata=READ)
    y: Buffer = field(metadata=WRITTEN)


@dataclass(frozen=True, slots=True, eq=False)
class Compress(Recurrent):
    """Rows for so many tokens each; its slot holds the rows before the step's."""

    x: Buffer = field(metadata=READ)
    y: Buffer = field(metadata=WRITTEN)
    places: Weight = field(metadata=VECTOR)
    ratio: int
    parts: int


@dataclass(frozen=True, slots=True, eq=False)
class NgramRows(Recurrent):
    """The rows of a table for each token and those before it; its slot holds the last tokens."""

    y: Buffer = field(metadata=WRITTEN)  # int32
    ngrams: Ngrams


COLUMNS = 16
"""The columns of a matrix that lie together, padded to so many."""


def matrices(heads: int, rows: int, columns: int) -> tuple[int, ...]:
    """The shape of a slot that holds a matrix for each head, in stretches of 16 columns."""
    return heads, -(-columns // COLUMNS), rows, COLUMNS


def _matrix_costs(slot: Slot, step: Step, products: int) -> Cost:
    """Each sequence's matrices are read once, and met so many times by each token."""
    size = math.prod(slot.shape)
    return Cost(4 * size * len(step.starts), products * size * len(step.tokens))


@dataclass(frozen=True, slots=True, eq=False)
class SelectiveScan(Recurrent):
    x: Buffer = field(metadata=READ)
    delta: Buffer = field(metadata=READ)
    b: Buffer = field(metadata=READ)
    c: Buffer = field(metadata=READ)
    y: Buffer = field(metadata=WRITTEN)
    rates: Weight = field(metadata=VECTOR)
    skip: Weight = field(metadata=VECTOR)
    groups: int

    def costs(self, step: Step, cache: PositionBytes) -> Cost:
        return _matrix_costs(self.slot, step, 2)


@dataclass(frozen=True, slots=True, eq=False)
class LinearAttention(Recurrent):
    """`removed` and `added` are those of a correction."""

    q: Buffer = field(metadata=READ)
    k: Buffer = field(metadata=READ)
    v: Buffer = field(metadata=READ)
    decay: Buffer = field(metadata=READ)
    y: Buffer = field(metadata=WRITTEN)
    heads: int
    bonus: Weight | None = field(default=None, metadata=VECTOR)
    removed: Buffer | None = field(default=None, metadata=READ)
    added: Buffer | None = field(default=None, metadata=READ)

    def costs(self, step: Step, cache: PositionBytes) -> Cost:
        return _matrix_costs(self.slot, step, 2 if self.removed is None else 4)


@dataclass(frozen=True, slots=True, eq=False)
class DeltaRule(Recurrent):
    q: Buffer = field(metadata=READ)
    k: Buffer = field(metadata=READ)
    v: Buffer = field(metadata=READ)
    decay: Buffer = field(metadata=READ)
    rate: Buffer = field(metadata=READ)
    y: Buffer = field(metadata=WRITTEN)
    heads: DeltaHeads

    def costs(self, step: Step, cache: PositionBytes) -> Cost:
        return _matrix_costs(self.slot, step, 3)
