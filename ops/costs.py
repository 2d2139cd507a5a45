"""What an operator must read and multiply, by the model's shape: the basis of every share."""

import numpy as np

from ops.cache import CacheLayout
from ops.interface import Heads, Linear, Step
from ops.program import Operation


def costs(op: Operation, step: Step, cache: CacheLayout) -> tuple[int, int]:
    """Bytes of weights and cache read once, and multiply-adds, in one step."""
    linears = [p for p in op.parameters if isinstance(p, Linear) and op.outputs]
    if "linear" in op.name and linears:
        return _product(op, linears, step)
    if op.name.startswith("attention") and isinstance(op.parameters[0], Heads):
        return _attention(op.parameters[0], step, cache)
    return 0, 0


def _product(op: Operation, linears: list[Linear], step: Step) -> tuple[int, int]:
    y = op.outputs[0]
    rows = y.multiple * (len(step.outputs) if y.rows == "outputs" else len(step.tokens))
    matrix = linears[0].weight
    used = min(rows, matrix.experts)  # at most: rows may share an expert
    size = sum(one.weight.data.nbytes for one in linears) * used // matrix.experts
    weights = sum(one.weight.rows * one.weight.columns for one in linears)
    return size, rows * weights


def _attention(heads: Heads, step: Step, cache: CacheLayout) -> tuple[int, int]:
    seen = step.positions.astype(np.int64) + 1
    if heads.window is not None:
        seen = np.minimum(seen, heads.window)
    read = sum(int(seen[run].max()) for run in step.runs())
    size = read * cache.position_bytes(heads.layer)
    return size, 2 * int(seen.sum()) * heads.query_heads * heads.head_width
