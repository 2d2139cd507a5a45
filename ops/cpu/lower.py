"""From a fused recording to kernel calls: which kernel, and which operand record."""

import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ops.cache import CacheLayout, record_bytes
from ops.cpu.formats import IN_PARTS, KERNEL_FORMATS
from ops.cpu.layout import (
    OUTPUTS,
    PANEL_ROWS,
    TILE_LIMIT,
    TOKENS,
    TOTAL_BYTES,
    UNPACKED_BYTES,
)
from ops.cpu.packing import Packed, Packing
from ops.interface import BLOCK, Heads, Linear, Rope, Routing, Weight
from ops.program import Buffer, Limits, Operation
from quant.format import FORMATS, Format, dequantize, row_bytes

GATINGS = {"softmax": 0, "sigmoid": 1, "softmax_of_chosen": 2}

MOST_QUERIES = 64  # of a kv head that meet a block while it is in the cache of a core

SCRATCH = Buffer("tokens", 0, 0)
"""Stands in operands for the threads' scratch, which is placed when all calls are lowered."""

Operand = int | float | Buffer | Packed
Numbers = NDArray[Any]
Place = tuple[int, tuple[int, ...], str]  # of an array: address, shape, format
Matrix = tuple[Operand, Operand, Operand]  # addresses of a product's weight, bias and factor

NO_MATRIX: Matrix = (0, 0, 0)


@dataclass(frozen=True, slots=True)
class Call:
    """A kernel, its operands, and the floats of scratch that each thread needs."""

    kernel: str
    operands: tuple[Operand, ...]
    scratch: int = 0


