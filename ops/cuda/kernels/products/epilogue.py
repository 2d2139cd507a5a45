"""The epilogue of products: factor, bias, gate and sum, and the store of a result."""

from ops.cuda.kernels.intrinsics.arithmetic import plus, times
from ops.cuda.kernels.intrinsics.functions import gate_clamped_swiglu, gate_gelu, gate_silu
from ops.cuda.kernels.intrinsics.memory import load_float, reload_float, store_float
from ops.cuda.kernels.intrinsics.primitives import Address, Float, Int
from ops.cuda.kernels.operands import MatrixPlace

PLAIN, SILU, GELU, CLAMPED_SWIGLU = range(4)
"""What is done with the product of a second matrix: nothing, or one of the gates."""
GATES = {"silu": SILU, "gelu": GELU, "clamped_swiglu": CLAMPED_SWIGLU}


def gated(kind: Int, gate: Float, up: Float) -> Float:
    if kind == SILU:
        return gate_silu(gate, up)
    if kind == GELU:
        return gate_gelu(gate, up)
    return gate_clamped_swiglu(gate, up)


def scaled(total: Float, matrix: MatrixPlace, expert: Int, row: Int, rows: Int) -> Float:
    """A row's sum times its matrix's factor, plus its bias, where there are such."""
    if matrix.factor != 0:
        total = times(total, load_float(matrix.factor + 4 * expert))
    if matrix.bias != 0:
        total = plus(total, load_float(matrix.bias + 4 * (expert * rows + row)))
    return total


def store_result(total: Float, y: Address, index: Address, added: Address, gate: Int) -> None:
    """With a gate, y holds what the gate's matrix gave."""
    if gate != PLAIN:
        total = gated(gate, reload_float(y + 4 * index), total)
    if added != 0:
        total = plus(total, load_float(added + 4 * index))
    store_float(y + 4 * index, total)
