"""Lowers a fused recording to kernel calls: a kernel and its operands for each operator."""

import struct
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ops.cpu.formats import BF16_TERMS, quantized_formats
from ops.cpu.layout import (
    LINE,
    MATRIX_SCRATCH_BYTES,
    OUTPUTS,
    PANEL_ROWS,
    QUERY_BYTES,
    STEP_FIELDS,
    TILE_LIMIT,
    TOKENS,
    TOTAL_BYTES,
    UNPACKED_BYTES,
)
from ops.cpu.weights.packing import Packed, Packing
from ops.interface import BLOCK, Heads, Linear, Weight
from ops.memory_plan import Limits
from ops.operations.attention import Attention, NormRopeStore
from ops.operations.base import Buffer, Operation
from ops.operations.experts import Route
from ops.operations.products import ExpertProduct, HeadProduct, Product
from ops.state.formats import CODED
from ops.state.layout import StateLayout, record_bytes
from quant.format import Format, dequantize

MOST_QUERIES = 64  # of a kv head, computed while a block of K and V is in a core's cache
MOST_QUERIES_UNPACKED = 128  # where the block's values are unpacked for them

SCRATCH = Buffer("tokens", 0, 0)
"""Stands in operands for the threads' scratch, whose address is known after lowering."""

Operand = int | float | Buffer | Packed
Numbers = NDArray[Any]
Place = tuple[int, tuple[int, ...], str]  # of an array: address, shape, format
Matrix = tuple[Operand, Operand, Operand]  # addresses of a product's weight, bias and factor


@dataclass(frozen=True, slots=True)
class Call:
    """A kernel and its operands."""

    kernel: str
    operands: tuple[Operand, ...]


def scratch_bytes(op: Operation, limits: Limits, layout: StateLayout) -> int:
    """The scratch of each thread during the operation."""
    match op:
        case Product() | ExpertProduct() | HeadProduct() if op.w.weight.format.name in {
            *quantized_formats(),
            *BF16_TERMS,
        }:
            # not every rung needs it for each of them; only the compiling process knows
            return product_scratch(limits.rows(op.y))
        case NormRopeStore():
            return 4 * op.heads.head_width
        case Attention():
            queries = queries_at_once(op.heads, layout) + TILE_LIMIT
            described = QUERY_BYTES + 4  # and a number
            unpacked = 4 * op.heads.values * BLOCK + LINE if layout.v in CODED else 0
            tile = queries * (record_bytes(op.heads) + described) + 4 * TILE_LIMIT * BLOCK
            return tile + unpacked
        case Route():
            return 4 * (2 * op.routing.total + op.routing.groups)
    return 0


def product_scratch(rows: int) -> int:
    """A thread's scratch for a product with so many rows; its last tile may end behind them."""
    return max(UNPACKED_BYTES + TOTAL_BYTES * (rows + TILE_LIMIT), MATRIX_SCRATCH_BYTES)


def queries_at_once(heads: Heads, layout: StateLayout) -> int:
    """The most queries that attention computes in one part of its work."""
    most = MOST_QUERIES_UNPACKED if layout.v in CODED else MOST_QUERIES
    return max(most, heads.query_heads // heads.kv_heads + TILE_LIMIT - 1)


class Lowering:
    """Lowers operators; owns the arrays that operands point to: weights, rope frequencies."""

    def __init__(
        self, layout: StateLayout, limits: Limits, packing: Packing, unpacked: Collection[str] = ()
    ) -> None:
        """`unpacked`: the formats whose products have kernels of the second shape."""
        self.layout, self.limits, self.packing = layout, limits, packing
        self.unpacked = unpacked
        self._kept: dict[Place, tuple[Numbers, Numbers]] = {}

    def matrix(self, w: Linear) -> tuple[str, Matrix]:
        packed = self.packing.place(w.weight)
        return packed.format.name, (packed, self.floats(w.bias), self.floats(w.scale))

    def floats(self, weight: Weight | None) -> int:
        """The address of the weight as float32; 0 for none."""
        if weight is None:
            return 0
        return self.keep(weight.data, weight.format)

    def keep(self, source: Numbers, kind: Format | None = None) -> int:
        """Keeps an array, converted to float32 if a format is given; returns its address."""
        key = _place(source, kind)
        if key not in self._kept:
            final = _padded(dequantize(kind, source)) if kind else np.ascontiguousarray(source)
            self._kept[key] = final, source  # the source too: its address is the key
        return self._kept[key][0].ctypes.data

    def reread(self, vector: Weight) -> None:
        """Takes over the values of a vector that were changed, if it is kept here."""
        key = _place(vector.data, vector.format)
        if key in self._kept:
            self._kept[key][0][: vector.size] = dequantize(vector.format, vector.data).reshape(-1)


def _place(source: Numbers, kind: Format | None) -> Place:
    return source.ctypes.data, source.shape, kind.name if kind else "as it is"


Rules = dict[type[Operation], Callable[[Lowering, Any], Call]]
"""From an operator's type to what makes a Call of it."""


def _padded(values: Numbers) -> Numbers:
    """Pads the end: kernels read whole registers."""
    return np.concatenate([values.reshape(-1), np.zeros(PANEL_ROWS, np.float32)])


def rows(buffer: Buffer) -> tuple[int, int]:
    """How a kernel finds a buffer's row count: the step's field, times a multiple."""
    return (TOKENS if buffer.rows == "tokens" else OUTPUTS), buffer.multiple


def rows_step(buffer: Buffer) -> int:
    """Bytes from the step's record to that of the buffer's rows."""
    return 0 if buffer.rows == "tokens" else 8 * STEP_FIELDS


def encode(operand: int | float) -> int:
    """Eight bytes of an operand record: floats travel as the bits of a double."""
    if isinstance(operand, float):
        bits: int = struct.unpack("<q", struct.pack("<d", operand))[0]
        return bits
    return operand
