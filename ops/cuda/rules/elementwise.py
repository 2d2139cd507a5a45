"""Launches of elementwise operators."""

from collections.abc import Iterator

from ops.cuda.device.device import Launch
from ops.cuda.kernels import operands
from ops.cuda.kernels.intrinsics.kernel import operands_of
from ops.cuda.lowering.lower import (
    THREADS,
    Lowered,
    Lowering,
    Rules,
    StepAddresses,
    rounded_up,
)
from ops.operations.base import Buffer
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


def _add(low: Lowering, op: Add) -> Lowered:
    return _map("add", (op.a, op.b), op.y)


def _multiply(low: Lowering, op: Multiply) -> Lowered:
    return _map("multiply", (op.a, op.b), op.y)


def _scale(low: Lowering, op: Scale) -> Lowered:
    return _map("scale", (op.x,), op.y, float(op.factor))


def _softcap(low: Lowering, op: Softcap) -> Lowered:
    return _map("softcap", (op.x,), op.y, float(op.cap))


def _activate(low: Lowering, op: Activate) -> Lowered:
    return _map(f"activate_{op.activation}", (op.x,), op.y)


def _gate(low: Lowering, op: Gate) -> Lowered:
    return _map(f"gate_{op.activation}", (op.gate, op.up), op.y)


def _map(name: str, sources: tuple[Buffer, ...], y: Buffer, *numbers: float) -> Lowered:
    """Element by element."""

    def launches(step: StepAddresses) -> Iterator[Launch]:
        count = step.rows(y) * y.width
        flat = (*(step[source] for source in sources), step[y], count, *numbers)
        yield Launch(name, (rounded_up(count, THREADS), 1, 1), THREADS, flat)

    return Lowered(launches, (name,))


def _temperature(low: Lowering, op: Temperature) -> Lowered:
    def launches(step: StepAddresses) -> Iterator[Launch]:
        count = step.rows(op.x) * op.x.width
        record = operands.Temperature(
            x=step[op.x],
            y=step[op.y],
            positions=step.record.positions,
            width=op.x.width,
            count=count,
            scale=float(op.scale),
            period=op.period,
        )
        grid = (rounded_up(count, THREADS), 1, 1)
        yield Launch("temperature", grid, THREADS, operands_of(record))

    return Lowered(launches, ("temperature",))


def _select_outputs(low: Lowering, op: SelectOutputs) -> Lowered:
    def launches(step: StepAddresses) -> Iterator[Launch]:
        width, grid = op.x.width, (rounded_up(op.x.width, THREADS), step.counts.outputs, 1)
        flat = (step[op.x], step[op.y], step.record.outputs, width)
        yield Launch("select_outputs", grid, THREADS, flat)

    return Lowered(launches, ("select_outputs",))


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
