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
    Clamp,
    Columns,
    Gate,
    Join,
    Multiply,
    Scale,
    ScaleBy,
    SelectOutputs,
    Softcap,
    Temperature,
)


def _add(low: Lowering, op: Add) -> Lowered:
    return _map("add", (op.a, op.b), op.y)


def _multiply(low: Lowering, op: Multiply) -> Lowered:
    if op.a.width == op.b.width and op.a.multiple == op.b.multiple:
        return _map("multiply", (op.a, op.b), op.y)
    width = op.a.multiple * op.a.width // (op.b.multiple * op.b.width)

    def launches(step: StepAddresses) -> Iterator[Launch]:
        count = step.rows(op.b) * op.b.width
        yield _scale_stretches("multiply_stretches", step, op.a, op.y, step[op.b], width, count)

    return Lowered(launches, ("multiply_stretches",))


def _scale_by(low: Lowering, op: ScaleBy) -> Lowered:
    factors, count = low.placing.floats(op.w.weight), op.w.weight.columns
    width = op.x.width // count

    def launches(step: StepAddresses) -> Iterator[Launch]:
        address = low.placing.address(factors)
        yield _scale_stretches("scale_by", step, op.x, op.y, address, width, count)

    return Lowered(launches, ("scale_by",))


def _scale_stretches(
    name: str, step: StepAddresses, x: Buffer, y: Buffer, factors: int, width: int, count: int
) -> Launch:
    """By `count` factors, each for a stretch of `width` columns."""
    size = step.rows(x) * x.width
    record = operands.ScaleStretches(step[x], factors, step[y], width, count, size)
    return Launch(name, (rounded_up(size, THREADS), 1, 1), THREADS, operands_of(record))


def _columns(low: Lowering, op: Columns) -> Lowered:
    width = op.stop - op.start

    def launches(step: StepAddresses) -> Iterator[Launch]:
        count = step.rows(op.y) * op.y.width
        x = step[op.x] + 4 * op.start
        yield _copy("columns", operands.CopyColumns(x, step[op.y], width, op.stretch, width, count))

    return Lowered(launches, ("columns",))


def _join(low: Lowering, op: Join) -> Lowered:
    """A launch for each part."""
    stretch = op.y.width // op.stretches

    def launches(step: StepAddresses) -> Iterator[Launch]:
        y = step[op.y]
        for x in op.xs:
            width, count = x.width // op.stretches, step.rows(x) * x.width
            yield _copy("join", operands.CopyColumns(step[x], y, width, width, stretch, count))
            y += 4 * width

    return Lowered(launches, ("join",))


def _copy(name: str, record: operands.CopyColumns) -> Launch:
    grid = (rounded_up(record.count, THREADS), 1, 1)
    return Launch(name, grid, THREADS, operands_of(record))


def _scale(low: Lowering, op: Scale) -> Lowered:
    return _map("scale", (op.x,), op.y, float(op.factor))


def _clamp(low: Lowering, op: Clamp) -> Lowered:
    return _map("clamp", (op.x,), op.y, float(op.low), float(op.high))


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
            offset=op.offset,
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
    Clamp: _clamp,
    Columns: _columns,
    Gate: _gate,
    Join: _join,
    Multiply: _multiply,
    Scale: _scale,
    ScaleBy: _scale_by,
    SelectOutputs: _select_outputs,
    Softcap: _softcap,
    Temperature: _temperature,
}
