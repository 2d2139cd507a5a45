"""Products with packed weights: one kernel serves one token and many, with the same sums.

The threads share a weight's panels, and go with two panels at a time through all tokens, a tile of
them at once. How a row's products are summed depends on its length alone: not on tokens or
threads. The operands are named in layout.py.
"""

from ops.cpu import layout as at
from ops.cpu.kernels.addresses import (
    pair,
    row,
    rows_of_listed_tokens,
    rows_of_tokens,
    tokens_at_once,
)
from ops.cpu.kernels.compiler import device
from ops.cpu.kernels.memory import claim, load_f32, load_i32, load_i64, part_size
from ops.cpu.kernels.simd import (
    add,
    first_panel,
    load_rows,
    load_tile,
    multiply,
    second_panel,
    store_rows,
    store_tile,
    zeros,
)
from ops.cpu.kernels.simd import load_f32 as load_floats
from ops.cpu.layout import (
    ACTIVATION_BYTES,
    PANEL_ROWS,
    PART_BYTES,
    PARTS_AT_ONCE,
    TOTAL_BYTES,
    UNPACKED_BYTES,
)


@device
def parts_of(total, size):
    return (total + size - 1) // size


@device
def finished(total, bias, factor, expert, first, outputs):
    """factor · total + bias, for the 16 rows from `first` on of an expert's matrix."""
    if factor != 0:
        total = multiply(total, load_f32(factor, expert))
    if bias != 0:
        total = add(total, load_floats(bias + 4 * (expert * outputs + first)))
    return total


@device
def write(op, p, value, y, added):
    """Puts a panel's results into the tokens' rows, with what is added to them."""
    offset, left = 4 * PANEL_ROWS * p, load_i64(op, at.WEIGHT_ROWS) - PANEL_ROWS * p
    if load_i64(op, at.ADDED) != 0:
        value = add(value, load_rows(added, offset))
    store_rows(y, offset, value, left)


class Plain:
    """Panels p and p + half of a matrix: both halves are read in their order, as memory likes it.

    Of an odd number the one in the middle is taken twice.
    """

    panels = 2  # of one matrix at once

    def __init__(self):
        @device
        def second(op, p):
            panels = parts_of(load_i64(op, at.WEIGHT_ROWS), PANEL_ROWS)
            return p + panels // 2

        @device
        def weights(op, expert, p):
            matrix = load_i64(op, at.WEIGHT) + expert * load_i64(op, at.MATRIX_BYTES)
            size = load_i64(op, at.PANEL_BYTES)
            return pair(matrix + p * size, matrix + second(op, p) * size)

        @device
        def finish(op, expert, p, total, y, added):
            bias, factor = load_i64(op, at.BIAS), load_i64(op, at.FACTOR)
            outputs, q = load_i64(op, at.WEIGHT_ROWS), second(op, p)
            value = finished(first_panel(total), bias, factor, expert, PANEL_ROWS * p, outputs)
            write(op, p, value, y, added)
            value = finished(second_panel(total), bias, factor, expert, PANEL_ROWS * q, outputs)
            write(op, q, value, y, added)

        self.weights, self.finish = weights, finish


class Gated:
    """The same panel of two matrices: activation(gate, up)."""

    panels = 1

    def __init__(self, activation):
        @device
        def weights(op, expert, p):
            offset = expert * load_i64(op, at.MATRIX_BYTES) + p * load_i64(op, at.PANEL_BYTES)
            return pair(load_i64(op, at.WEIGHT) + offset, load_i64(op, at.UP_WEIGHT) + offset)

        @device
        def finish(op, expert, p, total, y, added):
            outputs, first = load_i64(op, at.WEIGHT_ROWS), PANEL_ROWS * p
            bias, factor = load_i64(op, at.BIAS), load_i64(op, at.FACTOR)
            gate = finished(first_panel(total), bias, factor, expert, first, outputs)
            bias, factor = load_i64(op, at.UP_BIAS), load_i64(op, at.UP_FACTOR)
            up = finished(second_panel(total), bias, factor, expert, first, outputs)
            write(op, p, activation(gate, up), y, added)

        self.weights, self.finish = weights, finish


class InOrder:
    """Row t of x gives row t of y."""

    def __init__(self):
        @device
        def one(op, base, stride, t):
            return row(base + t * stride)

        @device
        def tile(op, base, stride, t):
            return rows_of_tokens(base + t * stride, stride)

        self.one_x = self.one_y = one
        self.tile_x = self.tile_y = tile


