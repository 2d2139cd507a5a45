"""From a recording to kernel calls: for each operator, which kernel and which operand record."""

import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ops.cache import CacheLayout
from ops.cpu.layout import OUTPUTS, TOKENS
from ops.interface import BLOCK, Heads, Linear, Rope, Routing, Weight
from ops.program import Buffer, Operation
from quant.format import FORMATS, Format, dequantize, row_bytes

GATINGS = {"softmax": 0, "sigmoid": 1, "softmax_of_chosen": 2}
FLOATS = ("F32", "F16", "BF16")
LEGACY = ("Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0")
SUPER_BLOCKS = ("Q2_K", "Q3_K", "Q4_K", "Q5_K", "Q6_K")
TABLES = ("IQ4_NL", "IQ4_XS", "MXFP4")
KERNEL_FORMATS = frozenset(FLOATS + LEGACY + SUPER_BLOCKS + TABLES)
"""Formats that the kernels read in place; any other is converted to float32 at load."""

SCRATCH = Buffer("tokens", 0, 0)
"""Stands in operands for the threads' scratch, which is placed when all calls are lowered."""

Operand = int | float | Buffer
Numbers = NDArray[Any]
Place = tuple[int, tuple[int, ...], str, str]  # of an array: address, shape, format wanted and had


@dataclass(frozen=True, slots=True)
class Call:
    """A kernel, its operands, and the floats of scratch that each thread needs."""

    kernel: str
    operands: tuple[Operand, ...]
    scratch: int = 0


