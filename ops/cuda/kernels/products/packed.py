"""Products of packed weights: bytes times bytes, with scales for each block of 32.

The sum of a block's 32 products of bytes is exact, by dp4a or by mma. For few tokens each lane is a
row of the panel; for many the lanes hold fragments.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

from ops.cuda.kernels.activations import BLOCK_BYTES
from ops.cuda.kernels.formats.weights import Panels, Scales
from ops.cuda.kernels.intrinsics.arithmetic import as_float, dp4a, fma, quotient, times
from ops.cuda.kernels.intrinsics.fragments import quad, quad_lane
from ops.cuda.kernels.intrinsics.kernel import Kernel
from ops.cuda.kernels.intrinsics.memory import (
    load_float2,
    load_int,
    load_int2,
    load_int4,
    shared_store_float,
)
from ops.cuda.kernels.intrinsics.primitives import Address, Float, Int, f32, i32, local
from ops.cuda.kernels.intrinsics.warps import lane, mma_s8, mma_s8_half
from ops.cuda.kernels.operands import FewProduct, ManyProduct
from ops.cuda.kernels.products.few import COLUMN_BYTES, FewSteps
from ops.cuda.kernels.products.few import few as few_of
from ops.cuda.kernels.products.many import ManySteps, Tile, token_of
from ops.cuda.kernels.products.many import many as many_of

COLUMNS = (1, 4, 8)
"""Tokens that a kernel for few can take at once."""
SMALL_BLOCK = 32 * 18  # bytes, of a panel


def few(panels: Panels, columns: int, *, second: bool) -> Kernel:
    small = panels.unit_bytes // panels.blocks <= SMALL_BLOCK  # others need more than 64 registers
    steps = few_steps(panels, columns, second=second)
    return few_of(steps, blocks=2 if steps.totals == 1 and small else 1)


def many(panels: Panels) -> Kernel:
    return many_of(many_steps(panels))


def make_accumulate(panels: Panels) -> Callable[..., Float]:
    has_minimum = panels.minimum

    def accumulate(total: Float, scales: Scales, dot: Int, x_scale: Float, x_sum: Float) -> Float:
        """total + the block's product: `dot` is that of its bytes, `x_sum` the scaled sum of x."""
        total = fma(times(scales.factor, x_scale), as_float(dot), total)
        if has_minimum:
            total = fma(-scales.minimum, x_sum, total)
        return total

    return accumulate


# --- few tokens


def dot_16(a: Int, b: Int, c: Int, d: Int, x, dot: Int) -> Int:
    """dot + four words of levels times four words of activations."""
    dot = dp4a(a, x[0], dot)
    dot = dp4a(b, x[1], dot)
    dot = dp4a(c, x[2], dot)
    return dp4a(d, x[3], dot)


def make_add_block(panels: Panels, columns: int, first: int) -> Callable[..., None]:
    """What a lane adds to `columns` of its totals, from the `first`, for one block of its row."""
    words, scales_of, halves = panels.words, panels.scales, panels.halves
    accumulate = make_accumulate(panels)

    def add_block(totals, place: Address, n: Int, block: Int, head, op, sources) -> None:
        w0, w1, w2, w3, w4, w5, w6, w7 = words(place, n, lane())
        scales = scales_of(head, n)
        for column in range(columns):
            source = op.x + sources[column]
            near, far = load_int4(source + block * 32), load_int4(source + block * 32 + 16)
            x_scale, x_sum = load_float2(source + op.shape.blocks * 32 + block * 16)
            dot = dot_16(w0, w1, w2, w3, near, i32(0))
            if halves:
                rest = dot_16(w4, w5, w6, w7, far, i32(0))
                dot = i32(dot * scales.low + rest * scales.high)
            else:
                dot = dot_16(w4, w5, w6, w7, far, dot)
            n_total = first + column
            totals[n_total] = accumulate(totals[n_total], scales, dot, x_scale, x_sum)

    return add_block


