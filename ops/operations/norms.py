"""Norms of rows, or of stretches of a row."""

from dataclasses import dataclass, field

from ops.interface import Linear
from ops.operations.base import (
    READ,
    VECTOR,
    WRITTEN,
    Buffer,
    Operation,
)


@dataclass(frozen=True, slots=True, eq=False)
class RmsNorm(Operation):
    """Of each stretch of `width` columns; without `w` nothing is multiplied."""

    x: Buffer = field(metadata=READ)
    y: Buffer = field(metadata=WRITTEN)
    w: Linear | None = field(metadata=VECTOR)
    width: int
    eps: float = 0.0

    @property
    def weights(self) -> Linear | None:
        """If all stretches have the same ones."""
        return self.w if self.w and self.w.weight.rows == 1 else None


@dataclass(frozen=True, slots=True, eq=False)
class LayerNorm(Operation):
    """Of each stretch of `width` columns; without `w` nothing is multiplied."""

    x: Buffer = field(metadata=READ)
    y: Buffer = field(metadata=WRITTEN)
    w: Linear | None = field(metadata=VECTOR)
    width: int
    eps: float = 0.0

    @property
    def weights(self) -> Linear | None:
        """If the stretches are whole rows."""
        return self.w if self.width == self.x.width else None


@dataclass(frozen=True, slots=True, eq=False)
class RmsNormQuantize(Operation):
    """A norm of whole rows and the quantization that is its only reader."""

    x: Buffer = field(metadata=READ)
    y: Buffer = field(metadata=WRITTEN)
    w: Linear = field(metadata=VECTOR)
    eps: float = 0.0
