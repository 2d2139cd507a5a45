"""Products with float weights: float16 in matrix fragments, float32 as in the file.

The same promise as in linear.py. Activations meet float16 weights as float16, and the tensor core
sums; so that one token gives the same bits as many, both go through the same instruction, and a row
is summed in 16 chains that are added in their order.
"""

from ops.cuda.kernels.formats.weights import PANEL_ROWS
from ops.cuda.kernels.intrinsics.arithmetic import fma, plus, safe_halves
from ops.cuda.kernels.intrinsics.kernel import Kernel, kernel
from ops.cuda.kernels.intrinsics.memory import (
    load_float,
    load_float4,
    load_int,
    load_int4,
    shared_load_float,
    shared_store_float,
    stream_int4,
)
from ops.cuda.kernels.intrinsics.primitives import WARP, Address, Int, f32, i32, local
from ops.cuda.kernels.intrinsics.warps import (
    barrier,
    block_x,
    block_y,
    block_z,
    lane,
    mma_f16,
    shared_memory,
    thread_x,
    warp,
    warp_sum,
)
from ops.cuda.kernels.linear import CHAINS, FEW_THREADS, TILE_TOKENS
from ops.cuda.kernels.results import (
    MANY_THREADS,
    finished,
    gated,
    store_few,
    store_result,
    store_tile,
    token_of,
)

GROUP, GROUP_BYTES = 32, 2048  # weights of a row that lie together, for the 32 rows of a panel
UNIT = 2  # groups that a chain takes at once
COLUMNS = 8  # tokens of a fragment
F32_THREADS = 256


