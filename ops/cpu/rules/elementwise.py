"""Calls of operators that work element by element."""

from ops.cpu.layout import OUTPUTS
from ops.cpu.lower import Call, Lowering, Rules, rows, rows_step
from ops.operations.elementwise import (
    Activate,
    Add,
    Balance,
    Clamp,
    Columns,
    Gate,
    GaussianTopK,
    Join,
    Mix,
    Multiply,
    Scale,
    ScaleBy,
    SelectOutputs,
    Softcap,
    Sums,
    Temperature,
)


def _add(low: Lowering, op: Add) -> Call:
    return Call("add", (op.a, op.b, op.y, op.a.width, *rows(op.a)))


def _multiply(low: Lowering, op: Multiply) -> Call:
    if op.a.width == op.b.width and op.a.multiple == op.b.multiple:
        return Call("multiply", (op.a, op.b, op.y, op.a.width, *rows(op.a)))
    field, multiple = rows(op.b)
    stretches = multiple * op.b.width
    width = op.a.multiple * op.a.width // stretches
    return Call("multiply_stretches", (op.a, op.b, op.y, width, field, stretches))


def _scale_by(low: Lowering, op: ScaleBy) -> Call:
    weights = op.w.weight.columns
    shape = (op.x.width // weights, weights, *rows(op.x))
    return Call("scale_by", (op.x, op.y, low.floats(op.w.weight), *shape))


def _balance(low: Lowering, op: Balance) -> Call:
    shape = (op.streams, op.iterations, float(op.eps), *rows(op.x))
    return Call("balance", (op.x, op.y, *shape))


def _columns(low: Lowering, op: Columns) -> Call:
    field, multiple = rows(op.x)
    shape = (op.start, op.stop - op.start, op.stretch)
    return Call("columns", (op.x, op.y, *shape, field, multiple * (op.x.width // op.stretch)))


def _sums(low: Lowering, op: Sums) -> Call:
    field, multiple = rows(op.x)
    return Call("sums", (op.x, op.y, op.stretch, field, multiple * op.y.width))


def _join(low: Lowering, op: Join) -> Call:
    field, multiple = rows(op.y)
    stretch = op.y.width // op.stretches
    parts = [operand for x in op.xs for operand in (x, x.width // op.stretches)]
    return Call("join", (op.y, stretch, len(op.xs), field, multiple * op.stretches, *parts))


def _mix(low: Lowering, op: Mix) -> Call:
    width, results = op.x.width // op.streams, op.c.width // op.streams
    return Call("mix", (op.x, op.c, op.y, width, op.streams, results, *rows(op.x)))


def _gaussian_top_k(low: Lowering, op: GaussianTopK) -> Call:
    return Call("gaussian_top_k", (op.x, op.y, op.x.width, *rows(op.x), float(op.deviations)))


def _scale(low: Lowering, op: Scale) -> Call:
    return Call("scale", (op.x, op.y, op.x.width, *rows(op.x), float(op.factor)))


def _clamp(low: Lowering, op: Clamp) -> Call:
    bounds = float(op.low), float(op.high)
    return Call("clamp", (op.x, op.y, op.x.width, *rows(op.x), *bounds))


def _softcap(low: Lowering, op: Softcap) -> Call:
    return Call("softcap", (op.x, op.y, op.x.width, *rows(op.x), float(op.cap)))


def _activate(low: Lowering, op: Activate) -> Call:
    return Call(f"activate_{op.activation}", (op.x, op.y, op.x.width, *rows(op.x), 0.0))


def _gate(low: Lowering, op: Gate) -> Call:
    return Call(f"gate_{op.activation}", (op.gate, op.up, op.y, op.y.width, *rows(op.y)))


def _temperature(low: Lowering, op: Temperature) -> Call:
    shape = op.x.width, rows_step(op.x)
    return Call("temperature", (op.x, op.y, *shape, float(op.scale), op.period, op.offset))


def _select_outputs(low: Lowering, op: SelectOutputs) -> Call:
    return Call("select_outputs", (op.x, op.y, op.x.width, OUTPUTS))


RULES: Rules = {
    Activate: _activate,
    Add: _add,
    Balance: _balance,
    Clamp: _clamp,
    Columns: _columns,
    Gate: _gate,
    GaussianTopK: _gaussian_top_k,
    Join: _join,
    Mix: _mix,
    Multiply: _multiply,
    Scale: _scale,
    ScaleBy: _scale_by,
    SelectOutputs: _select_outputs,
    Softcap: _softcap,
    Sums: _sums,
    Temperature: _temperature,
}
