"""Products for many tokens: a warp multiplies matrices, 32 rows by 32 tokens, chain after chain."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from ops.cuda.kernels.formats.weights import PANEL_ROWS
from ops.cuda.kernels.intrinsics.arithmetic import plus
from ops.cuda.kernels.intrinsics.fragments import c_column, c_row, clear
from ops.cuda.kernels.intrinsics.kernel import Kernel, kernel
from ops.cuda.kernels.intrinsics.memory import load_int, shared_load_float, shared_store_float
from ops.cuda.kernels.intrinsics.primitives import Int, f32, i32, local
from ops.cuda.kernels.intrinsics.warps import (
    block_x,
    block_y,
    block_z,
    shared_memory,
    thread_x,
    warp,
)
from ops.cuda.kernels.operands import ManyProduct
from ops.cuda.kernels.products.epilogue import scaled, store_result
from ops.cuda.kernels.products.few import CHAINS

MANY_THREADS = 128
TILE_ROWS, TILE_TOKENS = 64, 64
"""Of a thread block: two warps along the rows, a panel each, two along the tokens, 32 each."""
WARP_TOKENS = 32
SUMS = PANEL_ROWS * WARP_TOKENS // 32  # of a lane
TILE_BYTES = 4 * SUMS * MANY_THREADS  # of shared memory


class Tile(NamedTuple):
    """What a warp computes: a panel of a matrix times 32 of the rows of y that go to it.

    A lane's sums are fragments of C, four numbers each: for 16 rows of the panel those of 8 tokens
    at a time, then the same for its other 16 rows.
    """

    panel: Int
    first: Int  # of the matrix's rows of y
    count: Int  # how many these are
    expert: Int
    start: Int  # where they begin in `order`


@dataclass(frozen=True, slots=True)
class ManySteps:
    """How a weight format is multiplied with a tile's tokens, a unit at a time.

    find_sources(sources, tile, op): offsets in x of what a lane loads, into a local array of
        `sources` int32.
    add_unit(sums, place, unit, op, sources): the unit at `place` is added to a lane's sums.
    """

    unit_blocks: int
    unit_bytes: int
    sources: int
    find_sources: Callable[..., None]
    add_unit: Callable[..., None]


def many(steps: ManySteps) -> Kernel:
    """Grid: (tokens / 64, rows / 64, experts). Shared: 16 KiB.

    With `order` and `starts` the rows of y that expert e gives are order[starts[e]] up to
    order[starts[e + 1] - 1].
    """
    unit_blocks, unit_bytes, lane_sources = steps.unit_blocks, steps.unit_bytes, steps.sources
    find_sources, add_unit = steps.find_sources, steps.add_unit

    @kernel(MANY_THREADS, 2)
    def product(op: ManyProduct) -> None:
        tile, shape = tile_of_warp(op), op.shape
        if tile.first >= tile.count or tile.panel * PANEL_ROWS >= shape.rows:
            return
        sources = local.array(lane_sources, i32)
        find_sources(sources, tile, op)
        panel = tile.expert * shape.matrix_bytes + tile.panel * shape.panel_bytes
        place = op.matrix.weights + panel
        totals, sums = local.array(SUMS, f32), local.array(SUMS, f32)
        clear(totals, SUMS)
        for chain in range(CHAINS):
            clear(sums, SUMS)
            for unit in range(chain, (shape.blocks + unit_blocks - 1) // unit_blocks, CHAINS):
                add_unit(sums, place + unit * unit_bytes, unit, op, sources)
            for n in range(SUMS):
                totals[n] = plus(totals[n], sums[n])
        store_tile(totals, tile, op)

    return product


def tile_of_warp(op: ManyProduct) -> Tile:
    panel = i32(block_y() * 2 + (warp() & 1))
    first = i32(block_x() * TILE_TOKENS + (warp() >> 1) * WARP_TOKENS)
    expert, start, count = block_z(), i32(0), i32(op.count)
    if op.order != 0:
        start = load_int(op.starts + 4 * expert)
        count = i32(load_int(op.starts + 4 * expert + 4) - start)
    return Tile(panel, first, count, expert, start)


def token_of(index: Int, tile: Tile, op: ManyProduct) -> Int:
    """Which row of y the index-th of a matrix is; beyond the last one it is that again."""
    index = min(index, tile.count - 1)
    if op.order != 0:
        return load_int(op.order + 4 * (tile.start + index))
    return i32(index)


def store_tile(totals, tile: Tile, op: ManyProduct) -> None:
    mine, rows = shared_memory() + 4 * thread_x(), op.shape.rows
    for n in range(SUMS):  # registers can be counted through by an unrolled loop only
        shared_store_float(mine + n * 4 * MANY_THREADS, totals[n])
    for n in range(SUMS):
        row = tile.panel * PANEL_ROWS + n // 16 * 16 + c_row(n)
        column = i32(tile.first + n // 4 % 4 * 8 + c_column(n))
        if row < rows and column < tile.count:
            token = token_of(column, tile, op)
            total = shared_load_float(mine + n * 4 * MANY_THREADS)
            total = scaled(total, op.matrix, tile.expert, row, rows)
            store_result(total, op.y, token * rows + row, op.added, op.gate)
