"""Calls of layers that keep a state of fixed size."""

import numpy as np

from ops.cpu.lower import Call, Lowering, Rules
from ops.operations.recurrence import Convolve, DeltaRule
from quant.format import dequantize


def _convolve(low: Lowering, op: Convolve) -> Call:
    """The operands in the order of kernels/recurrence.py; taps lie one behind the other."""
    weight, taps = op.w.weight, op.w.weight.columns
    by_tap = np.ascontiguousarray(dequantize(weight.format, weight.data).T)  # (K, D)
    where = (low.keep(by_tap), low.floats(op.w.bias), low.layout.slot_offset(op.slot))
    return Call("convolve", (op.x, op.y, *where, op.x.width, taps))


def _delta_rule(low: Lowering, op: DeltaRule) -> Call:
    """The operands in the order of kernels/delta_rule.py."""
    heads, kind = op.heads, "head" if op.decay.width == op.heads.heads else "row"
    inputs = (op.q, op.k, op.v, op.decay, op.rate, op.y, low.layout.slot_offset(op.slot))
    shape = (heads.heads, heads.key_heads, heads.key_width, heads.value_width)
    repeated = heads.heads // heads.key_heads if heads.grouped else 1
    return Call(f"delta_rule_{kind}", (*inputs, *shape, repeated, float(heads.scale)))


RULES: Rules = {
    Convolve: _convolve,
    DeltaRule: _delta_rule,
}
