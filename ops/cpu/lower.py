"""From a fused recording to kernel calls: which kernel, and which operand record."""

import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

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
from ops.interface import BLOCK, Heads, Linear, Rope, Weight
from ops.memory_plan import Limits
from ops.operations import (
    Activate,
    Add,
    Angles,
    Attention,
    Buffer,
    Convolve,
    Embed,
    ExpertProduct,
    ExpertSum,
    Gate,
    Group,
    LayerNorm,
    Multiply,
    NormRopeStore,
    Operation,
    Product,
    Quantize,
    RmsNorm,
    RmsNormQuantize,
    Rotate,
    Route,
    Scale,
    SelectOutputs,
    Softcap,
    Temperature,
)
from ops.state.layout import StateLayout, record_bytes
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
    """A kernel and its operands."""

    kernel: str
    operands: tuple[Operand, ...]


def scratch_bytes(op: Operation, limits: Limits) -> int:
    """What each thread needs while it is at the operation."""
    match op:
        case Product() | ExpertProduct() if op.w.weight.format.name in IN_PARTS:
            return UNPACKED_BYTES + TOTAL_BYTES * limits.rows(op.y)
        case NormRopeStore():
            return 4 * op.heads.head_width
        case Attention():
            records = (_queries(op.heads) + TILE_LIMIT) * record_bytes(op.heads)
            return records + 4 * TILE_LIMIT * (BLOCK + 3)
        case Route():
            return 4 * op.routing.total
    return 0


