"""Calls of what works element by element."""

from ops.cpu.layout import (
    OUTPUTS,
    TOKENS,
)
from ops.cpu.lower import Call, Lowering, Rules, rows
from ops.operations.elementwise import (
    Activate,
    Add,
    Gate,
    Multiply,
    Scale,
    SelectOutputs,
    Softcap,
    Temperature,
)


def _add(low: Lowering, op: Add) -> Call:
    return Call("add", (op.a, op.b, op.y, op.a.width, *rows(op.a)))


def _multiply(low: Lowering, op: Multiply) -> Call:
    return Call("multiply", (op.a, op.b, op.y, op.a.width, *rows(op.a)))


def _scale(low: Lowering, op: Scale) -> Call:
    return Call("scale", (op.x, op.y, op.x.width, *rows(op.x), float(op.factor)))


def _softcap(low: Lowering, op: Softcap) -> Call:
    return Call("softcap", (op.x, op.y, op.x.width, *rows(op.x), float(op.cap)))


def _activate(low: Lowering, op: Activate) -> Call:
    return Call(f"activate_{op.activation}", (op.x, op.y, op.x.width, *rows(op.x), 0.0))


def _gate(low: Lowering, op: Gate) -> Call:
    return Call(f"gate_{op.activation}", (op.gate, op.up, op.y, op.y.width, *rows(op.y)))


def _temperature(low: Lowering, op: Temperature) -> Call:
    return Call("temperature", (op.x, op.y, op.x.width, TOKENS, float(op.scale), op.period))


def _select_outputs(low: Lowering, op: SelectOutputs) -> Call:
    return Call("select_outputs", (op.x, op.y, op.x.width, OUTPUTS))


RULES: Rules = {
    Activate: _activate,
    Add: _add,
    Gate: _gate,
    Multiply: _multiply,
    Scale: _scale,
    SelectOutputs: _select_outputs,
    Softcap: _softcap,
    Temperature: _temperature,
}
