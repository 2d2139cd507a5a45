"""What becomes of the sums of products: factor, bias, gate and sum, and where results go."""

from collections.abc import Sequence

from ops.cuda.kernels.activations import store_quantized
from ops.cuda.kernels.intrinsics.arithmetic import plus, times
from ops.cuda.kernels.intrinsics.functions import gate_clamped_swiglu, gate_gelu, gate_silu
from ops.cuda.kernels.intrinsics.memory import (
    load_float,
    load_int,
    reload_float,
    shared_load_float,
    shared_store_float,
    store_float,
)
from ops.cuda.kernels.intrinsics.primitives import Address, Float, Int, i32
from ops.cuda.kernels.intrinsics.warps import lane, shared_memory, thread_x

MANY_THREADS = 128  # of a block of products for many tokens
PLAIN, SILU, GELU, CLAMPED_SWIGLU = range(4)
"""What an epilogue does with a second product: nothing, or one of the gates."""


def gated(kind: Int, gate: Float, up: Float) -> Float:
    if kind == SILU:
        return gate_silu(gate, up)
    if kind == GELU:
        return gate_gelu(gate, up)
    return gate_clamped_swiglu(gate, up)


def finished(
    total: Float, factor: Address, bias: Address, expert: Int, row: Int, rows: Int
) -> Float:
    """A row's sum times its matrix's factor, plus its bias, where there are such."""
    if factor != 0:
        total = times(total, load_float(factor + 4 * expert))
    if bias != 0:
        total = plus(total, load_float(bias + 4 * (expert * rows + row)))
    return total


def place_of(
    y: Address,
    y_second: Address,
    y_third: Address,
    rows: Int,
    rows_first: Int,
    rows_second: Int,
    token: Int,
    row: Int,
) -> Address:
    """Where a row's result goes, whose matrix may be up to three in one."""
    if row < rows_first:
        return y + 4 * (token * rows_first + row)
    if row < rows_first + rows_second:
        return y_second + 4 * (token * rows_second + row - rows_first)
    third = rows - rows_first - rows_second
    return y_third + 4 * (token * third + row - rows_first - rows_second)


def store_few(
    total: Float,
    token: Int,
    row: Int,
    rows: Int,
    panel: Int,
    quantized: Address,
    added: Address,
    y: Address,
    y_second: Address,
    y_third: Address,
    rows_first: Int,
    rows_second: Int,
) -> None:
    """Of a warp that has a panel's 32 rows, a block of activations if they are `quantized`."""
    if quantized != 0:
        place = quantized + token * (rows + rows // 2)
        store_quantized(place, rows, panel, total)
    else:
        if added != 0:
            total = plus(total, load_float(added + 4 * (token * rows + row)))
        place = place_of(y, y_second, y_third, rows, rows_first, rows_second, token, row)
        store_float(place, total)


def token_of(index: Int, count: Int, order: Address, start: Int) -> Int:
    """Which row of y the index-th row of a tile is; beyond the last one it is that again."""
    index = min(index, count - 1)
    if order != 0:
        return load_int(order + 4 * (start + index))
    return i32(index)


def store_result(
    total: Float,
    y: Address,
    at: Address,
    added: Address,
    gate: Int,
) -> None:
    """With a gate, y holds what the gate's matrix gave."""
    if gate != PLAIN:
        total = gated(gate, reload_float(y + 4 * at), total)
    if added != 0:
        total = plus(total, load_float(added + 4 * at))
    store_float(y + 4 * at, total)


def store_tile(
    totals: Sequence[float],
    first_row: Int,
    first: Int,
    rows: Int,
    count: Int,
    order: Address,
    start: Int,
    expert: Int,
    factor: Address,
    bias: Address,
    gate: Int,
    added: Address,
    y: Address,
) -> None:
    """A warp's 32 rows of 32 tokens, as fragments of `mma` hold them: two times four of 16 x 8."""
    g, t = lane() >> 2, lane() & 3
    mine = shared_memory() + 4 * thread_x()
    for n in range(32):  # registers can be counted through by an unrolled loop only
        shared_store_float(mine + n * 4 * MANY_THREADS, totals[n])
    for n in range(32):
        row = first_row + n // 16 * 16 + n % 4 // 2 * 8 + g
        column = first + n // 4 % 4 * 8 + 2 * t + n % 2
        if row < rows and column < count:
            token = token_of(i32(column), count, order, start)
            total = shared_load_float(mine + n * 4 * MANY_THREADS)
            total = finished(total, factor, bias, expert, row, rows)
            store_result(total, y, token * rows + row, added, gate)