class Lowering:
    """Owns what the operand records point to: weights in their final form, rope frequencies."""

    def __init__(self, layout: CacheLayout) -> None:
        self._layout = layout
        self._kept: dict[Place, tuple[Numbers, Numbers]] = {}

    def lower(self, operations: Sequence[Operation]) -> list[Call]:
        return [self._lower(operation) for operation in operations]

    def _lower(self, op: Operation) -> Call:
        rule: Callable[..., Call] = getattr(self, f"_{op.name}")
        return rule(*op.inputs, *op.outputs, *op.parameters)

    def _embed(self, y: Buffer, table: Weight) -> Call:
        return self._gather("embed", y, table)

    def _embed_positions(self, y: Buffer, table: Weight) -> Call:
        return self._gather("embed_positions", y, table)

    def _gather(self, kernel: str, y: Buffer, table: Weight) -> Call:
        data, kind = self._weight(table)
        operands = (data, row_bytes(kind, table.columns), table.columns, y, SCRATCH, TOKENS)
        return Call(f"{kernel}_{kind.name}", operands, table.columns)

    def _linear(self, x: Buffer, y: Buffer, w: Linear) -> Call:
        return self._product("linear", x, y, w)

    def _expert_linear(self, x: Buffer, ids: Buffer, y: Buffer, w: Linear) -> Call:
        return self._product("expert_linear", x, y, w, ids, y.multiple // x.multiple)

    def _product(self, kernel: str, x: Buffer, y: Buffer, w: Linear, *more: Operand) -> Call:
        data, kind = self._weight(w.weight)
        columns = w.weight.columns
        place = (data, row_bytes(kind, columns), columns, w.weight.rows)
        more = (self._floats(w.scale), *more)
        operands = (*place, self._floats(w.bias), x, y, SCRATCH, *rows(y), *more)
        return Call(f"{kernel}_{kind.name}", operands, columns)

    def _rms_norm(self, x: Buffer, y: Buffer, w: Linear, eps: float) -> Call:
        width = w.weight.columns
        field, multiple = rows(x)
        stretches = multiple * (x.width // width)
        operands = (x, y, self._floats(w.weight), width, field, stretches, float(eps))
        return Call("rms_norm", operands)

    def _layer_norm(self, x: Buffer, y: Buffer, w: Linear, eps: float) -> Call:
        weight, bias = self._floats(w.weight), self._floats(w.bias)
        return Call("layer_norm", (x, y, weight, bias, x.width, *rows(x), float(eps)))

    def _rope(self, x: Buffer, y: Buffer, rope: Rope) -> Call:
        pairs, width = len(rope.frequencies), rope.head_width
        stride, distance = (2, 1) if rope.interleaved else (1, pairs)
        shape = (pairs, width, x.width // width, stride, distance)
        frequencies = self._keep(rope.frequencies, "F32")
        return Call("rope", (x, y, frequencies, *shape, float(rope.magnitude), TOKENS))

    def _temperature(self, x: Buffer, y: Buffer, scale: float, period: int) -> Call:
        return Call("temperature", (x, y, x.width, TOKENS, float(scale), period))

    def _store(self, k: Buffer, v: Buffer, heads: Heads) -> Call:
        operands = (k, v, k.width, *self._layout.offsets(heads.layer), TOKENS)
        return Call(f"store_{self._layout.type}", operands)

    def _attention(self, q: Buffer, y: Buffer, heads: Heads, sinks: Weight | None) -> Call:
        group = heads.query_heads // heads.kv_heads
        shape = (heads.query_heads, group, heads.head_width)
        place = (*self._layout.offsets(heads.layer), heads.window or 0)
        numbers = (float(heads.scale), float(heads.softcap or 0.0))
        operands = (q, y, self._floats(sinks), *shape, *place, *numbers, SCRATCH, TOKENS)
        return Call(f"attention_{self._layout.type}", operands, BLOCK + heads.head_width)

    def _add(self, x: Buffer, y: Buffer, z: Buffer) -> Call:
        return Call("add", (x, y, z, x.width, *rows(x)))

    def _scale(self, x: Buffer, y: Buffer, factor: float) -> Call:
        return Call("scale", (x, y, x.width, *rows(x), float(factor)))

    def _softcap(self, x: Buffer, y: Buffer, cap: float) -> Call:
        return Call("softcap", (x, y, x.width, *rows(x), float(cap)))

    def _activate(self, x: Buffer, y: Buffer, activation: str) -> Call:
        return Call(f"activate_{activation}", (x, y, x.width, *rows(x)))

    def _gate(self, gate: Buffer, up: Buffer, y: Buffer, activation: str) -> Call:
        return Call(f"gate_{activation}", (gate, up, y, y.width, *rows(y)))

    def _route(self, logits: Buffer, ids: Buffer, weights: Buffer, routing: Routing) -> Call:
        choice = (routing.total, routing.used, GATINGS[routing.gating])
        normalize = int(routing.normalize and routing.gating != "softmax_of_chosen")
        operands = (logits, ids, weights, *choice, normalize, float(routing.scale), SCRATCH, TOKENS)
        return Call("route", operands, routing.total)

    def _expert_sum(self, y: Buffer, weights: Buffer, out: Buffer) -> Call:
        return Call("expert_sum", (y, weights, out, out.width, weights.width, TOKENS))

    def _select_outputs(self, x: Buffer, y: Buffer) -> Call:
        return Call("select_outputs", (x, y, x.width, OUTPUTS))

    def _weight(self, weight: Weight) -> tuple[int, Format]:
        if weight.format.name in KERNEL_FORMATS:
            return self._keep(weight.data, weight.format.name), weight.format
        return self._floats(weight), FORMATS["F32"]

    def _floats(self, weight: Weight | None) -> int:
        """The address of the weight as float32; 0 for none."""
        if weight is None:
            return 0
        if weight.format.name == "F32":
            return self._keep(weight.data, "F32")
        return self._keep(weight.data, "F32", weight.format)

    def _keep(self, source: Numbers, kind: str, converted: Format | None = None) -> int:
        """Holds an array, in `kind`, as long as the program lives; gives its address."""
        key = source.ctypes.data, source.shape, kind, converted.name if converted else kind
        if key not in self._kept:
            final = dequantize(converted, source) if converted else np.ascontiguousarray(source)
            self._kept[key] = final, source  # the source too: its address is the key
        return self._kept[key][0].ctypes.data


def rows(buffer: Buffer) -> tuple[int, int]:
    """How a kernel finds a buffer's row count: the step's field, times a multiple."""
    return (TOKENS if buffer.rows == "tokens" else OUTPUTS), buffer.multiple


def encode(operand: int | float) -> int:
    """Eight bytes of an operand record: floats travel as the bits of a double."""
    if isinstance(operand, float):
        bits: int = struct.unpack("<q", struct.pack("<d", operand))[0]
        return bits
    return operand
