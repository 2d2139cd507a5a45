"""Layers that keep a state of fixed size."""

import math
from dataclasses import dataclass, field

from ops.interface import DeltaHeads, Linear, Step
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
class Convolve(Operation):
    """A causal convolution of each channel; its slot holds the rows before the step's."""

    x: Buffer = field(metadata=READ)
    y: Buffer = field(metadata=WRITTEN)
    w: Linear = field(metadata=VECTOR)
    slot: Slot

    @property
    def state(self) -> Slot:
        return self.slot

    @property
    def reads_state(self) -> bool:
        return True


COLUMNS = 16
"""The columns of a delta rule's matrix that lie together, padded to so many."""


@dataclass(frozen=True, slots=True, eq=False)
class DeltaRule(Operation):
    """Its slot holds each head's matrix in stretches of 16 columns, row by row."""

    q: Buffer = field(metadata=READ)
    k: Buffer = field(metadata=READ)
    v: Buffer = field(metadata=READ)
    decay: Buffer = field(metadata=READ)
    rate: Buffer = field(metadata=READ)
    y: Buffer = field(metadata=WRITTEN)
    heads: DeltaHeads
    slot: Slot

    @property
    def state(self) -> Slot:
        return self.slot

    @property
    def reads_state(self) -> bool:
        return True

    def costs(self, step: Step, cache: PositionBytes) -> Cost:
        """Each sequence's matrices are read once, and met three times by each token."""
        size = math.prod(self.slot.shape)
        return Cost(4 * size * len(step.starts), 3 * size * len(step.tokens))


def delta_slot(layer: int, heads: DeltaHeads) -> Slot:
    """What a layer with a delta rule keeps."""
    stretches = -(-heads.value_width // COLUMNS)
    return Slot(layer, "delta rule", (heads.heads, stretches, heads.key_width, COLUMNS))
