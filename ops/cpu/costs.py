"""What an operator must read and multiply, by the model's shape: the basis of every share."""

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
    size = len(linears) * matrix.data.nbytes * used // matrix.experts
    return size, len(linears) * rows * matrix.rows * matrix.columns


def _attention(heads: Heads, step: Step, cache: CacheLayout) -> tuple[int, int]:
    seen = [int(p) + 1 for p in step.positions]
    if heads.window is not None:
        seen = [min(n, heads.window) for n in seen]
    return max(seen) * cache.position_bytes(heads.layer), 2 * sum(
        seen
    ) * heads.query_heads * heads.head_width
