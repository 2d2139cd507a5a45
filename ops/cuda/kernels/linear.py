"""Products of packed weights with activations: y = s·W x + b, for few tokens and for many.

The promise: a row's result has the same bits in all of these kernels. A row is summed in 16 chains
(chain c takes the units c, c + 16, ...), each block after the other; the sum of a block's 32
products of bytes is exact, and the chains are added in their order. For few tokens each chain is a
warp and each lane a row of a panel (dp4a). For many, a warp goes through all chains of a panel and
multiplies matrices (mma).
"""

from collections.abc import Callable

from ops.cuda.kernels.formats.weights import PANEL_ROWS, Panels
from ops.cuda.kernels.intrinsics.arithmetic import as_float, dp4a, fma, plus, quotient, times
from ops.cuda.kernels.intrinsics.kernel import Kernel, kernel
from ops.cuda.kernels.intrinsics.memory import (
    load_float2,
    load_int,
    load_int2,
    load_int4,
    shared_load_float,
    shared_store_float,
)
from ops.cuda.kernels.intrinsics.primitives import WARP, Address, Int, f32, i32, local
from ops.cuda.kernels.intrinsics.warps import (
    barrier,
    block_x,
    block_y,
    block_z,
    lane,
    mma_s8,
    mma_s8_half,
    shared_memory,
    warp,
)
from ops.cuda.kernels.results import (
    MANY_THREADS,
    finished,
    gated,
    store_few,
    store_tile,
    token_of,
)

CHAINS = 16
FEW_THREADS = CHAINS * WARP
FEW = (1, 4, 8)
"""Columns that a kernel for few tokens can take at once."""
TILE_ROWS, TILE_TOKENS = 64, 64
"""For many: two warps of a panel each along the rows, two of 32 tokens each along the tokens."""

SMALL_BLOCK = 32 * 18  # bytes, of a panel


def make_unit_sums(panels: Panels, columns: int, first_total: int) -> Callable[..., None]:
    """What a lane adds to `columns` of its totals for one unit of its row.

    `sources` are the offsets of the columns' activations. For one column the blocks of a unit are
    written out one by one: so many loads of weights are under way at once, and no scale is looked
    for by its number.
    """
    unit_blocks, words, scales = panels.blocks, panels.words, panels.scales
    head, has_minimum, halves = panels.head, panels.minimum, panels.halves
    written_out, always_whole = columns == 1, unit_blocks == 8

    def add_block(
        place: Address, n: Int, block: Int, x: Address, blocks: Int, heads, sources, totals
    ) -> None:
        w0, w1, w2, w3, w4, w5, w6, w7 = words(place, n, lane())
        scale, minimum, low, high = scales(heads[0], heads[1], heads[2], heads[3], heads[4], n)
        for column in range(columns):
            source = x + sources[column]
            a0, a1, a2, a3 = load_int4(source + block * 32)
            a4, a5, a6, a7 = load_int4(source + block * 32 + 16)
            x_scale, x_sum = load_float2(source + blocks * 32 + block * 16)
            dot = dp4a(w0, a0, i32(0))
            dot = dp4a(w1, a1, dot)
            dot = dp4a(w2, a2, dot)
            dot = dp4a(w3, a3, dot)
            if halves:
                rest = dp4a(w4, a4, i32(0))
                rest = dp4a(w5, a5, rest)
                rest = dp4a(w6, a6, rest)
                rest = dp4a(w7, a7, rest)
                dot = i32(dot * low + rest * high)
            else:
                dot = dp4a(w4, a4, dot)
                dot = dp4a(w5, a5, dot)
                dot = dp4a(w6, a6, dot)
                dot = dp4a(w7, a7, dot)
            at = first_total + column
            total = fma(times(scale, x_scale), as_float(dot), totals[at])
            if has_minimum:
                total = fma(-minimum, x_sum, total)
            totals[at] = total

    def add_unit(place: Address, unit: Int, x: Address, blocks: Int, sources, totals) -> None:
        heads = local.array(5, i32)
        heads[0], heads[1], heads[2], heads[3], heads[4] = head(place, lane())
        first = i32(unit * unit_blocks)
        if written_out and (always_whole or first + unit_blocks <= blocks):
            add_block(place, 0, first, x, blocks, heads, sources, totals)
            add_block(place, 1, i32(first + 1), x, blocks, heads, sources, totals)
            add_block(place, 2, i32(first + 2), x, blocks, heads, sources, totals)
            add_block(place, 3, i32(first + 3), x, blocks, heads, sources, totals)
            if unit_blocks == 8:
                add_block(place, 4, i32(first + 4), x, blocks, heads, sources, totals)
                add_block(place, 5, i32(first + 5), x, blocks, heads, sources, totals)
                add_block(place, 6, i32(first + 6), x, blocks, heads, sources, totals)
                add_block(place, 7, i32(first + 7), x, blocks, heads, sources, totals)
        else:
            for n in range(min(unit_blocks, blocks - first)):
                add_block(place, n, i32(first + n), x, blocks, heads, sources, totals)

    return add_unit


