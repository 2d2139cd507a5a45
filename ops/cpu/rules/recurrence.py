"""Calls of layers that keep a state of fixed size."""

import numpy as np

from ops.cpu.lower import Call, Lowering, Rules
from ops.operations.recurrence import Convolve
from quant.format import dequantize


def _convolve(low: Lowering, op: Convolve) -> Call:
    """The operands in the order of kernels/recurrence.py; taps lie one behind the other."""
    weight, taps = op.w.weight, op.w.weight.columns
    by_tap = np.ascontiguousarray(dequantize(weight.format, weight.data).T)  # (K, D)
    where = (low.keep(by_tap), low.floats(op.w.bias), low.layout.slot_offset(op.slot))
    return Call("convolve", (op.x, op.y, *where, op.x.width, taps))


RULES: Rules = {
    Convolve: _convolve,
}
