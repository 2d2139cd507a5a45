"""Launches of the choice of experts and of their sum."""

from collections.abc import Iterator

from ops.cuda.device.device import Launch
from ops.cuda.lowering.lower import (
    THREADS,
    WARP,
    Lowered,
    Lowering,
    Rules,
    StepAddresses,
    rounded_up,
)
from ops.operations.experts import ExpertSum, Group, Route

GATINGS = {"softmax": 0, "sigmoid": 1, "softmax_of_chosen": 2}


def _route(low: Lowering, op: Route) -> Lowered:
    routing = op.routing
    normalize = int(routing.normalize and routing.gating != "softmax_of_chosen")
    choice = (routing.total, routing.used, GATINGS[routing.gating], normalize)

    def launches(at: StepAddresses) -> Iterator[Launch]:
        operands = (at[op.logits], at[op.ids], at[op.weights], *choice, float(routing.scale))
        yield Launch("route", (at.counts.tokens, 1, 1), WARP, operands)

    return Lowered(launches, ("route",))


def _group(low: Lowering, op: Group) -> Lowered:
    def launches(at: StepAddresses) -> Iterator[Launch]:
        total, rows = op.routing.total, at.counts.tokens * op.routing.used
        operands = (at[op.ids], at[op.order], at[op.starts], total, rows)
        yield Launch("group", (total, 1, 1), WARP, operands)

    return Lowered(launches, ("group",))


def _expert_sum(low: Lowering, op: ExpertSum) -> Lowered:
    def launches(at: StepAddresses) -> Iterator[Launch]:
        count = at.rows(op.y) * op.y.width
        operands = (at[op.x], at[op.weights], at[op.y], op.y.width, op.weights.width, count)
        yield Launch("expert_sum", (rounded_up(count, THREADS), 1, 1), THREADS, operands)

    return Lowered(launches, ("expert_sum",))


RULES: Rules = {
    ExpertSum: _expert_sum,
    Group: _group,
    Route: _route,
}
