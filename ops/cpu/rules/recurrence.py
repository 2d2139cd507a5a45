"""Calls of layers that keep a state of fixed size."""

import numpy as np

from ops.cpu.lower import Call, Lowering, Rules
from ops.operations.recurrence import (
    Compress,
    Convolve,
    DeltaRule,
    LinearAttention,
    NgramRows,
    SelectiveScan,
    Shift,
)
from quant.format import dequantize


def _convolve(low: Lowering, op: Convolve) -> Call:
    """The operands in the order of kernels/recurrence.py; taps are stored tap by tap."""
    weight, taps = op.w.weight, op.w.weight.columns
    by_tap = np.ascontiguousarray(dequantize(weight.format, weight.data).T)  # (K, D)
    where = (low.keep(by_tap), low.floats(op.w.bias), low.layout.slot_offset(op.slot))
    return Call("convolve", (op.x, op.y, *where, op.x.width, taps))


def _compress(low: Lowering, op: Compress) -> Call:
    """The operands in the order of kernels/compress.py."""
    where = (low.floats(op.places), low.layout.slot_offset(op.slot))
    return Call("compress", (op.x, op.y, *where, op.y.width, op.ratio, op.parts))


def _delta_rule(low: Lowering, op: DeltaRule) -> Call:
    """The operands in the order of kernels/delta_rule.py."""
    heads, kind = op.heads, "head" if op.decay.width == op.heads.heads else "row"
    inputs = (op.q, op.k, op.v, op.decay, op.rate, op.y, low.layout.slot_offset(op.slot))
    shape = (heads.heads, heads.key_heads, heads.key_width, heads.value_width)
    repeated = heads.heads // heads.key_heads if heads.grouped else 1
    return Call(f"delta_rule_{kind}", (*inputs, *shape, repeated, float(heads.scale)))


def _shift(low: Lowering, op: Shift) -> Call:
    return Call("shift", (op.x, op.y, low.layout.slot_offset(op.slot), op.x.width))


def _selective_scan(low: Lowering, op: SelectiveScan) -> Call:
    """The operands in the order of kernels/scan.py."""
    heads, tiles, rows, columns = op.slot.shape
    kind, rates = "heads", low.floats(op.rates)
    if op.rates.size != op.delta.width:  # arranged as the state is
        values = np.zeros((tiles * columns, rows), np.float32)
        values[: op.delta.width] = dequantize(op.rates.format, op.rates.data).reshape(-1, rows)
        kind, rates = "channels", low.keep(values.reshape(tiles, columns, rows).swapaxes(1, 2))
    shape = (low.layout.slot_offset(op.slot), heads, op.x.width // heads, rows)
    ends = (rates, low.floats(op.skip), op.groups)
    return Call(f"scan_{kind}", (op.y, *shape, op.x, op.delta, op.b, op.c, *ends))


def _linear_attention(low: Lowering, op: LinearAttention) -> Call:
    """The operands in the order of kernels/scan.py."""
    shape = (low.layout.slot_offset(op.slot), op.heads, op.v.width // op.heads)
    operands = (op.y, *shape, op.q.width // op.heads, op.q, op.k, op.v, op.decay)
    if op.removed is not None and op.added is not None:
        return Call("linear_attention_corrected", (*operands, 0, op.removed, op.added))
    if op.bonus is not None:
        return Call("linear_attention_with_bonus", (*operands, low.floats(op.bonus)))
    return Call("linear_attention", operands)


def _ngram_rows(low: Lowering, op: NgramRows) -> Call:
    """The operands in the order of kernels/embed.py."""
    n, most = op.ngrams, (1 << 64) - 1
    multipliers = low.keep(np.array([each & most for each in n.multipliers], np.uint64))
    sizes, offsets = (low.keep(np.array(each, np.int64)) for each in (n.sizes, n.offsets))
    shape = (len(n.multipliers), n.heads, n.end, low.layout.slot_offset(op.slot))
    return Call("ngram_rows", (op.y, multipliers, sizes, offsets, *shape))


RULES: Rules = {
    Compress: _compress,
    Convolve: _convolve,
    DeltaRule: _delta_rule,
    LinearAttention: _linear_attention,
    NgramRows: _ngram_rows,
    SelectiveScan: _selective_scan,
    Shift: _shift,
}