class Listed:
    """Entry t of a list says which row of y is meant, and with it which row of x."""

    def __init__(self):
        @device
        def one_x(op, base, stride, t):
            number = load_i32(load_i64(op, at.GROUPED_ROWS), t)
            return row(base + number // load_i64(op, at.ROWS_PER_X) * stride)

        @device
        def one_y(op, base, stride, t):
            return row(base + load_i32(load_i64(op, at.GROUPED_ROWS), t) * stride)

        @device
        def tile_x(op, base, stride, t):
            numbers, shared = load_i64(op, at.GROUPED_ROWS) + 4 * t, load_i64(op, at.ROWS_PER_X)
            return rows_of_listed_tokens(base, stride, numbers, shared)

        @device
        def tile_y(op, base, stride, t):
            numbers, alone = load_i64(op, at.GROUPED_ROWS) + 4 * t, 1
            return rows_of_listed_tokens(base, stride, numbers, alone)

        self.one_x, self.one_y, self.tile_x, self.tile_y = one_x, one_y, tile_x, tile_y


def _rows(access):
    """Addresses of x, y and what is added, for a tile of rows and for one."""
    one_x, one_y, tile_x, tile_y = access.one_x, access.one_y, access.tile_x, access.tile_y

    @device
    def tile_ends(op, t):
        stride = 4 * load_i64(op, at.WEIGHT_ROWS)
        y, added = load_i64(op, at.Y), load_i64(op, at.ADDED)
        return tile_y(op, y, stride, t), tile_y(op, added, stride, t)

    @device
    def tile_starts(op, t):
        return tile_x(op, load_i64(op, at.X), load_i64(op, at.X_ROW_BYTES), t)

    @device
    def one_end(op, t):
        stride = 4 * load_i64(op, at.WEIGHT_ROWS)
        y, added = load_i64(op, at.Y), load_i64(op, at.ADDED)
        return one_y(op, y, stride, t), one_y(op, added, stride, t)

    @device
    def one_start(op, t):
        return one_x(op, load_i64(op, at.X), load_i64(op, at.X_ROW_BYTES), t)

    return tile_starts, tile_ends, one_start, one_end


def whole_panels(panel, matrices, access):
    """run(op, expert, p, first, last, scratch): two panels with rows first .. last - 1."""
    weights, finish = matrices.weights, matrices.finish
    tile_starts, tile_ends, one_start, one_end = _rows(access)

    @device
    def run(op, expert, p, first, last, scratch):
        w, columns = weights(op, expert, p), load_i64(op, at.COLUMNS)
        tiled = last - (last - first) % tokens_at_once()
        for t in range(first, tiled, tokens_at_once()):
            y, added = tile_ends(op, t)
            finish(op, expert, p, panel(w, tile_starts(op, t), columns), y, added)
        for t in range(tiled, last):
            y, added = one_end(op, t)
            finish(op, expert, p, panel(w, one_start(op, t), columns), y, added)

    return run


def in_parts(parts, matrices, access):
    """As `whole_panels`: tiles of rows meet a stretch of unpacked parts after the other.

    The scratch holds the parts, then the totals of all tiles.
    """
    panel, unpack, add_parts = parts.panel, parts.unpack, parts.add
    weights, finish = matrices.weights, matrices.finish
    tile_starts, tile_ends, one_start, one_end = _rows(access)

    @device
    def tiles(op, w, first, tiled, scratch):
        """The totals of all tiles."""
        parts, totals = load_i64(op, at.COLUMNS) // 32, scratch + UNPACKED_BYTES
        unpacked = pair(scratch, scratch + PARTS_AT_ONCE * PART_BYTES)
        for part in range(0, parts, PARTS_AT_ONCE):
            count = min(PARTS_AT_ONCE, parts - part)
            unpack(w, part, part + count, unpacked)
            for t in range(first, tiled, tokens_at_once()):
                x, place = tile_starts(op, t), totals + TOTAL_BYTES * (t - first)
                total = zeros(w, x) if part == 0 else load_tile(w, x, place)
                total = add_parts(unpacked, count, x, part * ACTIVATION_BYTES, total)
                store_tile(place, total)

    @device
    def run(op, expert, p, first, last, scratch):
        w, columns = weights(op, expert, p), load_i64(op, at.COLUMNS)
        tiled = last - (last - first) % tokens_at_once()
        if tiled > first:
            tiles(op, w, first, tiled, scratch)
        for t in range(first, tiled, tokens_at_once()):
            y, added = tile_ends(op, t)
            place = scratch + UNPACKED_BYTES + TOTAL_BYTES * (t - first)
            finish(op, expert, p, load_tile(w, tile_starts(op, t), place), y, added)
        for t in range(tiled, last):
            y, added = one_end(op, t)
            finish(op, expert, p, panel(w, one_start(op, t), columns), y, added)

    return run


def _dense(run, panels):
    """(R, N) x (rows, N) -> (rows, R)."""

    def kernel(op, step, thread, threads):
        count = load_i64(step, load_i64(op, at.COUNT_FIELD)) * load_i64(op, at.COUNT_MULTIPLE)
        scratch = load_i64(op, at.SCRATCH) + load_i64(op, at.SCRATCH_BYTES) * thread
        items = parts_of(load_i64(op, at.WEIGHT_ROWS), PANEL_ROWS * panels)
        size = part_size(items, threads)
        first = claim(op, size)
        while first < items:
            for item in range(first, min(first + size, items)):
                run(op, 0, item, 0, count, scratch)
            first = claim(op, size)

    return kernel


def _grouped(run, panels):
    """(E, R, N) x (T or T·k, N) -> (T·k, R): each expert with all rows that chose it."""

    def kernel(op, step, thread, threads):
        scratch = load_i64(op, at.SCRATCH) + load_i64(op, at.SCRATCH_BYTES) * thread
        items = parts_of(load_i64(op, at.WEIGHT_ROWS), PANEL_ROWS * panels)
        size, starts = part_size(items, threads), load_i64(op, at.GROUP_STARTS)
        begin = claim(op, size)
        while begin < items:
            for expert in range(load_i64(op, at.EXPERTS)):
                first, last = load_i32(starts, expert), load_i32(starts, expert + 1)
                if first < last:
                    for item in range(begin, min(begin + size, items)):
                        run(op, expert, item, first, last, scratch)
            begin = claim(op, size)

    return kernel


def dense(loop, panel, matrices):
    return _dense(loop(panel, matrices, InOrder()), matrices.panels)


def grouped(loop, panel, matrices):
    return _grouped(loop(panel, matrices, Listed()), matrices.panels)
