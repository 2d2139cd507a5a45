"""Products with packed weights on a rung with matrix tiles: by tiles, if there are enough rows.

Pairs of panels are multiplied by blocks of 32 rows (or 16, at the end). Some parts of the panels
are unpacked at a time, as for many tokens without tiles. A block's activations are copied, for
several pairs at once: the tiles and the scaling read them from the first cache, where rows far
apart would displace each other, and rows that were routed to an expert lie anywhere.
"""

from ops.cpu import layout as operand
from ops.cpu.kernels.formats.parts import Parts
from ops.cpu.kernels.formats.tile_parts import NEXT_PANEL, PART, TILE_TOKENS, TileParts
from ops.cpu.kernels.linear import (
    addresses,
    in_order,
    indexed,
    loop_of,
    share_experts,
    share_panels,
    tokens_at_once,
)
from ops.cpu.kernels.simd.addresses import ONE_TOKEN, TOKENS, pair
from ops.cpu.kernels.simd.compiler import device
from ops.cpu.kernels.simd.matrix_tiles import configure as configure_tiles
from ops.cpu.kernels.simd.matrix_tiles import release as release_tiles
from ops.cpu.kernels.simd.memory import load_i64
from ops.cpu.kernels.simd.operations import load_rows, store, zeros
from ops.cpu.kernels.simd.tiles import load_tile, store_tile
from ops.cpu.layout import (
    ACTIVATION_BYTES,
    BLOCK_ACTIVATION_BYTES,
    BLOCK_TOKENS,
    ITEMS_AT_ONCE,
    ITEMS_UNPACKED_BYTES,
    MOST_ROWS,
    PARTS_AT_ONCE,
    TOTAL_BYTES,
)

FEWEST = 8  # rows: fewer are multiplied faster without tiles

one_row = ONE_TOKEN.strided


def _copying(access):
    """copy(op, t, last, rows, part, count, out): `count` parts of a block of rows from row t on.

    Part by part, each row's in a cache line. The last row stands for those that a block lacks.
    """
    row_of_x, _ = addresses(access, ONE_TOKEN)

    @device
    def copy(op, t, last, rows, part, count, out):
        for n in range(rows):
            x, place = row_of_x(op, min(t + n, last - 1), last), out + ACTIVATION_BYTES * n
            for k in range(count):
                here = place + BLOCK_ACTIVATION_BYTES * k
                store(here, load_rows(x, ACTIVATION_BYTES * (part + k)))

    return copy


def _finishing(tile, matrices, access):
    """finish(op, expert, p, w, first, last, totals): writes the results of the rows' totals."""
    _, ends = addresses(access, tile)
    rows, size, write = tile.strided, tile.size, matrices.finish

    @device
    def finish(op, expert, p, w, first, last, totals):
        for t in range(first, last, size()):
            y, added = ends(op, t, last)
            place = rows(totals + TOTAL_BYTES * (t - first), TOTAL_BYTES)
            write(op, expert, p, load_tile(place, w), y, added)

    return finish


@device
def _clear(totals, rows, w):
    for n in range(rows):
        place = one_row(totals + TOTAL_BYTES * n, TOTAL_BYTES)
        store_tile(place, zeros(w, place))


def _in_tiles(kernels, matrices, access):
    """run(op, expert, p, last_p, first, last, scratch): items of panels times rows.

    The scratch holds the unpacked parts of the items, their totals of the rows, a block's
    activations, and its sums (see layout.py).
    """
    loop, panel = loop_of(kernels)
    few, weights, tiles = loop(panel, matrices, access), matrices.weights, TileParts(kernels)
    unpack, add_32, add_16 = Parts(kernels).unpack, tiles.add_32, tiles.add_16
    copy, configure, release = _copying(access), configure_tiles(tiles.columns), release_tiles
    finish_some, finish_one = (_finishing(tile, matrices, access) for tile in (TOKENS, ONE_TOKEN))

    @device
    def totals_of(scratch, n, t):
        return scratch + ITEMS_UNPACKED_BYTES + TOTAL_BYTES * (MOST_ROWS * n + t)

    @device
    def add_parts(op, expert, p, items, part, count, first, last, scratch):
        """Unpacks some parts of the items, and adds them to the totals of the rows."""
        x = totals_of(scratch, ITEMS_AT_ONCE, 0)
        sums = x + PARTS_AT_ONCE * BLOCK_ACTIVATION_BYTES
        for n in range(items):
            unpacked = scratch + 2 * NEXT_PANEL * n
            panels = pair(unpacked, unpacked + NEXT_PANEL)
            unpack(weights(op, expert, p + n), part, part + count, panels)
        for t in range(first, last, BLOCK_TOKENS):
            rows = BLOCK_TOKENS if last - t > TILE_TOKENS else TILE_TOKENS
            copy(op, t, last, rows, part, count, x)
            for n in range(items):
                w, totals = scratch + 2 * NEXT_PANEL * n, totals_of(scratch, n, t - first)
                if part == 0:
                    _clear(totals, rows, pair(w, w + NEXT_PANEL))
                if rows == BLOCK_TOKENS:
                    add_32(w, count, x, sums, totals)
                else:
                    add_16(w, count, x, sums, totals)

    @device
    def finish(op, expert, p, items, first, last, scratch):
        some = last - (last - first) % tokens_at_once()
        for n in range(items):
            w = weights(op, expert, p + n)
            finish_some(op, expert, p + n, w, first, some, totals_of(scratch, n, 0))
            finish_one(op, expert, p + n, w, some, last, totals_of(scratch, n, some - first))

    @device
    def by_tiles(op, expert, p, items, first, last, scratch):
        parts = load_i64(op, operand.COLUMNS) // PART
        configure()
        for part in range(0, parts, PARTS_AT_ONCE):
            count = min(PARTS_AT_ONCE, parts - part)
            add_parts(op, expert, p, items, part, count, first, last, scratch)
        release()
        finish(op, expert, p, items, first, last, scratch)

    @device
    def run(op, expert, first_p, last_p, first, last, scratch):
        rest = (last - first) % BLOCK_TOKENS
        middle = last - rest if rest < FEWEST else last
        for p in range(first_p, last_p, ITEMS_AT_ONCE):
            items = min(ITEMS_AT_ONCE, last_p - p)
            for t in range(first, middle, MOST_ROWS):
                by_tiles(op, expert, p, items, t, min(t + MOST_ROWS, middle), scratch)
        if middle < last:
            for p in range(first_p, last_p):
                few(op, expert, p, middle, last, scratch)

    return run


def dense(kernels, matrices):
    """As `linear.dense`."""
    run = _in_tiles(kernels, matrices, in_order)

    @device
    def products(op, step, first, last, scratch):
        field = load_i64(op, operand.COUNT_FIELD)
        count = load_i64(step, field) * load_i64(op, operand.COUNT_MULTIPLE)
        run(op, 0, first, last, 0, count, scratch)

    return share_panels(products, matrices.panels)


def grouped(kernels, matrices):
    """As `linear.grouped`."""
    return share_experts(_in_tiles(kernels, matrices, indexed), matrices.panels)