def make_add_unit(panels: Panels, columns: int, first: int) -> Callable[..., None]:
    """For one unit of a lane's row.

    For one column the blocks of a unit are written out one by one: more loads of weights are in
    flight at once, and scales need no selection by number.
    """
    unit_blocks, head_of = panels.blocks, panels.head
    written_out, always_whole = columns == 1, unit_blocks == 8
    add_block = make_add_block(panels, columns, first)

    def add_four(totals, place: Address, n: Int, block: Int, head, op, sources) -> None:
        add_block(totals, place, n, block, head, op, sources)
        add_block(totals, place, n + 1, i32(block + 1), head, op, sources)
        add_block(totals, place, n + 2, i32(block + 2), head, op, sources)
        add_block(totals, place, n + 3, i32(block + 3), head, op, sources)

    def add_unit(totals, place: Address, unit: Int, op, sources) -> None:
        head, start = head_of(place, lane()), i32(unit * unit_blocks)
        if written_out and (always_whole or start + unit_blocks <= op.shape.blocks):
            add_four(totals, place, 0, start, head, op, sources)
            if unit_blocks == 8:
                add_four(totals, place, 4, i32(start + 4), head, op, sources)
        else:
            for n in range(min(unit_blocks, op.shape.blocks - start)):
                add_block(totals, place, n, i32(start + n), head, op, sources)

    return add_unit


def few_steps(panels: Panels, columns: int, *, second: bool) -> FewSteps:
    count = columns * (2 if second else 1)
    add_to_first, add_to_second = (make_add_unit(panels, columns, n) for n in (0, columns))

    def find_sources(sources, first: Int, taken: Int, op: FewProduct) -> None:
        row_bytes = op.shape.blocks * BLOCK_BYTES
        for column in range(columns):
            row = i32(min(first + column, op.count - 1))
            sources[column] = i32(quotient(row, op.rows_per_x) * row_bytes)

    def add_unit(totals, op: FewProduct, offset: Address, unit: Int, sources) -> None:
        add_to_first(totals, op.matrix.weights + offset, unit, op, sources)
        if second:
            add_to_second(totals, op.up.weights + offset, unit, op, sources)

    def store_totals(totals, place: Int) -> None:
        for n in range(count):
            shared_store_float(place + COLUMN_BYTES * n + 4 * lane(), totals[n])

    sizes = panels.blocks, panels.unit_bytes, count, columns
    return FewSteps(columns, second, *sizes, find_sources, add_unit, store_totals)


# --- many tokens


class Activations(NamedTuple):
    """A block of a tile's tokens, in local arrays: of 8 tokens at a time a lane has two of each."""

    levels: Any  # of the column q: the words of B
    scales: Any  # of the columns 2t, 2t + 1, as C has them
    sums: Any


def make_load_b(panels: Panels) -> Callable[..., None]:
    halves = panels.halves

    def load_b(b: Activations, op: ManyProduct, block: Int, sources) -> None:
        for j in range(4):
            source = op.x + sources[j] + block * 32
            if halves:
                b.levels[2 * j], b.levels[2 * j + 1] = load_int(source), load_int(source + 16)
            else:
                b.levels[2 * j], b.levels[2 * j + 1] = load_int2(source)
            for k in range(2 * j, 2 * j + 2):
                b.scales[k], b.sums[k] = load_float2(op.x + sources[4 + k] + block * 16)

    return load_b


def make_load_a(panels: Panels) -> Callable[..., tuple[Int, Int, Int, Int]]:
    pair = panels.pair

    def load_a(place: Address, n: Int, row: Int) -> tuple[Int, Int, Int, Int]:
        """Of block n of a unit the rows `row` + q and `row` + 8 + q."""
        a0, a2 = pair(place, n, row + quad(), quad_lane())
        a1, a3 = pair(place, n, row + 8 + quad(), quad_lane())
        return a0, a1, a2, a3

    return load_a


