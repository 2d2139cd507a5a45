"""Products with packed weights on a rung with matrix tiles: by tiles, if there are enough rows.

Two panels are multiplied by blocks of 32 rows (or 16, at the end). Some parts of the panels are
unpacked at a time, as for many tokens without tiles. A block's activations are copied: the tiles
read rows at equal distances, and those that were routed to an expert lie anywhere.
"""

from ops.cpu import layout as operand
from ops.cpu.kernels.formats.parts import Parts
from ops.cpu.kernels.formats.tile_parts import NEXT_PANEL, PART, TILE_TOKENS, TileParts
from ops.cpu.kernels.linear import addresses, loop_of, tokens_at_once
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
    MATRIX_SCRATCH_BYTES,
    PARTS_IN_TILES,
    TOTAL_BYTES,
    UNPACKED_BYTES,
)

FEWEST = 8  # rows: fewer are multiplied faster without tiles

one_row = ONE_TOKEN.strided


def _copying(access):
    """copy(op, t, last, part, count, out): `count` parts of a block's rows from row t on.

    Part by part, a cache line a row. What a block lacks are copies of its last row.
    """
    row_of_x, _ = addresses(access, ONE_TOKEN)

    @device
    def copy(op, t, last, rows, part, count, out):
        for n in range(rows):
            x, place = row_of_x(op, min(t + n, last - 1)), out + ACTIVATION_BYTES * n
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
            y, added = ends(op, t)
            place = rows(totals + TOTAL_BYTES * (t - first), TOTAL_BYTES)
            write(op, expert, p, load_tile(place, w), y, added)

    return finish


@device
def _clear(totals, rows, w):
    for n in range(rows):
        place = one_row(totals + TOTAL_BYTES * n, TOTAL_BYTES)
        store_tile(place, zeros(w, place))


def in_tiles(kernels, matrices, access):
    """run(op, expert, p, first, last, scratch): two panels times rows first .. last - 1.

    The scratch holds the unpacked parts, then the totals of all rows; layout.py says what is last.
    """
    loop, panel = loop_of(kernels)
    few, weights, tiles = loop(panel, matrices, access), matrices.weights, TileParts(kernels)
    unpack, add_32, add_16 = Parts(kernels).unpack, tiles.add_32, tiles.add_16
    copy, configure, release = _copying(access), configure_tiles(tiles.columns), release_tiles
    finish_some, finish_one = (_finishing(tile, matrices, access) for tile in (TOKENS, ONE_TOKEN))

    @device
    def add_parts(op, w, part, count, first, last, scratch):
        """Unpacks some parts, and adds them to the totals of all rows."""
        x = scratch + load_i64(op, operand.SCRATCH_BYTES) - MATRIX_SCRATCH_BYTES
        sums = x + PARTS_IN_TILES * BLOCK_ACTIVATION_BYTES
        unpack(w, part, part + count, pair(scratch, scratch + NEXT_PANEL))
        for t in range(first, last, BLOCK_TOKENS):
            totals = scratch + UNPACKED_BYTES + TOTAL_BYTES * (t - first)
            rows = BLOCK_TOKENS if last - t > TILE_TOKENS else TILE_TOKENS
            if part == 0:
                _clear(totals, rows, w)
            copy(op, t, last, rows, part, count, x)
            if rows == BLOCK_TOKENS:
                add_32(scratch, count, x, sums, totals)
            else:
                add_16(scratch, count, x, sums, totals)

    @device
    def run(op, expert, p, first, last, scratch):
        w, rest = weights(op, expert, p), (last - first) % BLOCK_TOKENS
        middle = last - rest if rest < FEWEST else last
        if middle > first:
            parts, totals = load_i64(op, operand.COLUMNS) // PART, scratch + UNPACKED_BYTES
            configure()
            for part in range(0, parts, PARTS_IN_TILES):
                count = min(PARTS_IN_TILES, parts - part)
                add_parts(op, w, part, count, first, middle, scratch)
            release()
            some = middle - (middle - first) % tokens_at_once()
            finish_some(op, expert, p, w, first, some, totals)
            finish_one(op, expert, p, w, some, middle, totals + TOTAL_BYTES * (some - first))
        if middle < last:
            few(op, expert, p, middle, last, scratch)

    return run
