"""Calls of norms."""

from ops.cpu.lower import Call, Lowering, Rules, rows
from ops.operations.norms import LayerNorm, RmsNorm, RmsNormQuantize


def _rms_norm(low: Lowering, op: RmsNorm) -> Call:
    weights = (low.floats(op.w.weight), op.w.weight.rows) if op.w else (0, 1)
    return Call("rms_norm", (op.x, op.y, *weights, *_stretches(op), float(op.eps)))


def _stretches(op: RmsNorm | LayerNorm) -> tuple[int, int, int]:
    """Their width, and how a kernel finds their number."""
    field, multiple = rows(op.x)
    return op.width, field, multiple * (op.x.width // op.width)


def _rms_norm_quantize(low: Lowering, op: RmsNormQuantize) -> Call:
    weight = low.floats(op.w.weight)
    operands = (op.x, op.y, weight, op.x.width // 32, *rows(op.x), float(op.eps))
    return Call("rms_norm_quantize", operands)


def _layer_norm(low: Lowering, op: LayerNorm) -> Call:
    weights = (0, 0, 1)
    if op.w:
        weights = (low.floats(op.w.weight), low.floats(op.w.bias), op.w.weight.rows)
    return Call("layer_norm", (op.x, op.y, *weights, *_stretches(op), float(op.eps)))


RULES: Rules = {
    LayerNorm: _layer_norm,
    RmsNorm: _rms_norm,
    RmsNormQuantize: _rms_norm_quantize,
}