def make_multiply(panels: Panels) -> Callable[..., tuple[Int, Int, Int, Int]]:
    halves = panels.halves

    def multiply(a, b0: Int, b1: Int, upper: Scales, lower: Scales) -> tuple[Int, Int, Int, Int]:
        """A fragment of C: the products of a block's bytes, for rows of these scales."""
        z = i32(0)
        if halves:
            e0, e1, e2, e3 = mma_s8_half(a[0], a[1], b0, z, z, z, z)
            f0, f1, f2, f3 = mma_s8_half(a[2], a[3], b1, z, z, z, z)
            c0, c1 = i32(e0 * upper.low + f0 * upper.high), i32(e1 * upper.low + f1 * upper.high)
            c2, c3 = i32(e2 * lower.low + f2 * lower.high), i32(e3 * lower.low + f3 * lower.high)
        else:
            c0, c1, c2, c3 = mma_s8(a[0], a[1], a[2], a[3], b0, b1, z, z, z, z)
        return c0, c1, c2, c3

    return multiply


def many_steps(panels: Panels) -> ManySteps:
    unit_blocks, lane_bytes = panels.blocks, 4 if panels.halves else 8
    head_of, scales_of = panels.head, panels.scales
    load_a, load_b = make_load_a(panels), make_load_b(panels)
    multiply, accumulate = make_multiply(panels), make_accumulate(panels)

    def find_sources(sources, tile: Tile, op: ManyProduct) -> None:
        """Of 4 tokens a lane loads levels, of 8 others scales and sums."""
        row_bytes, word = op.shape.blocks * BLOCK_BYTES, lane_bytes * quad_lane()
        for j in range(4):
            token = token_of(i32(tile.first + j * 8 + quad()), tile, op)
            sources[j] = i32(token // op.rows_per_x * row_bytes + word)
        for k in range(8):
            column = tile.first + k // 2 * 8 + 2 * quad_lane() + k % 2
            token = token_of(i32(column), tile, op)
            sources[4 + k] = i32(token // op.rows_per_x * row_bytes + op.shape.blocks * 32)

    def add_rows(sums, half: Int, place: Address, n: Int, upper_head, lower_head, b) -> None:
        """16 rows of the panel times a block of all tokens."""
        a = load_a(place, n, 16 * half)
        upper, lower = scales_of(upper_head, n), scales_of(lower_head, n)
        for j in range(4):
            c0, c1, c2, c3 = multiply(a, b.levels[2 * j], b.levels[2 * j + 1], upper, lower)
            d0, d1, s0, s1 = b.scales[2 * j], b.scales[2 * j + 1], b.sums[2 * j], b.sums[2 * j + 1]
            c = 16 * half + 4 * j
            sums[c] = accumulate(sums[c], upper, c0, d0, s0)
            sums[c + 1] = accumulate(sums[c + 1], upper, c1, d1, s1)
            sums[c + 2] = accumulate(sums[c + 2], lower, c2, d0, s0)
            sums[c + 3] = accumulate(sums[c + 3], lower, c3, d1, s1)

    def add_unit(sums, place: Address, unit: Int, op: ManyProduct, sources) -> None:
        b = Activations(local.array(8, i32), local.array(8, f32), local.array(8, f32))
        h0, h8 = head_of(place, quad()), head_of(place, quad() + 8)
        h16, h24 = head_of(place, quad() + 16), head_of(place, quad() + 24)
        # a trip count that is not constant keeps the compiler from unrolling this loop
        for n in range(min(unit_blocks, op.shape.blocks - unit * unit_blocks)):
            load_b(b, op, unit * unit_blocks + n, sources)
            add_rows(sums, 0, place, n, h0, h8, b)
            add_rows(sums, 1, place, n, h16, h24, b)

    return ManySteps(unit_blocks, panels.unit_bytes, 12, find_sources, add_unit)
