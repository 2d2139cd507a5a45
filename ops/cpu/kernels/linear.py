"""Products with packed weights: one kernel serves one token and many, with the same sums.

The threads share a weight's panels. Each takes two panels at a time through all tokens, tile by
tile. The last tiles have a row fewer, where that fits: 8 rows are two of 4, not of 5. The order in
which a row is summed depends on its length alone, not on tokens or threads. layout.py names the
operands.
"""

from ops.cpu import layout as operand
from ops.cpu.kernels.formats.panels import block_panel, float_panel, prefetch_of
from ops.cpu.kernels.formats.parts import NEXT_PANEL, PairParts, Parts
from ops.cpu.kernels.formats.records import Floats
from ops.cpu.kernels.simd.addresses import FEWER_TOKENS, ONE_TOKEN, TOKENS, pair
from ops.cpu.kernels.simd.compiler import device, inlined
from ops.cpu.kernels.simd.memory import (
    claim,
    claim_range,
    load_f32,
    load_i32,
    load_i64,
    part_size,
    parts_of,
)
from ops.cpu.kernels.simd.operations import (
    add,
    first_panel,
    load_rows,
    multiply,
    prefetch_panels,
    second_panel,
    store_rows,
)
from ops.cpu.kernels.simd.operations import load_f32 as load_floats
from ops.cpu.kernels.simd.tiles import load_tile
from ops.cpu.layout import (
    ACTIVATION_BYTES,
    LINE,
    PANEL_ROWS,
    PARTS_AT_ONCE,
    TOTAL_BYTES,
    UNPACKED_BYTES,
)

MANY = 32  # rows, for which it may pay to unpack weights once

tokens_at_once = TOKENS.size
fetch_line = prefetch_panels(LINE)


@device
def finished(total, bias, factor, expert, first, outputs):
    """factor · total + bias, for 16 rows of an expert's matrix, from `first` on."""
    if factor != 0:
        total = multiply(total, load_f32(factor, expert))
    if bias != 0:
        total = add(total, load_floats(bias + 4 * (expert * outputs + first)))
    return total


@device
def write(op, p, value, y, added):
    """Writes a panel's results to the tokens' rows, plus the rows that are added."""
    offset, left = 4 * PANEL_ROWS * p, load_i64(op, operand.WEIGHT_ROWS) - PANEL_ROWS * p
    if load_i64(op, operand.ADDED) != 0:
        value = add(value, load_rows(added, offset))
    store_rows(y, offset, value, left)


class Plain:
    """Panels p and p + half of a matrix: so each half is read sequentially.

    With an odd number of panels the middle one is computed twice.
    """

    panels = 2  # of one matrix per item of work

    def __init__(self):
        @device
        def second(op, p):
            panels = parts_of(load_i64(op, operand.WEIGHT_ROWS), PANEL_ROWS)
            return p + panels // 2

        @device
        def weights(op, expert, p):
            matrix = load_i64(op, operand.WEIGHT) + expert * load_i64(op, operand.MATRIX_BYTES)
            size = load_i64(op, operand.PANEL_BYTES)
            return pair(matrix + p * size, matrix + second(op, p) * size)

        @device
        def finish(op, expert, p, total, y, added):
            bias, factor = load_i64(op, operand.BIAS), load_i64(op, operand.FACTOR)
            outputs, q = load_i64(op, operand.WEIGHT_ROWS), second(op, p)
            value = finished(first_panel(total), bias, factor, expert, PANEL_ROWS * p, outputs)
            write(op, p, value, y, added)
            value = finished(second_panel(total), bias, factor, expert, PANEL_ROWS * q, outputs)
            write(op, q, value, y, added)

        self.weights, self.finish = weights, finish


