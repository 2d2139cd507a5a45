"""Products with packed weights: one kernel serves one token and many, with the same sums.

Each thread takes a stretch of panels and goes with each of them through all tokens, a tile of them
at a time. How a row's products are summed depends on its length alone: not on tokens or threads.
The operands are named in layout.py.
"""


from ops.cpu import layout as at
from ops.cpu.kernels.compiler import device
from ops.cpu.kernels.memory import claim, load_f32, load_i32, load_i64, part_size
from ops.cpu.kernels.simd import (
    add,
    load_f32 as load_floats,
    load_rows,
    multiply,
    row,
    store_rows,
    tile_of_rows,
    tile_of_rows_listed,
    tile_size,
)
from ops.cpu.layout import PANEL_ROWS


@device
def finished(total, bias, factor, expert, first, outputs):
    """factor · total + bias, for the 16 rows from `first` on of an expert's matrix."""
    if factor != 0:
        total = multiply(total, load_f32(factor, expert))
    if bias != 0:
        total = add(total, load_floats(bias + 4 * (expert * outputs + first)))
    return total


def plain(panel):
    """compute(op, expert, p, x) -> panel p's results, a register for each token at x."""

    @device
    def compute(op, expert, p, x):
        matrix = load_i64(op, at.WEIGHT) + expert * load_i64(op, at.MATRIX_BYTES)
        w = matrix + p * load_i64(op, at.PANEL_BYTES)
        total = panel(w, x, load_i64(op, at.COLUMNS))
        bias, factor, outputs = (
            load_i64(op, at.BIAS),
            load_i64(op, at.FACTOR),
            load_i64(op, at.WEIGHT_ROWS),
        )
        return finished(total, bias, factor, expert, PANEL_ROWS * p, outputs)

    return compute


def gated(panel, activation):
    """As `plain` with two matrices: activation(gate, up)."""

    @device
    def compute(op, expert, p, x):
        offset = expert * load_i64(op, at.MATRIX_BYTES) + p * load_i64(op, at.PANEL_BYTES)
        columns, outputs = load_i64(op, at.COLUMNS), load_i64(op, at.WEIGHT_ROWS)
        first = PANEL_ROWS * p
        gate = panel(load_i64(op, at.WEIGHT) + offset, x, columns)
        bias, factor = load_i64(op, at.BIAS), load_i64(op, at.FACTOR)
        gate = finished(gate, bias, factor, expert, first, outputs)
        up = panel(load_i64(op, at.UP_WEIGHT) + offset, x, columns)
        bias, factor = load_i64(op, at.UP_BIAS), load_i64(op, at.UP_FACTOR)
        up = finished(up, bias, factor, expert, first, outputs)
        return activation(gate, up)

    return compute


@device
def write(op, p, value, y, added):
    """Puts a panel's results into the tokens' rows, with what is added to them."""
    offset, left = 4 * PANEL_ROWS * p, load_i64(op, at.WEIGHT_ROWS) - PANEL_ROWS * p
    if load_i64(op, at.ADDED) != 0:
        value = add(value, load_rows(added, offset))
    store_rows(y, offset, value, left)


def dense(compute):
    """(R, N) x (rows, N) -> (rows, R)."""

    def kernel(op, step, thread, threads):
        outputs = load_i64(op, at.WEIGHT_ROWS)
        panels, y_bytes = (outputs + PANEL_ROWS - 1) // PANEL_ROWS, 4 * outputs
        count = load_i64(step, load_i64(op, at.COUNT_FIELD)) * load_i64(op, at.COUNT_MULTIPLE)
        x, y, added = load_i64(op, at.X), load_i64(op, at.Y), load_i64(op, at.ADDED)
        x_bytes, tiled = load_i64(op, at.X_ROW_BYTES), count - count % tile_size()
        size = part_size(panels, threads)
        first = claim(op, size)
        while first < panels:
            for p in range(first, min(first + size, panels)):
                for t in range(0, tiled, tile_size()):
                    value = compute(op, 0, p, tile_of_rows(x + t * x_bytes, x_bytes))
                    to, plus = tile_of_rows(y + t * y_bytes, y_bytes), added + t * y_bytes
                    write(op, p, value, to, tile_of_rows(plus, y_bytes))
                for t in range(tiled, count):
                    value = compute(op, 0, p, row(x + t * x_bytes))
                    write(op, p, value, row(y + t * y_bytes), row(added + t * y_bytes))
            first = claim(op, size)

    return kernel


def grouped(compute):
    """(E, R, N) x (T or T·k, N) -> (T·k, R): each expert with all rows that chose it."""

    @device
    def one_row(op, expert, p, number):
        x_bytes, y_bytes = load_i64(op, at.X_ROW_BYTES), 4 * load_i64(op, at.WEIGHT_ROWS)
        x = load_i64(op, at.X) + number // load_i64(op, at.ROWS_PER_X) * x_bytes
        to = row(load_i64(op, at.Y) + number * y_bytes)
        write(op, p, compute(op, expert, p, row(x)), to, to)

    @device
    def one_tile(op, expert, p, numbers):
        x_bytes, y_bytes = load_i64(op, at.X_ROW_BYTES), 4 * load_i64(op, at.WEIGHT_ROWS)
        per_x, one = load_i64(op, at.ROWS_PER_X), 1
        x = tile_of_rows_listed(load_i64(op, at.X), x_bytes, numbers, per_x)
        to = tile_of_rows_listed(load_i64(op, at.Y), y_bytes, numbers, one)
        write(op, p, compute(op, expert, p, x), to, to)

    def kernel(op, step, thread, threads):
        panels = (load_i64(op, at.WEIGHT_ROWS) + PANEL_ROWS - 1) // PANEL_ROWS
        order, starts = load_i64(op, at.GROUPED_ROWS), load_i64(op, at.GROUP_STARTS)
        for expert in range(load_i64(op, at.EXPERTS)):
            first, last = load_i32(starts, expert), load_i32(starts, expert + 1)
            tiled = last - (last - first) % tile_size()
            for p in range(panels * thread // threads, panels * (thread + 1) // threads):
                for n in range(first, tiled, tile_size()):
                    one_tile(op, expert, p, order + 4 * n)
                for n in range(tiled, last):
                    one_row(op, expert, p, load_i32(order, n))

    return kernel


