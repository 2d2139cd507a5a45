"""Launches of expert routing, grouping and summing."""

from collections.abc import Iterator

from ops.cuda.device.device import Launch
from ops.cuda.kernels import operands
from ops.cuda.kernels.experts import GATINGS, THREADS, route_bytes
from ops.cuda.kernels.intrinsics.kernel import operands_of
from ops.cuda.kernels.intrinsics.primitives import WARP
from ops.cuda.lowering.lower import (
    Lowered,
    Lowering,
    Rules,
    StepAddresses,
    rounded_up,
)
from ops.operations.experts import ExpertSum, Group, Route


def _route(low: Lowering, op: Route) -> Lowered:
    routing = op.routing
    normalize = int(routing.normalize and routing.gating != "softmax_of_chosen")
    bias = low.placing.floats(op.bias)
    shared = route_bytes(routing.total, routing.used, routing.groups)

    def launches(step: StepAddresses) -> Iterator[Launch]:
        record = operands.Route(
            logits=step[op.logits],
            bias=low.placing.address(bias),
            ids=step[op.ids],
            weights=step[op.weights],
            total=routing.total,
            used=routing.used,
            gating=GATINGS[routing.gating],
            normalize=normalize,
            scale=float(routing.scale),
            groups=routing.groups,
            used_groups=routing.used_groups,
        )
        yield Launch("route", (step.rows(op.ids), 1, 1), WARP, operands_of(record), shared)

    return Lowered(launches, ("route",))


def _group(low: Lowering, op: Group) -> Lowered:
    def launches(step: StepAddresses) -> Iterator[Launch]:
        total, rows = op.routing.total, step.rows(op.ids) * op.routing.used
        addresses = step[op.ids], step[op.order], step[op.starts]
        yield Launch("group", (total, 1, 1), WARP, (*addresses, total, rows))

    return Lowered(launches, ("group",))


def _expert_sum(low: Lowering, op: ExpertSum) -> Lowered:
    def launches(step: StepAddresses) -> Iterator[Launch]:
        count = step.rows(op.y) * op.y.width
        record = operands.ExpertSum(
            x=step[op.x],
            weights=step[op.weights],
            y=step[op.y],
            width=op.y.width,
            used=op.weights.width,
            count=count,
        )
        grid = (rounded_up(count, THREADS), 1, 1)
        yield Launch("expert_sum", grid, THREADS, operands_of(record))

    return Lowered(launches, ("expert_sum",))


RULES: Rules = {
    ExpertSum: _expert_sum,
    Group: _group,
    Route: _route,
}