def few(panels: Panels, columns: int, second: bool) -> Kernel:
    """For up to `columns` tokens a block along x. With a `second` matrix: gate(W x, W' x).

    Blocks along y are panels: thread blocks that follow each other read the same weights. With
    `ids` each row of y has an expert of its own (one column), and row r of y is made of row
    r // rows_per_x of x. Rows may be those of up to three matrices, that go to outputs of their
    own; or they go to `quantized` activations. Shared: columns · 16 · 128 bytes a matrix.
    """
    unit_blocks, unit_bytes = panels.blocks, panels.unit_bytes
    add_unit = make_unit_sums(panels, columns, 0)
    add_up_unit = make_unit_sums(panels, columns, columns)
    sums = columns * (2 if second else 1)
    # thread blocks on a processor: formats of many bits need more than 64 registers
    at_once = 2 if sums == 1 and unit_bytes // unit_blocks <= SMALL_BLOCK else 1

    @kernel(FEW_THREADS, at_once)
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
        chain, first, panel = warp(), i32(block_x() * columns), block_y()
        expert = i32(0)
        if ids != 0:
            expert = load_int(ids + 4 * first)
        sources = local.array(columns, i32)
        for column in range(columns):
            row = i32(min(first + column, count - 1))
            sources[column] = i32(quotient(row, rows_per_x) * (blocks * 48))
        offset = expert * matrix_bytes + panel * panel_bytes
        totals = local.array(sums, f32)
        for n in range(sums):
            totals[n] = f32(0)
        for unit in range(chain, (blocks + unit_blocks - 1) // unit_blocks, CHAINS):
            place = weights + offset + unit * unit_bytes
            add_unit(place, i32(unit), x, blocks, sources, totals)
            if second:
                place = up_weights + offset + unit * unit_bytes
                add_up_unit(place, i32(unit), x, blocks, sources, totals)
        shared = shared_memory()
        for n in range(sums):
            shared_store_float(shared + (chain * sums + n) * 128 + lane() * 4, totals[n])
        barrier()
        column, row = chain, panel * PANEL_ROWS + lane()
        if column < columns and first + column < count and row < rows:
            total = f32(0)
            for n in range(CHAINS):
                place = shared + (n * sums + column) * 128 + lane() * 4
                total = plus(total, shared_load_float(place))
            total = finished(total, factor, bias, expert, row, rows)
            if second:
                up = f32(0)
                for n in range(CHAINS):
                    place = shared + (n * sums + columns + column) * 128 + lane() * 4
                    up = plus(up, shared_load_float(place))
                total = gated(gate, total, finished(up, up_factor, up_bias, expert, row, rows))
            token = i32(first + column)
            store_few(
                total, token, i32(row), rows, panel, quantized, added,
                y, y_second, y_third, rows_first, rows_second,
            )  # fmt: skip

    return product


def many(panels: Panels) -> Kernel:
    """A block is 64 tokens (along x) and 64 rows (along y); along z experts.

    With `order` and `starts` the rows of y that expert e gives are order[starts[e]] up to
    order[starts[e + 1] - 1]. Shared: 16 KiB.
    """
    unit_blocks, unit_bytes = panels.blocks, panels.unit_bytes
    pair, head, scales = panels.pair, panels.head, panels.scales
    has_minimum, halves = panels.minimum, panels.halves

    @kernel(MANY_THREADS, 2)
    def product(
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
        g, t = lane() >> 2, lane() & 3
        panel, first = block_y() * 2 + (warp() & 1), block_x() * TILE_TOKENS + (warp() >> 1) * 32
        expert, start = block_z(), i32(0)
        if order != 0:
            start = load_int(starts + 4 * expert)
            count = load_int(starts + 4 * expert + 4) - start
        if first >= count or panel * PANEL_ROWS >= rows:
            return
        row_bytes, units = blocks * 48, (blocks + unit_blocks - 1) // unit_blocks
        word = 4 * t if halves else 8 * t
        base = weights + expert * matrix_bytes + panel * panel_bytes
        taken, scaled = local.array(4, i32), local.array(8, i32)
        for j in range(4):
            token = token_of(i32(first + j * 8 + g), count, order, start)
            taken[j] = i32(token // rows_per_x * row_bytes + word)
            for k in range(2):
                token = token_of(i32(first + j * 8 + 2 * t + k), count, order, start)
                scaled[2 * j + k] = i32(token // rows_per_x * row_bytes + blocks * 32)
        totals, sums = local.array(32, f32), local.array(32, f32)
        heads, taken_b = local.array(20, i32), local.array(8, i32)
        x_scales, x_sums = local.array(8, f32), local.array(8, f32)
        for n in range(32):
            totals[n] = f32(0)
        for chain in range(CHAINS):
            for n in range(32):
                sums[n] = f32(0)
            for unit in range(chain, units, CHAINS):
                place = base + unit * unit_bytes
                for k in range(4):
                    h0, h1, h2, h3, h4 = head(place, g + 8 * k)
                    heads[5 * k], heads[5 * k + 1], heads[5 * k + 2] = h0, h1, h2
                    heads[5 * k + 3], heads[5 * k + 4] = h3, h4
                # a number of turns that is not known keeps the compiler from unrolling this one
                for n in range(min(unit_blocks, blocks - unit * unit_blocks)):
                    block = unit * unit_blocks + n
                    for j in range(4):
                        source = x + taken[j] + block * 32
                        if halves:
                            taken_b[2 * j] = load_int(source)
                            taken_b[2 * j + 1] = load_int(source + 16)
                        else:
                            taken_b[2 * j], taken_b[2 * j + 1] = load_int2(source)
                        for k in range(2):
                            at = 2 * j + k
                            x_scales[at], x_sums[at] = load_float2(x + scaled[at] + block * 16)
                    for m in range(2):
                        row, k = m * 16 + g, 10 * m
                        a0, a2 = pair(place, n, row, t)
                        a1, a3 = pair(place, n, row + 8, t)
                        scale, minimum, low, high = scales(
                            heads[k], heads[k + 1], heads[k + 2], heads[k + 3], heads[k + 4], n
                        )
                        k += 5
                        scale8, minimum8, low8, high8 = scales(
                            heads[k], heads[k + 1], heads[k + 2], heads[k + 3], heads[k + 4], n
                        )
                        for j in range(4):
                            b0, b1, z = taken_b[2 * j], taken_b[2 * j + 1], i32(0)
                            d0, d1 = x_scales[2 * j], x_scales[2 * j + 1]
                            if halves:
                                e0, e1, e2, e3 = mma_s8_half(a0, a1, b0, z, z, z, z)
                                f0, f1, f2, f3 = mma_s8_half(a2, a3, b1, z, z, z, z)
                                c0, c1 = i32(e0 * low + f0 * high), i32(e1 * low + f1 * high)
                                c2, c3 = i32(e2 * low8 + f2 * high8), i32(e3 * low8 + f3 * high8)
                            else:
                                c0, c1, c2, c3 = mma_s8(a0, a1, a2, a3, b0, b1, z, z, z, z)
                            at = (m * 4 + j) * 4
                            r0 = fma(times(scale, d0), as_float(c0), sums[at])
                            r1 = fma(times(scale, d1), as_float(c1), sums[at + 1])
                            r2 = fma(times(scale8, d0), as_float(c2), sums[at + 2])
                            r3 = fma(times(scale8, d1), as_float(c3), sums[at + 3])
                            if has_minimum:
                                s0, s1 = x_sums[2 * j], x_sums[2 * j + 1]
                                r0, r1 = fma(-minimum, s0, r0), fma(-minimum, s1, r1)
                                r2, r3 = fma(-minimum8, s0, r2), fma(-minimum8, s1, r3)
                            sums[at], sums[at + 1] = r0, r1
                            sums[at + 2], sums[at + 3] = r2, r3
            for n in range(32):
                totals[n] = plus(totals[n], sums[n])
        store_tile(
            totals, i32(panel * PANEL_ROWS), i32(first), rows, count, order, start,
            expert, factor, bias, gate, added, y,
        )  # fmt: skip

    return product
