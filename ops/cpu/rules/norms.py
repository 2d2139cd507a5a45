"""Calls of norms."""

from ops.cpu.lower import Call, Lowering, Rules, rows
from ops.operations.norms import LayerNorm, RmsNorm, RmsNormQuantize


def _rms_norm(low: Lowering, op: RmsNorm) -> Call:
    field, multiple = rows(op.x)
    stretches = multiple * (op.x.width // op.width)
    weights = (low.floats(op.w.weight), op.w.weight.rows) if op.w else (0, 1)
    shape = (op.width, field, stretches, float(op.eps))
    return Call("rms_norm", (op.x, op.y, *weights, *shape))


def _rms_norm_quantize(low: Lowering, op: RmsNormQuantize) -> Call:
    weight = low.floats(op.w.weight)
    operands = (op.x, op.y, weight, op.x.width // 32, *rows(op.x), float(op.eps))
    return Call("rms_norm_quantize", operands)


def _layer_norm(low: Lowering, op: LayerNorm) -> Call:
    vectors = low.floats(op.w.weight), low.floats(op.w.bias)
    width, (field, multiple) = op.w.weight.columns, rows(op.x)
    stretches = multiple * (op.x.width // width)
    shape = (op.w.weight.rows, width, field, stretches, float(op.eps))
    return Call("layer_norm", (op.x, op.y, *vectors, *shape))


RULES: Rules = {
    LayerNorm: _layer_norm,
    RmsNorm: _rms_norm,
    RmsNormQuantize: _rms_norm_quantize,
}