class Gated:
    """Panel p of two matrices: activation(gate, up)."""

    panels = 1

    def __init__(self, activation):
        @device
        def weights(op, expert, p):
            matrix, panel = load_i64(op, operand.MATRIX_BYTES), load_i64(op, operand.PANEL_BYTES)
            gate, up = load_i64(op, operand.WEIGHT), load_i64(op, operand.UP_WEIGHT)
            offset = expert * matrix + p * panel
            return pair(gate + offset, up + offset)

        @device
        def finish(op, expert, p, total, y, added):
            outputs, first = load_i64(op, operand.WEIGHT_ROWS), PANEL_ROWS * p
            bias, factor = load_i64(op, operand.BIAS), load_i64(op, operand.FACTOR)
            gate = finished(first_panel(total), bias, factor, expert, first, outputs)
            bias, factor = load_i64(op, operand.UP_BIAS), load_i64(op, operand.UP_FACTOR)
            up = finished(second_panel(total), bias, factor, expert, first, outputs)
            write(op, p, activation(gate, up), y, added)

        self.weights, self.finish = weights, finish


def in_order(tile):
    """Row t of x gives row t of y."""
    some = tile.some

    @device
    def rows(op, base, stride, t, last):
        return some(base + t * stride, stride, last - t)

    return rows, rows


def indexed(tile):
    """Entry t of a list is a row of y; divided by the rows per x, the row of x."""
    rows = tile.indexed

    @device
    def rows_of_x(op, base, stride, t, last):
        numbers = load_i64(op, operand.GROUPED_ROWS) + 4 * t
        return rows(base, stride, numbers, load_i64(op, operand.ROWS_PER_X), last - t)

    @device
    def rows_of_y(op, base, stride, t, last):
        return rows(base, stride, load_i64(op, operand.GROUPED_ROWS) + 4 * t, 1, last - t)

    return rows_of_x, rows_of_y


def addresses(access, tile):
    """Addresses of a tile's rows from row t on: of x; of y and of the rows that are added.

    Where fewer are left, row last - 1 is repeated: computed again, with the same result.
    """
    rows_of_x, rows_of_y = access(tile)

    @device
    def starts(op, t, last):
        return rows_of_x(op, load_i64(op, operand.X), load_i64(op, operand.X_ROW_BYTES), t, last)

    @device
    def ends(op, t, last):
        stride = 4 * load_i64(op, operand.WEIGHT_ROWS)
        y, added = load_i64(op, operand.Y), load_i64(op, operand.ADDED)
        return rows_of_y(op, y, stride, t, last), rows_of_y(op, added, stride, t, last)

    return starts, ends


def _tiled(tile, panel, matrices, access):
    """run(op, expert, p, next_p, w, first, last, number, tiles): rows first .. last - 1, by tiles.

    These, counted from `number` on, are some of the tiles that go through panels p.
    """
    size, finish = tile.size, matrices.finish
    starts, ends = addresses(access, tile)

    @device
    def run(op, expert, p, next_p, w, first, last, number, tiles):
        columns, panel_bytes = load_i64(op, operand.COLUMNS), load_i64(op, operand.PANEL_BYTES)
        distance = (next_p - p) * panel_bytes
        for t in range(first, last, size()):
            y, added = ends(op, t, last)
            ahead = prefetch_of(number, tiles, panel_bytes, distance)
            finish(op, expert, p, panel(w, starts(op, t, last), columns, ahead), y, added)
            number += 1

    return run


@device
def whole_tiles(count):
    """How many whole tiles the rows go through; the rest goes through tiles with a row fewer."""
    tiles = parts_of(count, tokens_at_once())
    missing = tiles * tokens_at_once() - count
    return max(0, tiles - missing)


def whole_panels(panel, matrices, access):
    """run(op, expert, p, next_p, first, last, scratch): two panels times rows first .. last - 1.

    The thread's next panels are those of next_p.
    """
    weights, sizes = matrices.weights, (TOKENS, FEWER_TOKENS, ONE_TOKEN)
    tiles, fewer, one = (_tiled(tile, panel, matrices, access) for tile in sizes)

    @device
    def run(op, expert, p, next_p, first, last, scratch):
        w = weights(op, expert, p)
        if last - first == 1:
            one(op, expert, p, next_p, w, first, last, 0, 1)
        else:
            count, whole = parts_of(last - first, tokens_at_once()), whole_tiles(last - first)
            middle = first + whole * tokens_at_once()
            tiles(op, expert, p, next_p, w, first, middle, 0, count)
            fewer(op, expert, p, next_p, w, middle, last, whole, count)

    return run


