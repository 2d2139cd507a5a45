"""Calls of the choice of experts and of their sum."""

from typing import get_args

from ops.cpu.lower import SCRATCH, Call, Lowering, Rules, rows
from ops.interface import Gating
from ops.operations.experts import ExpertSum, Group, Route

GATINGS = {name: number for number, name in enumerate(get_args(Gating))}
"""As kernels/experts.py numbers them."""


def _route(low: Lowering, op: Route) -> Call:
    routing = op.routing
    choice = (routing.total, routing.used, GATINGS[routing.gating])
    normalize = int(routing.normalize and routing.gating != "softmax_of_chosen")
    ends = (normalize, float(routing.scale), SCRATCH, rows(op.logits)[0])
    among = (low.floats(op.bias), routing.groups, routing.used_groups, routing.neighbours)
    listed = 0 if op.listed is None else op.listed
    return Call("route", (op.logits, op.ids, op.weights, *choice, *ends, *among, listed))


def _group(low: Lowering, op: Group) -> Call:
    return Call(
        "group", (op.ids, op.order, op.starts, op.routing.experts, rows(op.ids)[0], op.routing.used)
    )


def _expert_sum(low: Lowering, op: ExpertSum) -> Call:
    """A token's rows, one behind the other, are the streams of one mixture."""
    return Call("mix", (op.x, op.weights, op.y, op.y.width, op.weights.width, 1, *rows(op.y)))


RULES: Rules = {
    ExpertSum: _expert_sum,
    Group: _group,
    Route: _route,
}
