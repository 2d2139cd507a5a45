"""Products with packed weights on a rung with matrix tiles.

Quantized weights go by tiles of bytes if there are enough rows, plain numbers by tiles of BF16
always.

Pairs of panels are multiplied by blocks of 32 rows (or 16, at the end). Some parts of the panels
are unpacked at a time, as for many tokens without tiles. A block's activations are copied, for
several pairs at once: the tiles and the scaling read them from the first cache, where rows far
apart would displace each other, and rows that were routed to an expert lie anywhere.
"""

from ops.cpu import layout as operand
from ops.cpu.formats import BF16_TERMS
from ops.cpu.kernels.formats.bf16_tiles import Bf16Tiles
from ops.cpu.kernels.formats.records import Floats
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
from ops.cpu.kernels.simd.memory import load_i64, parts_of
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

FEWEST = 8  # rows: fewer are multiplied faster by dots of bytes than by tiles

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


@device
def _totals_of(scratch, n, t):
    """Where the totals of row t of item n are."""
    return scratch + ITEMS_UNPACKED_BYTES + TOTAL_BYTES * (MOST_ROWS * n + t)


@device
def _activations(scratch):
    """Where a block's activations are."""
    return _totals_of(scratch, ITEMS_AT_ONCE, 0)


@device
def _rows_of_block(t, last):
    return BLOCK_TOKENS if last - t > TILE_TOKENS else TILE_TOKENS


def _unpacked_first(tiles, matrices, access):
    """add(op, expert, p, items, part, count, first, last, scratch): `count` parts, from `part` on,
    of the items are unpacked, and added to the totals of the rows.
    """
    weights, terms, unpack, copy = matrices.weights, tiles.terms, tiles.unpack, _copying(access)
    add_32, add_16 = tiles.add_32, tiles.add_16

    @device
    def add(op, expert, p, items, part, count, first, last, scratch):
        x, columns = _activations(scratch), load_i64(op, operand.COLUMNS)
        sums = x + PARTS_AT_ONCE * BLOCK_ACTIVATION_BYTES
        for n in range(items):
            unpacked = scratch + 2 * NEXT_PANEL * n
            panels = pair(unpacked, unpacked + NEXT_PANEL)
            unpack(weights(op, expert, p + n), columns, part, part + count, panels)
        for t in range(first, last, BLOCK_TOKENS):
            rows = _rows_of_block(t, last)
            copy(op, t, last, rows, terms * part, terms * count, x)
            for n in range(items):
                w, totals = scratch + 2 * NEXT_PANEL * n, _totals_of(scratch, n, t - first)
                if part == 0:
                    _clear(totals, rows, pair(w, w + NEXT_PANEL))
                if rows == BLOCK_TOKENS:
                    add_32(w, count, x, sums, totals)
                else:
                    add_16(w, count, x, sums, totals)

    return add


def _unpacked_directly(tiles, matrices, access):
    """As `_unpacked_first`, for a single block of rows: while it is multiplied, memory is read."""
    weights, terms, copy = matrices.weights, tiles.terms, _copying(access)
    add_32, add_16 = tiles.add_32_directly, tiles.add_16_directly

    @device
    def add(op, expert, p, items, part, count, first, last, scratch):
        x, columns = _activations(scratch), load_i64(op, operand.COLUMNS)
        rows = _rows_of_block(first, last)
        copy(op, first, last, rows, terms * part, terms * count, x)
        for n in range(items):
            w, totals = weights(op, expert, p + n), _totals_of(scratch, n, 0)
            if part == 0:
                _clear(totals, rows, w)
            if rows == BLOCK_TOKENS:
                add_32(w, columns, part, count, scratch, x, totals)
            else:
                add_16(w, columns, part, count, scratch, x, totals)

    return add


def _by_tiles(tiles, matrices, access, add):
    """run(op, expert, p, items, first, last, scratch): at most `ITEMS_AT_ONCE` pairs of panels,
    from p on, times at most `MOST_ROWS` rows.

    The scratch holds the unpacked parts of the items, their totals of the rows, a block's
    activations, and its sums (see layout.py).
    """
    weights, at_once = matrices.weights, tiles.at_once
    configure, release = configure_tiles(tiles.row_bytes), release_tiles
    finish_some, finish_one = (_finishing(tile, matrices, access) for tile in (TOKENS, ONE_TOKEN))

    @device
    def finish(op, expert, p, items, first, last, scratch):
        some = last - (last - first) % tokens_at_once()
        for n in range(items):
            w = weights(op, expert, p + n)
            finish_some(op, expert, p + n, w, first, some, _totals_of(scratch, n, 0))
            finish_one(op, expert, p + n, w, some, last, _totals_of(scratch, n, some - first))

    @device
    def run(op, expert, p, items, first, last, scratch):
        parts = parts_of(load_i64(op, operand.COLUMNS), PART)
        configure()
        for part in range(0, parts, at_once):
            count = min(at_once, parts - part)
            add(op, expert, p, items, part, count, first, last, scratch)
        release()
        finish(op, expert, p, items, first, last, scratch)

    return run


def _in_bytes(kernels, matrices, access):
    """run(op, expert, first_p, last_p, first, last, scratch): items of panels times rows."""
    loop, panel = loop_of(kernels)
    few, tiles = loop(panel, matrices, access), TileParts(kernels)
    many = _by_tiles(tiles, matrices, access, _unpacked_first(tiles, matrices, access))

    @device
    def run(op, expert, first_p, last_p, first, last, scratch):
        rest = (last - first) % BLOCK_TOKENS
        middle = last - rest if rest < FEWEST else last
        for p in range(first_p, last_p, ITEMS_AT_ONCE):
            items = min(ITEMS_AT_ONCE, last_p - p)
            for t in range(first, middle, MOST_ROWS):
                many(op, expert, p, items, t, min(t + MOST_ROWS, middle), scratch)
        if middle < last:
            for p in range(first_p, last_p):
                few(op, expert, p, p + 1, middle, last, scratch)

    return run


def _in_bf16(kernels, matrices, access):
    """As `_in_bytes`, of plain numbers: every row goes by tiles, as no other sum is the same."""
    tiles = Bf16Tiles(kernels, BF16_TERMS[kernels.format.name])
    to_block = _unpacked_directly(tiles, matrices, access)
    to_blocks = _unpacked_first(tiles, matrices, access)

    @device
    def add(op, expert, p, items, part, count, first, last, scratch):
        if last - first <= BLOCK_TOKENS:
            to_block(op, expert, p, items, part, count, first, last, scratch)
        else:
            to_blocks(op, expert, p, items, part, count, first, last, scratch)

    some = _by_tiles(tiles, matrices, access, add)

    @device
    def run(op, expert, first_p, last_p, first, last, scratch):
        for p in range(first_p, last_p, ITEMS_AT_ONCE):
            items = min(ITEMS_AT_ONCE, last_p - p)
            for t in range(first, last, MOST_ROWS):
                some(op, expert, p, items, t, min(t + MOST_ROWS, last), scratch)

    return run


def _in_tiles(kernels, matrices, access):
    kind = _in_bf16 if isinstance(kernels, Floats) else _in_bytes
    return kind(kernels, matrices, access)


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