def _totalled(tile, parts, matrices, access):
    """add(op, scratch, part, count, first, t, last, ahead, share): adds `count` unpacked parts,
    from `part` on, times rows t .. last - 1 to their totals; finish(op, expert, p, w, first, t,
    last, scratch) writes the results.

    The scratch holds the unpacked parts, then the totals of the rows from `first` on. Each tile
    prefetches `share` bytes of each panel, from `ahead` on; `add` returns where it ended.
    """
    add_parts, write, strided, size = parts.add, matrices.finish, tile.strided, tile.size
    starts, ends = addresses(access, tile)

    @device
    def totals(scratch, n):
        return strided(scratch + UNPACKED_BYTES + TOTAL_BYTES * n, TOTAL_BYTES)

    @inlined
    def add(op, scratch, part, count, first, t, last, ahead, share):
        offset = part * ACTIVATION_BYTES
        for row in range(t, last, size()):
            for line in range(0, share, LINE):
                fetch_line(ahead, line)
            ahead = ahead + share
            x, place = starts(op, row, last), totals(scratch, row - first)
            add_parts(scratch, count, x, offset, place, part == 0)
        return ahead

    @inlined
    def finish(op, expert, p, w, first, t, last, scratch):
        for row in range(t, last, size()):
            y, added = ends(op, row, last)
            write(op, expert, p, load_tile(totals(scratch, row - first), w), y, added)

    return add, finish


def _unpacked(parts, matrices, access):
    """run(op, expert, p, next_p, first, last, scratch): some parts are unpacked at a time, and
    multiplied by all tiles of rows, which meanwhile prefetch the parts that follow.

    There are enough rows for one tile.
    """
    unpack, weights = parts.unpack, matrices.weights
    add, finish = _totalled(TOKENS, parts, matrices, access)
    add_fewer, finish_fewer = _totalled(FEWER_TOKENS, parts, matrices, access)

    @device
    def run(op, expert, p, next_p, first, last, scratch):
        w, next_w = weights(op, expert, p), weights(op, expert, next_p)
        middle = first + whole_tiles(last - first) * tokens_at_once()
        parts = load_i64(op, operand.COLUMNS) // 32
        part_bytes = load_i64(op, operand.PANEL_BYTES) // parts
        tiles = parts_of(last - first, tokens_at_once())
        share = parts_of(PARTS_AT_ONCE * part_bytes, LINE * tiles) * LINE
        unpacked = pair(scratch, scratch + NEXT_PANEL)
        for part in range(0, parts, PARTS_AT_ONCE):
            count, after = min(PARTS_AT_ONCE, parts - part), part + PARTS_AT_ONCE
            ahead = w + after * part_bytes if after < parts else next_w + 0
            unpack(w, part, part + count, unpacked)
            ahead = add(op, scratch, part, count, first, first, middle, ahead, share)
            add_fewer(op, scratch, part, count, first, middle, last, ahead, share)
        finish(op, expert, p, w, first, first, middle, scratch)
        finish_fewer(op, expert, p, w, first, middle, last, scratch)

    return run


def _unpacked_from(least, panel, parts, matrices, access):
    """As `whole_panels`, but parts are unpacked once for least() rows and more."""
    few, many = whole_panels(panel, matrices, access), _unpacked(parts, matrices, access)

    @device
    def run(op, expert, p, next_p, first, last, scratch):
        if last - first < least():
            few(op, expert, p, next_p, first, last, scratch)
        else:
            many(op, expert, p, next_p, first, last, scratch)

    return run


def in_parts(parts, matrices, access):
    """As `whole_panels`, but parts are unpacked once for more than two tiles of rows."""
    least = device(lambda: 2 * tokens_at_once() + 1)
    return _unpacked_from(least, parts.panel, parts, matrices, access)


