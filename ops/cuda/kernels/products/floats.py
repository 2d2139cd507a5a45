"""Products with float weights: float16 in matrix fragments, float32 as in the file.

Activations are rounded to float16, and tensor cores sum in float32. The kernels for few and for
many tokens use the same instruction, so that both give the same bits. A unit is two groups: 32
weights of each of a panel's 32 rows (see `packing.fragment_place`).
"""

from ops.cuda.kernels.formats.packing import FLOAT_GROUP_BYTES
from ops.cuda.kernels.intrinsics.arithmetic import fma, quotient, safe_halves
from ops.cuda.kernels.intrinsics.fragments import c_column, c_row, multiply_add, quad, quad_lane
from ops.cuda.kernels.intrinsics.kernel import Kernel, kernel
from ops.cuda.kernels.intrinsics.memory import (
    load_float,
    load_float4,
    load_int,
    load_int4,
    shared_store_float,
    stream_int4,
)
from ops.cuda.kernels.intrinsics.primitives import WARP, Address, Int, f32, i32, local
from ops.cuda.kernels.intrinsics.warps import block_x, block_y, lane, thread_x, warp_sum
from ops.cuda.kernels.operands import FewProduct, ManyProduct, SingleProduct
from ops.cuda.kernels.products.epilogue import scaled, store_result
from ops.cuda.kernels.products.few import COLUMN_BYTES, FewSteps
from ops.cuda.kernels.products.few import few as few_of
from ops.cuda.kernels.products.many import ManySteps, Tile, token_of
from ops.cuda.kernels.products.many import many as many_of

UNIT = 2  # groups
UNIT_BYTES = UNIT * FLOAT_GROUP_BYTES
HALF_BYTES = FLOAT_GROUP_BYTES // 2  # of 16 rows
STEP_BYTES = HALF_BYTES // 2  # of 16 rows of 16 weights: a fragment of A
COLUMNS = 8  # tokens of a fragment
F32_THREADS = 256
F32_ROWS = F32_THREADS // WARP


def few_halves(*, second: bool) -> Kernel:
    return few_of(few_steps(second=second), blocks=1)


def many_halves() -> Kernel:
    return many_of(many_steps())


def load_b(b, first: Int, source: Address) -> None:
    """A lane's 8 activations of a group as float16: b[first : first + 4], those of two steps."""
    x0, x1, x2, x3 = load_float4(source)
    x4, x5, x6, x7 = load_float4(source + 16)
    b[first], b[first + 1] = safe_halves(x0, x1), safe_halves(x2, x3)
    b[first + 2], b[first + 3] = safe_halves(x4, x5), safe_halves(x6, x7)


def few_steps(*, second: bool) -> FewSteps:
    count = 16 if second else 8

    def find_sources(sources, first: Int, taken: Int, op: FewProduct) -> None:
        column = min(quad(), taken - 1)
        row = i32(min(first + column, op.count - 1))
        sources[0] = i32(
            4 * (quotient(row, op.rows_per_x) * op.shape.blocks * 32 + 8 * quad_lane())
        )

    def add_group(totals, first: Int, place: Address, b) -> None:
        for half in range(2):
            for step in range(2):
                a = stream_int4(place + half * HALF_BYTES + step * STEP_BYTES + lane() * 16)
                multiply_add(totals, first + 4 * half, a, b[2 * step], b[2 * step + 1])

    def add_unit(totals, op: FewProduct, offset: Address, unit: Int, sources) -> None:
        b = local.array(4, i32)
        for n in range(UNIT):
            group = unit * UNIT + n
            if group < op.shape.blocks:
                load_b(b, 0, op.x + sources[0] + 128 * group)
                place = offset + n * FLOAT_GROUP_BYTES
                add_group(totals, 0, op.matrix.weights + place, b)
                if second:
                    add_group(totals, 8, op.up.weights + place, b)

    def store_totals(totals, place: Int) -> None:
        for n in range(count):
            row, column = n % 8 // 4 * 16 + c_row(n), n // 8 * COLUMNS + c_column(n)
            shared_store_float(place + COLUMN_BYTES * column + 4 * row, totals[n])

    sizes = UNIT, UNIT_BYTES, count, 1
    return FewSteps(COLUMNS, second, *sizes, find_sources, add_unit, store_totals)


def many_steps() -> ManySteps:
    def find_sources(sources, tile: Tile, op: ManyProduct) -> None:
        for j in range(4):
            token = token_of(i32(tile.first + j * 8 + quad()), tile, op)
            row = token // op.rows_per_x
            sources[j] = i32(4 * (row * op.shape.blocks * 32 + 8 * quad_lane()))

    def add_unit(sums, place: Address, unit: Int, op: ManyProduct, sources) -> None:
        b = local.array(16, i32)
        for n in range(min(UNIT, op.shape.blocks - unit * UNIT)):
            for j in range(4):
                load_b(b, 4 * j, op.x + sources[j] + 128 * (unit * UNIT + n))
            for half in range(2):
                a = place + n * FLOAT_GROUP_BYTES + half * HALF_BYTES + lane() * 16
                first, second = load_int4(a), load_int4(a + STEP_BYTES)
                for j in range(4):
                    multiply_add(sums, 16 * half + 4 * j, first, b[4 * j], b[4 * j + 1])
                    multiply_add(sums, 16 * half + 4 * j, second, b[4 * j + 2], b[4 * j + 3])

    return ManySteps(UNIT, UNIT_BYTES, 4, find_sources, add_unit)


@kernel(F32_THREADS)
def singles(op: SingleProduct) -> None:
    """float32, row by row as in the file. Grid: (rows / 8, tokens); a warp a row."""
    row = block_x() * F32_ROWS + thread_x() // WARP
    token, expert = block_y(), i32(0)
    if row < op.rows:
        if op.ids != 0:
            expert = load_int(op.ids + 4 * token)
        line = op.matrix.weights + expert * op.matrix_bytes + 4 * row * op.columns
        source = op.x + 4 * (token // op.rows_per_x) * op.columns
        total = f32(0)
        for n in range(lane(), op.columns, WARP):
            total = fma(load_float(line + 4 * n), load_float(source + 4 * n), total)
        total = scaled(warp_sum(total), op.matrix, expert, row, op.rows)
        if lane() == 0:
            store_result(total, op.y, token * op.rows + row, op.added, op.gate)
