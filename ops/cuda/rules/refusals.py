"""Names the operator that the card has no kernel for, and its layer."""

from ops.cuda.cache import WIDEST
from ops.cuda.kernels import KERNELS
from ops.cuda.kernels.experts import GATINGS
from ops.cuda.rules.table import RULES
from ops.interface import Heads
from ops.operations.attention import Attention, Rotate, Store
from ops.operations.base import Operation
from ops.operations.elementwise import Activate, Gate, Temperature
from ops.operations.experts import Route
from ops.operations.products import HeadProduct
from ops.operations.recurrence import Recurrent
from ops.program import Program


def refusal(program: Program) -> str | None:
    """Why a card cannot run the program, if so."""
    for operation in program.operations:
        name, layer = _not_run(operation), operation.layer
        if name is not None:
            where = "outside the layers" if layer is None else f"layer {layer}"
            return f"cards do not run {name} yet ({where})"
    entangled = program.entangled_layer
    if entangled is not None:
        what = "layers that read what several layers before them made"
        return f"cards do not run {what} yet (layer {entangled})"
    return None


def _not_run(operation: Operation) -> str | None:
    """The operator, and what it is that cards do not know of it."""
    kind = type(operation).__name__
    match operation:
        case Recurrent():
            return f"the recurrent operator {kind}"
        case HeadProduct():
            return f"the operator {kind} (latent attention)"
        case Attention(heads=heads) | Store(heads=heads) if _unknown(heads):
            return f"Attention with {_unknown(heads)}"
        case Store():  # part of what follows it
            return None
        case Activate() if f"activate_{operation.activation}" not in KERNELS:
            return f"the activation {operation.activation}"
        case Gate() if f"gate_{operation.activation}" not in KERNELS:
            return f"the gate {operation.activation}"
        case Route() if operation.routing.gating not in GATINGS:
            return f"the gating {operation.routing.gating}"
        case Route() if operation.routing.neighbours > 1:
            return "Route with neighbours that stand for one expert"
        case Rotate(rope=rope) if rope.start:
            return "Rotate with positions that do not count from 0"
        case Route() if operation.listed is not None:
            return "Route with listed experts"
        case Attention() if operation.further is not None:
            return "Attention with further keys"
        case Attention() if operation.biases is not None:
            return "Attention with biases by distance"
        case Rotate(x=x) | Temperature(x=x) | Attention(q=x) if x.rows == "outputs":
            return f"the operator {kind} for the wanted rows alone"
    return None if type(operation) in RULES else f"the operator {kind}"


def _unknown(heads: Heads) -> str | None:
    """What the kernels of attention do not know of these heads."""
    if heads.keys_hold_values:
        return "keys that hold their values"
    if heads.head_width != heads.values:
        return f"keys of width {heads.head_width} and values of width {heads.values}"
    if heads.head_width > WIDEST:
        return f"heads of width {heads.head_width}, more than {WIDEST}"
    if heads.chunked:
        return "chunks in place of a window"
    if heads.sees == "run":
        return "tokens that see those behind them"
    if heads.sees == "prompt":
        return "keys of a prompt that an encoder read"
    if heads.slopes:
        return "biases by distance (ALiBi)"
    if heads.head_width % 2:
        return f"heads of the odd width {heads.head_width}"
    return None