def in_pairs(kernels, matrices, access):
    """As `in_parts`, for a rung that multiplies pairs of rows with pairs of tokens."""
    parts, least = PairParts(kernels), device(lambda: tokens_at_once() + 1)
    return _unpacked_from(least, parts.panel, parts, matrices, access)


def in_parts_if_many(kernels, matrices, access):
    """As `in_parts`, for a format with blocks, which are unpacked faster."""
    least = device(lambda: MANY)
    return _unpacked_from(least, block_panel(kernels), Parts(kernels), matrices, access)


def loop_of(kernels):
    """A format's loop, and the panel product or parts that the loop takes."""
    if isinstance(kernels, Floats):
        return whole_panels, float_panel(kernels)
    if kernels.block is not None:
        return whole_panels, block_panel(kernels)
    return in_parts, Parts(kernels)


def share_panels(run, panels):
    """Threads claim items of `panels` panels; run(op, step, first, last, scratch) does them."""

    def kernel(op, step, thread, threads):
        scratch = load_i64(op, operand.SCRATCH) + load_i64(op, operand.SCRATCH_BYTES) * thread
        items = parts_of(load_i64(op, operand.WEIGHT_ROWS), PANEL_ROWS * panels)
        size = part_size(items, threads)
        first = claim(op, size)
        while first < items:
            run(op, step, first, min(first + size, items), scratch)
            first = claim(op, size)

    return kernel


def dense(loop, panel, matrices):
    """(R, N) x (rows, N) -> (rows, R).

    Threads claim items of panels. They claim again before the last one, so that they know what to
    prefetch: the next one in memory may be another thread's.
    """
    run, panels = loop(panel, matrices, in_order), matrices.panels

    def kernel(op, step, thread, threads):
        scratch = load_i64(op, operand.SCRATCH) + load_i64(op, operand.SCRATCH_BYTES) * thread
        items = parts_of(load_i64(op, operand.WEIGHT_ROWS), PANEL_ROWS * panels)
        field = load_i64(op, operand.COUNT_FIELD)
        count = load_i64(step, field) * load_i64(op, operand.COUNT_MULTIPLE)
        item, last = claim_range(op, items, threads)
        while item < items:
            following = item + 1
            if following == last:
                following, last = claim_range(op, items, threads)
            run(op, 0, item, following if following < items else item, 0, count, scratch)
            item = following

    return kernel


@device
def experts_with_rows(starts, experts):
    count = 0
    for expert in range(experts):
        count += load_i32(starts, expert) < load_i32(starts, expert + 1)
    return count


def share_experts(run, panels):
    """As `share_panels`, of all experts that have rows, one after the other.

    So each thread reads long stretches of memory. run(op, expert, first, last, begin, end,
    scratch) does items first .. last - 1 of an expert for the rows begin .. end - 1.
    """

    def kernel(op, step, thread, threads):
        scratch = load_i64(op, operand.SCRATCH) + load_i64(op, operand.SCRATCH_BYTES) * thread
        starts, experts = load_i64(op, operand.GROUP_STARTS), load_i64(op, operand.EXPERTS)
        items = parts_of(load_i64(op, operand.WEIGHT_ROWS), PANEL_ROWS * panels)
        size = min(items, part_size(items * experts_with_rows(starts, experts), threads))
        first = claim(op, size)
        last, before = first + size, 0
        for expert in range(experts):
            begin, end = load_i32(starts, expert), load_i32(starts, expert + 1)
            stop = before + items if begin < end else before
            while first < stop:
                here = min(last, stop)
                run(op, expert, first - before, here - before, begin, end, scratch)
                first = here
                if first == last:
                    first = claim(op, size)
                    last = first + size
            before = stop

    return kernel


def grouped(loop, panel, matrices):
    """(E, R, N) x (T or T·k, N) -> (T·k, R): each expert times all rows routed to it."""
    run = loop(panel, matrices, indexed)

    @device
    def products(op, expert, first, last, begin, end, scratch):
        for item in range(first, last):
            run(op, expert, item, item + 1, begin, end, scratch)

    return share_experts(products, matrices.panels)
