"""What is computed element by element or row by row."""

from dataclasses import dataclass, field

from ops.interface import Activation, Linear
from ops.operations.base import (
    READ,
    VECTOR,
    WRITTEN,
    Buffer,
    Operation,
)


@dataclass(frozen=True, slots=True, eq=False)
class Add(Operation):
    a: Buffer = field(metadata=READ)
    b: Buffer = field(metadata=READ)
    y: Buffer = field(metadata=WRITTEN)


@dataclass(frozen=True, slots=True, eq=False)
class Multiply(Operation):
    """Where `b` has fewer numbers, each multiplies a stretch of `a`, or a row."""

    a: Buffer = field(metadata=READ)
    b: Buffer = field(metadata=READ)
    y: Buffer = field(metadata=WRITTEN)


@dataclass(frozen=True, slots=True, eq=False)
class ScaleBy(Operation):
    """By weights, each of which multiplies a stretch of x."""

    x: Buffer = field(metadata=READ)
    y: Buffer = field(metadata=WRITTEN)
    w: Linear = field(metadata=VECTOR)


@dataclass(frozen=True, slots=True, eq=False)
class Sums(Operation):
    """Of each stretch of `stretch` columns."""

    x: Buffer = field(metadata=READ)
    y: Buffer = field(metadata=WRITTEN)
    stretch: int


@dataclass(frozen=True, slots=True, eq=False)
class Columns(Operation):
    """Columns `start` to `stop` of each stretch of `stretch` columns."""

    x: Buffer = field(metadata=READ)
    y: Buffer = field(metadata=WRITTEN)
    start: int
    stop: int
    stretch: int


@dataclass(frozen=True, slots=True, eq=False)
class Join(Operation):
    """The parts side by side, in each of so many stretches of a row."""

    xs: tuple[Buffer, ...] = field(metadata=READ)
    y: Buffer = field(metadata=WRITTEN)
    stretches: int


@dataclass(frozen=True, slots=True, eq=False)
class Mix(Operation):
    """Sums of a token's streams, with the factors that c holds."""

    x: Buffer = field(metadata=READ)
    c: Buffer = field(metadata=READ)
    y: Buffer = field(metadata=WRITTEN)
    streams: int


@dataclass(frozen=True, slots=True, eq=False)
class Balance(Operation):
    """Weights of streams, balanced both ways."""

    x: Buffer = field(metadata=READ)
    y: Buffer = field(metadata=WRITTEN)
    streams: int
    iterations: int
    eps: float


@dataclass(frozen=True, slots=True, eq=False)
class GaussianTopK(Operation):
    x: Buffer = field(metadata=READ)
    y: Buffer = field(metadata=WRITTEN)
    deviations: float


@dataclass(frozen=True, slots=True, eq=False)
class Scale(Operation):
    x: Buffer = field(metadata=READ)
    y: Buffer = field(metadata=WRITTEN)
    factor: float


@dataclass(frozen=True, slots=True, eq=False)
class Clamp(Operation):
    x: Buffer = field(metadata=READ)
    y: Buffer = field(metadata=WRITTEN)
    low: float
    high: float


@dataclass(frozen=True, slots=True, eq=False)
class Softcap(Operation):
    x: Buffer = field(metadata=READ)
    y: Buffer = field(metadata=WRITTEN)
    cap: float


@dataclass(frozen=True, slots=True, eq=False)
class Activate(Operation):
    x: Buffer = field(metadata=READ)
    y: Buffer = field(metadata=WRITTEN)
    activation: Activation


@dataclass(frozen=True, slots=True, eq=False)
class Gate(Operation):
    """y = activation(gate) · up."""

    gate: Buffer = field(metadata=READ)
    up: Buffer = field(metadata=READ)
    y: Buffer = field(metadata=WRITTEN)
    activation: Activation


@dataclass(frozen=True, slots=True, eq=False)
class Temperature(Operation):
    x: Buffer = field(metadata=READ)
    y: Buffer = field(metadata=WRITTEN)
    scale: float
    period: int
    offset: int = 0


@dataclass(frozen=True, slots=True, eq=False)
class Quantize(Operation):
    """Activations in blocks of 32 bytes with a scale, as products with packed weights take them."""

    x: Buffer = field(metadata=READ)
    y: Buffer = field(metadata=WRITTEN)


@dataclass(frozen=True, slots=True, eq=False)
class RoundToBf16(Operation):
    """Activations in BF16, as products may take them: for each 32 columns, 32 numbers of each term.

    The first term is the nearest number, the next one the nearest to what is missing. Each stretch
    of `columns` ends with whole 32 columns: zeros fill it.
    """

    x: Buffer = field(metadata=READ)
    y: Buffer = field(metadata=WRITTEN)
    columns: int
    terms: int


def bf16_width(columns: int, terms: int) -> int:
    """Of a stretch in BF16, in elements of 4 bytes."""
    return -(-columns // 32) * 16 * terms


@dataclass(frozen=True, slots=True, eq=False)
class SelectOutputs(Operation):
    x: Buffer = field(metadata=READ)
    y: Buffer = field(metadata=WRITTEN)
