"""What the rules of operators share: addresses, placed weights, and their launches."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from ops.cuda.cache import CardStateLayout
from ops.cuda.device.device import Launch
from ops.cuda.lowering.placing import Placed, Placing
from ops.cuda.lowering.products import (
    Matrix,
)
from ops.cuda.lowering.records import Counts, RecordAddresses
from ops.interface import Linear, Weight
from ops.operations.base import Buffer, Operation

THREADS, WARP = 256, 32


@dataclass(frozen=True, slots=True)
class StepAddresses:
    """Addresses of everything that a step of these sizes reads and writes."""

    counts: Counts
    record: RecordAddresses
    buffers: Mapping[Buffer, int]
    scratch: int

    def rows(self, buffer: Buffer) -> int:
        return self.counts.rows(buffer)

    def __getitem__(self, buffer: Buffer) -> int:
        return self.buffers[buffer]


Launches = Callable[[StepAddresses], Iterable[Launch]]


@dataclass(frozen=True, slots=True)
class Lowered:
    """An operator: its launches in a step, and all kernels that it may need."""

    launches: Launches
    kernels: tuple[str, ...]
    scratch: Callable[[Counts], int] = lambda counts: 0  # bytes


class Lowering:
    """Places the weights that operators refer to; addresses are known once they are uploaded."""

    def __init__(self, placing: Placing, layout: CardStateLayout) -> None:
        self.placing, self.layout = placing, layout

    def matrix(self, w: Linear) -> Callable[[], Matrix]:
        placed = self.placing.matrix(w.weight)
        bias, factor = self.placing.floats(w.bias), self.placing.floats(w.scale)
        address = self.placing.address
        return lambda: matrix_at(placed, address(placed), address(bias), address(factor), w.weight)


Rules = dict[type[Operation], Callable[[Lowering, Any], Lowered]]
"""From an operator's type to the function that lowers it."""


def quantize_launch(step: StepAddresses, x: Buffer, y: Buffer) -> Launch:
    grid = (rounded_up(x.width, THREADS), step.rows(x), 1)
    return Launch("quantize", grid, THREADS, (step[x], step[y], x.width))


def matrix_at(placed: Placed, address: int, bias: int, factor: int, weight: Weight) -> Matrix:
    sizes = placed.panel_bytes, placed.matrix_bytes, placed.blocks, weight.columns, weight.rows
    return Matrix(placed.kind, address, bias, factor, *sizes, weight.experts)


def rounded_up(number: int, divisor: int) -> int:
    return -(-number // divisor)
