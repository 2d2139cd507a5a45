"""Names the operator that the card has no kernel for, and its layer."""

from ops.cuda.kernels import KERNELS
from ops.cuda.kernels.experts import GATINGS
from ops.cuda.rules.table import RULES
from ops.operations.attention import Attention, Store
from ops.operations.base import Operation
from ops.operations.elementwise import Activate, Gate, Multiply, Temperature
from ops.operations.experts import Route
from ops.operations.norms import LayerNorm, RmsNorm
from ops.program import Program


def unknown_operator(program: Program) -> str | None:
    """Why a card cannot run the program, if so."""
    for operation in program.operations:
        name = _without_kernel(operation)
        if name is not None:
            where = "" if operation.layer is None else f" of layer {operation.layer}"
            return f"cards do not run {name}{where} yet"
    return None


def _without_kernel(operation: Operation) -> str | None:
    kind = type(operation).__name__
    match operation:
        case Store():  # part of what follows it
            return None
        case Activate() if f"activate_{operation.activation}" not in KERNELS:
            return f"the activation {operation.activation}"
        case Gate() if f"gate_{operation.activation}" not in KERNELS:
            return f"the gate {operation.activation}"
        case Multiply(a=a, b=b) if (a.width, a.multiple) != (b.width, b.multiple):
            return "the multiplication by a number a stretch"
        case Attention() if operation.heads.chunked:
            return "attention by chunks"
        case Temperature() if operation.offset:
            return "queries that grow with an offset position"
        case Attention() if operation.heads.slopes:
            return "attention with biases by distance"
        case Route() if operation.bias or operation.routing.groups > 1:
            return "the choice of experts by groups or with a bias"
        case Route() if operation.routing.gating not in GATINGS:
            return f"the gating {operation.routing.gating}"
        case LayerNorm() | RmsNorm() if operation.weights is None:
            return "a norm without weights, or with weights for each head"
    return None if type(operation) in RULES else f"the operator {kind}"
