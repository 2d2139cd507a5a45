"""Layers that keep a state of fixed size."""

from dataclasses import dataclass, field

from ops.interface import Linear
from ops.operations.base import (
    READ,
    VECTOR,
    WRITTEN,
    Buffer,
    Operation,
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