class Lowering:
    """Owns what the operand records point to: weights in their final form, rope frequencies."""

    def __init__(self, layout: CacheLayout, limits: Limits) -> None:
        self._layout, self._limits = layout, limits
        self.packing = Packing()
        self._kept: dict[Place, tuple[Numbers, Numbers]] = {}

    def lower(self, operation: Operation) -> Call:
        rule: Callable[..., Call] = getattr(self, f"_{operation.name}")
        return rule(*operation.inputs, *operation.outputs, *operation.parameters)

    def _embed(self, y: Buffer, table: Weight) -> Call:
        return self._gather("embed", y, table)

    def _embed_positions(self, y: Buffer, table: Weight) -> Call:
        return self._gather("embed_positions", y, table)

    def _gather(self, kernel: str, y: Buffer, table: Weight) -> Call:
        if table.format.name in KERNEL_FORMATS:
            data, kind = self._keep(table.data), table.format
        else:
            data, kind = self._floats(table), FORMATS["F32"]
        row = row_bytes(kind, table.columns)
        return Call(f"{kernel}_{kind.name}", (data, row, table.columns, y, TOKENS))

    def _linear(self, x: Buffer, *rest: Any) -> Call:
        *added, y, w = rest
        kind, matrix = self._matrix(w)
        return self._product(f"linear_{kind}", x, y, w, matrix, added=added[0] if added else 0)

    def _gated_linear(self, x: Buffer, y: Buffer, gate: Linear, up: Linear, kind: str) -> Call:
        name, first = self._matrix(gate)
        return self._product(f"gated_linear_{name}_{kind}", x, y, gate, first, self._matrix(up)[1])

    def _expert_linear(self, x: Buffer, *rest: Any) -> Call:
        _, *group, y, w = rest
        kind, matrix = self._matrix(w)
        groups = (*group, w.weight.experts, y.multiple // x.multiple)
        return self._product(f"expert_linear_{kind}", x, y, w, matrix, groups=groups)

    def _gated_expert_linear(self, x: Buffer, *rest: Any) -> Call:
        _, *group, y, gate, up, kind = rest
        name, first = self._matrix(gate)
        groups = (*group, gate.weight.experts, y.multiple // x.multiple)
        name, second = f"gated_expert_linear_{name}_{kind}", self._matrix(up)[1]
        return self._product(name, x, y, gate, first, second, groups=groups)

    def _product(
        self,
        kernel: str,
        x: Buffer,
        y: Buffer,
        w: Linear,
        matrix: Matrix,
        second: Matrix = NO_MATRIX,
        added: Operand = 0,
        groups: tuple[Operand, ...] = (),
    ) -> Call:
        """The operands in the order of layout.py."""
        packed = matrix[0]
        assert isinstance(packed, Packed)
        sizes = (packed.matrix_bytes, packed.panel_bytes, w.weight.columns, w.weight.rows)
        ends = (x, 4 * x.width, y, added, *rows(y))
        scratch = 0
        if packed.format.name in IN_PARTS:
            scratch = UNPACKED_BYTES + TOTAL_BYTES * self._limits.rows(y)
        operands = (*matrix, *second, *sizes, *ends, SCRATCH, scratch, *groups)
        return Call(kernel, operands, scratch // 4)

    def _quantize(self, x: Buffer, y: Buffer) -> Call:
        return Call("quantize", (x, y, x.width // 32, *rows(x)))

    def _rms_norm_quantize(self, x: Buffer, y: Buffer, w: Linear, eps: float) -> Call:
        operands = (x, y, self._floats(w.weight), x.width // 32, *rows(x), float(eps))
        return Call("rms_norm_quantize", operands)

    def _rms_norm(self, x: Buffer, y: Buffer, w: Linear, eps: float) -> Call:
        width = w.weight.columns
        field, multiple = rows(x)
        stretches = multiple * (x.width // width)
        operands = (x, y, self._floats(w.weight), width, field, stretches, float(eps))
        return Call("rms_norm", operands)

    def _layer_norm(self, x: Buffer, y: Buffer, w: Linear, eps: float) -> Call:
        weight, bias = self._floats(w.weight), self._floats(w.bias)
        return Call("layer_norm", (x, y, weight, bias, x.width, *rows(x), float(eps)))

    def _angles(self, table: Buffer, rope: Rope) -> Call:
        frequencies, repeat = self._keep(rope.frequencies), _repeat(rope)
        operands = (table, frequencies, len(rope.frequencies), repeat, float(rope.magnitude))
        return Call("angles", (*operands, TOKENS))

    def _rope(self, x: Buffer, table: Buffer, y: Buffer, rope: Rope) -> Call:
        pairs, width = len(rope.frequencies), rope.head_width
        shape = (pairs, width, x.width // width, _repeat(rope))
        return Call("rope", (x, y, table, *shape, TOKENS))

    def _temperature(self, x: Buffer, y: Buffer, scale: float, period: int) -> Call:
        return Call("temperature", (x, y, x.width, TOKENS, float(scale), period))

    def _enter_heads(self, q: Buffer, k: Buffer, v: Buffer, *rest: Any) -> Call:
        """The operands in the order of kernels/heads.py."""
        *table, out, heads, q_norm, k_norm, eps, rope, q_turned = rest
        layout, pairs = self._layout, len(rope.frequencies) if rope else 0
        shape = (heads.query_heads, heads.kv_heads, heads.head_width)
        place = (*layout.offsets(heads.layer), layout.panel_bytes(heads), layout.row_bytes(heads))
        norms = [self._floats(norm.weight if norm else None) for norm in (q_norm, k_norm)]
        turns = (table[0] if table else 0, pairs * q_turned, pairs, _repeat(rope))
        operands = (q, k, v, out, *shape, *place, *norms, float(eps), *turns, SCRATCH, TOKENS)
        return Call(f"enter_heads_{layout.k}_{layout.v}", operands, heads.head_width)

    def _attention(self, q: Buffer, y: Buffer, heads: Heads, sinks: Weight | None) -> Call:
        """The operands in the order of kernels/attention.py."""
        layout, group = self._layout, heads.query_heads // heads.kv_heads
        shape = (heads.query_heads, group, heads.head_width)
        strides = layout.panel_bytes(heads), layout.row_bytes(heads)
        place = (*layout.offsets(heads.layer), *strides, heads.window or 0)
        numbers = (float(heads.scale), float(heads.softcap or 0.0))
        queries = max(MOST_QUERIES, group + TILE_LIMIT - 1)
        records = (queries + TILE_LIMIT) * record_bytes(heads) // 4
        scratch = records + TILE_LIMIT * (BLOCK + 3)
        counters = self._keep(np.zeros(heads.kv_heads, np.int32))
        work = (SCRATCH, 4 * scratch, queries, counters, TOKENS)
        operands = (q, y, self._floats(sinks), *shape, *place, *numbers, *work)
        return Call(f"attention_{layout.k}_{layout.v}", operands, scratch)

    def _add(self, x: Buffer, y: Buffer, z: Buffer) -> Call:
        return Call("add", (x, y, z, x.width, *rows(x)))

    def _scale(self, x: Buffer, y: Buffer, factor: float) -> Call:
        return Call("scale", (x, y, x.width, *rows(x), float(factor)))

    def _softcap(self, x: Buffer, y: Buffer, cap: float) -> Call:
        return Call("softcap", (x, y, x.width, *rows(x), float(cap)))

    def _activate(self, x: Buffer, y: Buffer, activation: str) -> Call:
        return Call(f"activate_{activation}", (x, y, x.width, *rows(x), 0.0))

    def _gate(self, gate: Buffer, up: Buffer, y: Buffer, activation: str) -> Call:
        return Call(f"gate_{activation}", (gate, up, y, y.width, *rows(y)))

    def _route(self, logits: Buffer, ids: Buffer, weights: Buffer, routing: Routing) -> Call:
        choice = (routing.total, routing.used, GATINGS[routing.gating])
        normalize = int(routing.normalize and routing.gating != "softmax_of_chosen")
        operands = (logits, ids, weights, *choice, normalize, float(routing.scale), SCRATCH, TOKENS)
        return Call("route", operands, routing.total)

    def _group(self, ids: Buffer, order: Buffer, starts: Buffer, routing: Routing) -> Call:
        return Call("group", (ids, order, starts, routing.total, TOKENS, routing.used))

    def _expert_sum(self, y: Buffer, weights: Buffer, out: Buffer) -> Call:
        return Call("expert_sum", (y, weights, out, out.width, weights.width, TOKENS))

    def _select_outputs(self, x: Buffer, y: Buffer) -> Call:
        return Call("select_outputs", (x, y, x.width, OUTPUTS))

    def _matrix(self, w: Linear) -> tuple[str, Matrix]:
        kind = w.weight.format if w.weight.format.name in KERNEL_FORMATS else FORMATS["F32"]
        packed = self.packing.place(w.weight, kind)
        return kind.name, (packed, self._floats(w.bias), self._floats(w.scale))

    def _floats(self, weight: Weight | None) -> int:
        """The address of the weight as float32; 0 for none."""
        if weight is None:
            return 0
        return self._keep(weight.data, weight.format)

    def _keep(self, source: Numbers, kind: Format | None = None) -> int:
        """Holds an array, as floats of a format, as long as the program lives; its address."""
        key = source.ctypes.data, source.shape, kind.name if kind else "as it is"
        if key not in self._kept:
            final = _padded(dequantize(kind, source)) if kind else np.ascontiguousarray(source)
            self._kept[key] = final, source  # the source too: its address is the key
        return self._kept[key][0].ctypes.data


def _repeat(rope: Rope | None) -> int:
    """How often the angles of a pair stand in their table."""
    return 2 if rope and rope.interleaved else 1


def _padded(values: Numbers) -> Numbers:
    """Kernels read whole registers, so something must lie behind the last float."""
    return np.concatenate([values.reshape(-1), np.zeros(PANEL_ROWS, np.float32)])


def rows(buffer: Buffer) -> tuple[int, int]:
    """How a kernel finds a buffer's row count: the step's field, times a multiple."""
    return (TOKENS if buffer.rows == "tokens" else OUTPUTS), buffer.multiple


def encode(operand: int | float) -> int:
    """Eight bytes of an operand record: floats travel as the bits of a double."""
    if isinstance(operand, float):
        bits: int = struct.unpack("<q", struct.pack("<d", operand))[0]
        return bits
    return operand