def few_halves(second: bool) -> Kernel:
    """Up to 8 tokens a block along x, panels along y; operands as in `linear.few`.

    Shared: 16 KiB a matrix.
    """
    matrices = 2 if second else 1
    sums = 8 * matrices

    @kernel(FEW_THREADS)
    def product(
        weights: Address,
        bias: Address,
        factor: Address,
        up_weights: Address,
        up_bias: Address,
        up_factor: Address,
        panel_bytes: Address,
        matrix_bytes: Address,
        x: Address,
        blocks: Int,
        y: Address,
        rows: Int,
        count: Int,
        added: Address,
        gate: Int,
        ids: Address,
        rows_per_x: Int,
        quantized: Address,
        y_second: Address,
        y_third: Address,
        rows_first: Int,
        rows_second: Int,
    ) -> None:
        chain, panel = warp(), block_y()
        g, t = lane() >> 2, lane() & 3
        columns = 1 if ids != 0 else COLUMNS
        first = block_x() * columns
        expert = i32(0)
        if ids != 0:
            expert = load_int(ids + 4 * first)
        offset = expert * matrix_bytes + panel * panel_bytes
        token = min(first + min(g, columns - 1), count - 1) // rows_per_x
        source = x + 4 * (token * blocks * GROUP + 8 * t)
        totals = local.array(sums, f32)
        for n in range(sums):
            totals[n] = f32(0)
        units = (blocks + UNIT - 1) // UNIT
        for unit in range(chain, units, CHAINS):
            for inner in range(UNIT):
                group = unit * UNIT + inner
                if group < blocks:
                    p0, p1, p2, p3 = load_float4(source + 128 * group)
                    p4, p5, p6, p7 = load_float4(source + 128 * group + 16)
                    b0, b1 = safe_halves(p0, p1), safe_halves(p2, p3)
                    b2, b3 = safe_halves(p4, p5), safe_halves(p6, p7)
                    for matrix in range(matrices):
                        place = weights + offset + group * GROUP_BYTES + lane() * 16
                        if matrix == 1:
                            place = up_weights + offset + group * GROUP_BYTES + lane() * 16
                        for m in range(2):
                            at = matrix * 8 + m * 4
                            c0, c1, c2, c3 = (
                                totals[at],
                                totals[at + 1],
                                totals[at + 2],
                                totals[at + 3],
                            )
                            a0, a1, a2, a3 = stream_int4(place + m * 1024)
                            c0, c1, c2, c3 = mma_f16(a0, a1, a2, a3, b0, b1, c0, c1, c2, c3)
                            a0, a1, a2, a3 = stream_int4(place + m * 1024 + 512)
                            c0, c1, c2, c3 = mma_f16(a0, a1, a2, a3, b2, b3, c0, c1, c2, c3)
                            totals[at], totals[at + 1] = c0, c1
                            totals[at + 2], totals[at + 3] = c2, c3
        shared = shared_memory()
        for n in range(sums):
            row, column = n % 8 // 4 * 16 + n % 4 // 2 * 8 + g, 2 * t + n % 2
            place = (chain * matrices + n // 8) * 1024 + (column * PANEL_ROWS + row) * 4
            shared_store_float(shared + place, totals[n])
        barrier()
        column, row = chain, panel * PANEL_ROWS + lane()
        if column < columns and first + column < count and row < rows:
            mine = shared + (column * PANEL_ROWS + lane()) * 4
            total = f32(0)
            for n in range(CHAINS):
                total = plus(total, shared_load_float(mine + n * matrices * 1024))
            total = finished(total, factor, bias, expert, row, rows)
            if matrices == 2:
                up = f32(0)
                for n in range(CHAINS):
                    up = plus(up, shared_load_float(mine + (n * matrices + 1) * 1024))
                total = gated(gate, total, finished(up, up_factor, up_bias, expert, row, rows))
            token = i32(first + column)
            store_few(
                total, token, i32(row), rows, panel, quantized, added,
                y, y_second, y_third, rows_first, rows_second,
            )  # fmt: skip

    return product


@kernel(MANY_THREADS, 2)
def many_halves(
    weights: Address,
    bias: Address,
    factor: Address,
    panel_bytes: Address,
    matrix_bytes: Address,
    x: Address,
    blocks: Int,
    y: Address,
    rows: Int,
    count: Int,
    added: Address,
    gate: Int,
    order: Address,
    starts: Address,
    rows_per_x: Int,
) -> None:
    """As `linear.many`. Shared: 16 KiB."""
    g, t = lane() >> 2, lane() & 3
    panel, first = block_y() * 2 + (warp() & 1), block_x() * TILE_TOKENS + (warp() >> 1) * 32
    expert, start = block_z(), i32(0)
    if order != 0:
        start = load_int(starts + 4 * expert)
        count = load_int(starts + 4 * expert + 4) - start
    if first >= count or panel * PANEL_ROWS >= rows:
        return
    units = (blocks + UNIT - 1) // UNIT
    base = weights + expert * matrix_bytes + panel * panel_bytes + lane() * 16
    taken = local.array(4, i32)
    for j in range(4):
        token = token_of(i32(first + j * 8 + g), count, order, start)
        taken[j] = i32(4 * (token // rows_per_x * blocks * GROUP + 8 * t))
    totals, sums = local.array(32, f32), local.array(32, f32)
    b = local.array(16, i32)
    for n in range(32):
        totals[n] = f32(0)
    for chain in range(CHAINS):
        for n in range(32):
            sums[n] = f32(0)
        for unit in range(chain, units, CHAINS):
            for inner in range(min(UNIT, blocks - unit * UNIT)):
                group = unit * UNIT + inner
                for j in range(4):
                    source = x + taken[j] + 128 * group
                    p0, p1, p2, p3 = load_float4(source)
                    p4, p5, p6, p7 = load_float4(source + 16)
                    b[4 * j], b[4 * j + 1] = safe_halves(p0, p1), safe_halves(p2, p3)
                    b[4 * j + 2], b[4 * j + 3] = safe_halves(p4, p5), safe_halves(p6, p7)
                for m in range(2):
                    place = base + group * GROUP_BYTES + m * 1024
                    a0, a1, a2, a3 = load_int4(place)
                    a4, a5, a6, a7 = load_int4(place + 512)
                    for j in range(4):
                        at = (m * 4 + j) * 4
                        c0, c1, c2, c3 = sums[at], sums[at + 1], sums[at + 2], sums[at + 3]
                        c0, c1, c2, c3 = mma_f16(
                            a0, a1, a2, a3, b[4 * j], b[4 * j + 1], c0, c1, c2, c3
                        )
                        c0, c1, c2, c3 = mma_f16(
                            a4, a5, a6, a7, b[4 * j + 2], b[4 * j + 3], c0, c1, c2, c3
                        )
                        sums[at], sums[at + 1], sums[at + 2], sums[at + 3] = c0, c1, c2, c3
        for n in range(32):
            totals[n] = plus(totals[n], sums[n])
    store_tile(
        totals, i32(panel * PANEL_ROWS), i32(first), rows, count, order, start,
        expert, factor, bias, gate, added, y,
    )  # fmt: skip


@kernel(F32_THREADS)
def singles(
    weights: Address,
    bias: Address,
    factor: Address,
    matrix_bytes: Address,
    x: Address,
    width: Int,
    y: Address,
    rows: Int,
    added: Address,
    gate: Int,
    ids: Address,
    rows_per_x: Int,
) -> None:
    """float32, row by row as in the file: a warp a row, tokens along y."""
    lane, row = thread_x() % WARP, block_x() * (F32_THREADS // WARP) + thread_x() // WARP
    token, expert = block_y(), i32(0)
    if row < rows:
        if ids != 0:
            expert = load_int(ids + 4 * token)
        line = weights + expert * matrix_bytes + 4 * row * width
        source = x + 4 * (token // rows_per_x) * width
        total = f32(0)
        for n in range(lane, width, WARP):
            total = fma(load_float(line + 4 * n), load_float(source + 4 * n), total)
        total = finished(warp_sum(total), factor, bias, expert, row, rows)
        if lane == 0:
            store_result(total, y, token * rows + row, added, gate)