def _queries(heads: Heads) -> int:
    """Those that attention computes in one go."""
    return max(MOST_QUERIES, heads.query_heads // heads.kv_heads + TILE_LIMIT - 1)


class Lowering:
    """Owns what the operand records point to: weights in their final form, rope frequencies."""

    def __init__(self, layout: StateLayout, limits: Limits) -> None:
        self.layout, self.limits = layout, limits
        self.packing = Packing()
        self._kept: dict[Place, tuple[Numbers, Numbers]] = {}

    def lower(self, operation: Operation) -> Call:
        return RULES[type(operation)](self, operation)

    def matrix(self, w: Linear) -> tuple[str, Matrix]:
        kind = w.weight.format if w.weight.format.name in KERNEL_FORMATS else FORMATS["F32"]
        packed = self.packing.place(w.weight, kind)
        return kind.name, (packed, self.floats(w.bias), self.floats(w.scale))

    def floats(self, weight: Weight | None) -> int:
        """The address of the weight as float32; 0 for none."""
        if weight is None:
            return 0
        return self.keep(weight.data, weight.format)

    def keep(self, source: Numbers, kind: Format | None = None) -> int:
        """Holds an array, as floats of a format, as long as the program lives; its address."""
        key = source.ctypes.data, source.shape, kind.name if kind else "as it is"
        if key not in self._kept:
            final = _padded(dequantize(kind, source)) if kind else np.ascontiguousarray(source)
            self._kept[key] = final, source  # the source too: its address is the key
        return self._kept[key][0].ctypes.data


def _embed(low: Lowering, op: Embed) -> Call:
    table, kind = op.table, FORMATS["F32"]
    if table.format.name in KERNEL_FORMATS:
        data, kind = low.keep(table.data), table.format
    else:
        data = low.floats(table)
    kernel = {"tokens": "embed", "positions": "embed_positions"}[op.index]
    row = row_bytes(kind, table.columns)
    return Call(f"{kernel}_{kind.name}", (data, row, table.columns, op.y, TOKENS))


def _product(low: Lowering, op: Product) -> Call:
    return _packed_product(low, op, "linear", added=op.added or 0)


def _expert_product(low: Lowering, op: ExpertProduct) -> Call:
    assert op.order is not None and op.starts is not None
    groups = (op.order, op.starts, op.w.weight.experts, op.y.multiple // op.x.multiple)
    return _packed_product(low, op, "expert_linear", groups=groups)


def _packed_product(
    low: Lowering,
    op: Product | ExpertProduct,
    name: str,
    added: Operand = 0,
    groups: tuple[Operand, ...] = (),
) -> Call:
    """The operands in the order of layout.py."""
    kind, matrix = low.matrix(op.w)
    kernel, second = f"{name}_{kind}", NO_MATRIX
    if op.up is not None:
        kernel, second = f"gated_{kernel}_{op.activation}", low.matrix(op.up)[1]
    packed = matrix[0]
    assert isinstance(packed, Packed)
    sizes = (packed.matrix_bytes, packed.panel_bytes, op.w.weight.columns, op.w.weight.rows)
    ends = (op.x, 4 * op.x.width, op.y, added, *rows(op.y))
    operands = (*matrix, *second, *sizes, *ends, SCRATCH, scratch_bytes(op, low.limits), *groups)
    return Call(kernel, operands)


def _quantize(low: Lowering, op: Quantize) -> Call:
    return Call("quantize", (op.x, op.y, op.x.width // 32, *rows(op.x)))


def _rms_norm_quantize(low: Lowering, op: RmsNormQuantize) -> Call:
    weight = low.floats(op.w.weight)
    operands = (op.x, op.y, weight, op.x.width // 32, *rows(op.x), float(op.eps))
    return Call("rms_norm_quantize", operands)


def _rms_norm(low: Lowering, op: RmsNorm) -> Call:
    width = op.w.weight.columns
    field, multiple = rows(op.x)
    stretches = multiple * (op.x.width // width)
    weight = low.floats(op.w.weight)
    return Call("rms_norm", (op.x, op.y, weight, width, field, stretches, float(op.eps)))


def _layer_norm(low: Lowering, op: LayerNorm) -> Call:
    vectors = low.floats(op.w.weight), low.floats(op.w.bias)
    operands = (op.x, op.y, *vectors, op.x.width, *rows(op.x), float(op.eps))
    return Call("layer_norm", operands)


def _angles(low: Lowering, op: Angles) -> Call:
    rope = op.rope
    frequencies, pairs = low.keep(rope.frequencies), len(rope.frequencies)
    operands = (op.y, frequencies, pairs, _repeat(rope), float(rope.magnitude), TOKENS)
    return Call("angles", operands)


def _rotate(low: Lowering, op: Rotate) -> Call:
    assert op.angles is not None
    pairs, width = len(op.rope.frequencies), op.rope.head_width
    shape = (pairs, width, op.x.width // width, _repeat(op.rope))
    return Call("rope", (op.x, op.y, op.angles, *shape, TOKENS))


def _temperature(low: Lowering, op: Temperature) -> Call:
    return Call("temperature", (op.x, op.y, op.x.width, TOKENS, float(op.scale), op.period))


def _norm_rope_store(low: Lowering, op: NormRopeStore) -> Call:
    """The operands in the order of kernels/heads.py."""
    layout, heads = low.layout, op.heads
    pairs = len(op.rope.frequencies) if op.rope else 0
    shape = (heads.query_heads, heads.kv_heads, heads.head_width)
    strides = layout.panel_bytes(heads.layer), layout.row_bytes(heads.layer)
    place = (*layout.offsets(heads.layer), *strides)
    norms = [low.floats(norm.weight if norm else None) for norm in (op.q_norm, op.k_norm)]
    turns = (op.angles or 0, pairs * op.rotates_q, pairs, _repeat(op.rope))
    ends = (*norms, float(op.eps), *turns, SCRATCH, TOKENS, heads.values)
    operands = (op.q, op.k, op.v, op.y, *shape, *place, *ends)
    return Call(f"norm_rope_store_{layout.k}_{layout.v}", operands)


def _attention(low: Lowering, op: Attention) -> Call:
    """The operands in the order of kernels/attention.py."""
    layout, heads = low.layout, op.heads
    group = heads.query_heads // heads.kv_heads
    shape = (heads.query_heads, group, heads.values)
    strides = layout.panel_bytes(heads.layer), layout.row_bytes(heads.layer)
    place = (*layout.offsets(heads.layer), *strides, heads.window or 0)
    numbers = (float(heads.scale), float(heads.softcap or 0.0))
    counters = low.keep(np.zeros(heads.kv_heads, np.int32))
    scratch = scratch_bytes(op, low.limits)
    work = (SCRATCH, scratch, _queries(heads), counters, TOKENS, heads.head_width)
    operands = (op.q, op.y, low.floats(op.sinks), *shape, *place, *numbers, *work)
    return Call(f"attention_{layout.k}_{layout.v}", operands)


def _convolve(low: Lowering, op: Convolve) -> Call:
    """The operands in the order of kernels/recurrence.py; taps lie one behind the other."""
    weight, taps = op.w.weight, op.w.weight.columns
    by_tap = np.ascontiguousarray(dequantize(weight.format, weight.data).T)  # (K, D)
    where = (low.keep(by_tap), low.floats(op.w.bias), low.layout.slot_offset(op.slot))
    return Call("convolve", (op.x, op.y, *where, op.x.width, taps))


def _multiply(low: Lowering, op: Multiply) -> Call:
    return Call("multiply", (op.a, op.b, op.y, op.a.width, *rows(op.a)))


def _add(low: Lowering, op: Add) -> Call:
    return Call("add", (op.a, op.b, op.y, op.a.width, *rows(op.a)))


def _scale(low: Lowering, op: Scale) -> Call:
    return Call("scale", (op.x, op.y, op.x.width, *rows(op.x), float(op.factor)))


def _softcap(low: Lowering, op: Softcap) -> Call:
    return Call("softcap", (op.x, op.y, op.x.width, *rows(op.x), float(op.cap)))


def _activate(low: Lowering, op: Activate) -> Call:
    return Call(f"activate_{op.activation}", (op.x, op.y, op.x.width, *rows(op.x), 0.0))


def _gate(low: Lowering, op: Gate) -> Call:
    return Call(f"gate_{op.activation}", (op.gate, op.up, op.y, op.y.width, *rows(op.y)))


def _route(low: Lowering, op: Route) -> Call:
    routing = op.routing
    choice = (routing.total, routing.used, GATINGS[routing.gating])
    normalize = int(routing.normalize and routing.gating != "softmax_of_chosen")
    ends = (normalize, float(routing.scale), SCRATCH, TOKENS)
    return Call("route", (op.logits, op.ids, op.weights, *choice, *ends))


def _group(low: Lowering, op: Group) -> Call:
    return Call("group", (op.ids, op.order, op.starts, op.routing.total, TOKENS, op.routing.used))


def _expert_sum(low: Lowering, op: ExpertSum) -> Call:
    return Call("expert_sum", (op.x, op.weights, op.y, op.y.width, op.weights.width, TOKENS))


def _select_outputs(low: Lowering, op: SelectOutputs) -> Call:
    return Call("select_outputs", (op.x, op.y, op.x.width, OUTPUTS))


RULES: dict[type[Operation], Callable[[Lowering, Any], Call]] = {
    Activate: _activate,
    Add: _add,
    Angles: _angles,
    Attention: _attention,
    Convolve: _convolve,
    Embed: _embed,
    ExpertProduct: _expert_product,
    ExpertSum: _expert_sum,
    Gate: _gate,
    Group: _group,
    LayerNorm: _layer_norm,
    Multiply: _multiply,
    NormRopeStore: _norm_rope_store,
    Product: _product,
    Quantize: _quantize,
    RmsNorm: _rms_norm,
    RmsNormQuantize: _rms_norm_quantize,
    Rotate: _rotate,
    Route: _route,
    Scale: _scale,
    SelectOutputs: _select_outputs,
    Softcap: _softcap,
    Temperature: _temperature,
}
"""How each operator becomes a call. A `Store` is always part of a `NormRopeStore` here."""


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
