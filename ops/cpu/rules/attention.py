"""Calls of rotary positions, the KV cache and attention."""

import numpy as np

from ops.cpu.layout import TOKENS
from ops.cpu.lower import (
    SCRATCH,
    Call,
    Lowering,
    Operand,
    Rules,
    queries_at_once,
    rows,
    rows_step,
    scratch_bytes,
)
from ops.interface import Heads, Rope, Weight
from ops.operations.attention import Angles, Attention, NormRopeStore, Rotate
from ops.state.formats import LANES
from quant.format import dequantize


def _angles(low: Lowering, op: Angles) -> Call:
    rope = op.rope
    frequencies, pairs = low.keep(rope.frequencies), len(rope.frequencies)
    ends = (float(rope.magnitude), rows_step(op.y), rope.start)
    return Call("angles", (op.y, frequencies, pairs, _repeat(rope), *ends))


def _rotate(low: Lowering, op: Rotate) -> Call:
    assert op.angles is not None
    pairs, width = len(op.rope.frequencies), op.rope.head_width
    shape = (pairs, width, op.x.width // width, _repeat(op.rope))
    return Call("rope", (op.x, op.y, op.angles, *shape, rows(op.x)[0]))


def _norm_rope_store(low: Lowering, op: NormRopeStore) -> Call:
    """The operands in the order of kernels/attention/heads.py."""
    layout, heads = low.layout, op.heads
    pairs = len(op.rope.frequencies) if op.rope else 0
    queries = heads.query_heads if op.q else 0
    shape = (queries, heads.kv_heads, heads.key_columns)
    strides = layout.panel_bytes(heads.layer), layout.row_bytes(heads.layer)
    place = (*layout.offsets(heads.layer), *strides)
    norms = [low.floats(norm.weight if norm else None) for norm in (op.q_norm, op.k_norm)]
    turns = (op.angles or 0, pairs * op.rotates_q, pairs, _repeat(op.rope))
    ends = (*norms, float(op.eps), *turns, SCRATCH, TOKENS, heads.values, heads.head_width)
    operands = (op.q or 0, op.k, op.v, op.y or 0, *shape, *place, *ends)
    return Call(f"norm_rope_store_{layout.k}_{layout.v}", operands)


def _attention(low: Lowering, op: Attention) -> Call:
    """The operands in the order of kernels/attention/queries.py, of further keys behind them."""
    operands = _attention_operands(low, op, op.heads)
    if op.further is None:
        operands += (0,)
    else:
        operands += (8 * (len(operands) + 1), *_attention_operands(low, op, op.further), 0)
    return Call(f"attention_{low.layout.k}_{low.layout.v}", operands)


def _attention_operands(low: Lowering, op: Attention, heads: Heads) -> tuple[Operand, ...]:
    layout = low.layout
    group = heads.query_heads // heads.kv_heads
    shape = (heads.query_heads, group, heads.values)
    strides = layout.panel_bytes(heads.layer), layout.row_bytes(heads.layer)
    place = (*layout.offsets(heads.layer), *strides, heads.window or 0)
    numbers = (float(heads.scale), float(heads.softcap or 0.0))
    counters = low.keep(np.zeros(heads.kv_heads, np.int32))
    work = (SCRATCH, scratch_bytes(op, low.limits, layout), queries_at_once(heads, layout))
    slopes = low.keep(np.array(heads.slopes, np.float32)) if heads.slopes else 0
    sees = (int(heads.chunked), int(heads.sees != "past"), heads.stride)
    ends = (slopes, heads.head_width, *sees, *_biases(low, op.biases))
    counted = (counters, rows_step(op.q), heads.key_columns)
    return (op.q, op.y, low.floats(op.sinks), *shape, *place, *numbers, *work, *counted, *ends)


def _biases(low: Lowering, biases: Weight | None) -> tuple[Operand, ...]:
    """Where they are, and the greatest distance; the outer ones are repeated by a register."""
    if biases is None:
        return 0, 0
    table = np.pad(dequantize(biases.format, biases.data), ((0, 0), (LANES, LANES)), "edge")
    return low.keep(table), biases.columns // 2


def _repeat(rope: Rope | None) -> int:
    """How often a pair's angles are repeated in the table of angles."""
    return 2 if rope and rope.interleaved else 1


RULES: Rules = {
    Angles: _angles,
    Attention: _attention,
    NormRopeStore: _norm_rope_store,
    Rotate: _rotate,
}
