"""Products for few tokens: a thread block computes a panel, each of its warps sums one chain."""

from collections.abc import Callable
from dataclasses import dataclass

from ops.cuda.kernels.activations import store_quantized
from ops.cuda.kernels.formats.weights import PANEL_ROWS
from ops.cuda.kernels.intrinsics.arithmetic import plus
from ops.cuda.kernels.intrinsics.fragments import clear
from ops.cuda.kernels.intrinsics.kernel import Kernel, kernel
from ops.cuda.kernels.intrinsics.memory import load_float, load_int, shared_load_float, store_float
from ops.cuda.kernels.intrinsics.primitives import WARP, Address, Float, Int, f32, i32, local
from ops.cuda.kernels.intrinsics.warps import barrier, block_x, block_y, lane, shared_memory, warp
from ops.cuda.kernels.operands import FewProduct, JoinedOutputs
from ops.cuda.kernels.products.epilogue import gated, scaled

CHAINS = 16
FEW_THREADS = CHAINS * WARP
COLUMN_BYTES = 4 * PANEL_ROWS  # of shared memory, for a chain's sums of a token


@dataclass(frozen=True, slots=True)
class FewSteps:
    """How a weight format is multiplied with up to `columns` tokens, a unit at a time.

    find_sources(sources, first, taken, op): offsets in x of the tokens first .. first + taken - 1,
        into a local array of `sources` int32.
    add_unit(totals, op, offset, unit, sources): a unit of the panel at `offset` of the matrix, or
        of both matrices with `second`, is added to a lane's `totals`.
    store_totals(totals, place): a chain's totals to shared memory, (matrices, columns, 32 rows).
    """

    columns: int
    second: bool
    unit_blocks: int
    unit_bytes: int
    totals: int
    sources: int
    find_sources: Callable[..., None]
    add_unit: Callable[..., None]
    store_totals: Callable[..., None]


def few(steps: FewSteps, blocks: int) -> Kernel:
    """Grid: (tokens / columns, panels); with experts one row of y for each block along x.

    Blocks that follow each other read the same weights. `blocks` should fit on a processor.
    Shared: columns · 16 · 128 bytes a matrix.
    """
    columns, second, unit_blocks = steps.columns, steps.second, steps.unit_blocks
    unit_bytes, lane_totals, lane_sources = steps.unit_bytes, steps.totals, steps.sources
    find_sources, add_unit, store_totals = steps.find_sources, steps.add_unit, steps.store_totals
    chain_bytes = COLUMN_BYTES * columns * (2 if second else 1)

    def sum_of_chains(place: Int) -> Float:
        total = f32(0)
        for n in range(CHAINS):
            total = plus(total, shared_load_float(place + n * chain_bytes))
        return total

    @kernel(FEW_THREADS, blocks)
    def product(op: FewProduct) -> None:
        chain, panel, taken, expert = warp(), block_y(), i32(columns), i32(0)
        if op.ids != 0:
            taken = i32(1)
            expert = load_int(op.ids + 4 * block_x())
        first = i32(block_x() * taken)
        sources, totals = local.array(lane_sources, i32), local.array(lane_totals, f32)
        find_sources(sources, first, taken, op)
        clear(totals, lane_totals)
        offset = expert * op.shape.matrix_bytes + panel * op.shape.panel_bytes
        for unit in range(chain, (op.shape.blocks + unit_blocks - 1) // unit_blocks, CHAINS):
            add_unit(totals, op, offset + unit * unit_bytes, i32(unit), sources)
        shared = shared_memory()
        store_totals(totals, shared + chain * chain_bytes)
        barrier()
        column, row = chain, panel * PANEL_ROWS + lane()
        if column < taken and first + column < op.count and row < op.shape.rows:
            place = shared + COLUMN_BYTES * column + 4 * lane()
            total = scaled(sum_of_chains(place), op.matrix, expert, row, op.shape.rows)
            if second:
                up = sum_of_chains(place + COLUMN_BYTES * columns)
                total = gated(op.gate, total, scaled(up, op.up, expert, row, op.shape.rows))
            store_few(total, i32(first + column), i32(row), op)

    return product


def store_few(total: Float, token: Int, row: Int, op: FewProduct) -> None:
    """A warp has a panel's 32 rows: one block of activations, if they are quantized."""
    rows = op.shape.rows
    if op.quantized != 0:
        place = op.quantized + token * (rows + rows // 2)
        store_quantized(place, rows, row // PANEL_ROWS, total)
    else:
        if op.added != 0:
            total = plus(total, load_float(op.added + 4 * (token * rows + row)))
        store_float(output_place(op.outputs, rows, token, row), total)


def output_place(outputs: JoinedOutputs, rows: Int, token: Int, row: Int) -> Address:
    """Where a row's result goes, of a matrix that may be up to three in one."""
    if row < outputs.rows_first:
        return outputs.y + 4 * (token * outputs.rows_first + row)
    row = row - outputs.rows_first
    if row < outputs.rows_second:
        return outputs.y_second + 4 * (token * outputs.rows_second + row)
    row = row - outputs.rows_second
    return outputs.y_third + 4 * (token * (rows - outputs.rows_first - outputs.rows_second) + row)
