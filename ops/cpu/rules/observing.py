"""Calls that add up what enters products."""

from ops.cpu.lower import Call, Lowering, Rules, rows
from ops.operations.observing import Squares


def _squares(low: Lowering, op: Squares) -> Call:
    sums, columns = low.keep(op.sums), op.sums.shape[1]
    if op.ids is None:
        return Call("squares", (op.x, sums, op.x.width, *rows(op.x)))
    field, multiple = rows(op.ids)
    chosen = multiple * op.ids.width
    sharing = chosen // op.x.multiple
    counts = low.keep(op.counts), op.experts
    return Call("expert_squares", (op.x, sums, columns, field, chosen, op.ids, sharing, *counts))


RULES: Rules = {Squares: _squares}
