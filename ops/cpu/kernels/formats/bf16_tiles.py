"""Plain numbers as terms in BF16, multiplied by matrix tiles: the same sums for any number of rows.

A weight in F16 is the sum of two numbers in BF16, a high and a low one, exactly. An activation is
rounded to as many terms. Of the products of two terms with two, that of the low ones is left out.

A tile of weights is 32 columns of a panel, pair by pair. The sums of a tile of rows by a panel are
one chain of products, in the order of the columns; a row's are the same whatever rows are beside.
So one row, too, goes through tiles of 16.
"""

from ops.cpu.instruction_sets.llvm import I64
from ops.cpu.instruction_sets.rung import ACTIVATIONS, SUMS, WEIGHTS
from ops.cpu.kernels.formats.floats.bf16 import UPPER_HALF
from ops.cpu.kernels.formats.panels import BYTES_AHEAD
from ops.cpu.kernels.formats.tile_parts import NEXT_PANEL, TILE_TOKENS
from ops.cpu.kernels.simd.addresses import pair
from ops.cpu.kernels.simd.compiler import device
from ops.cpu.kernels.simd.matrix_tiles import emitted
from ops.cpu.kernels.simd.operations import (
    and_int,
    bits_to_float,
    float_bits,
    or_int,
    prefetch_panels,
    shift_right,
    store,
    subtract,
    zeros,
)
from ops.cpu.layout import (
    BF16_BYTES,
    BF16_COLUMNS,
    BLOCK_ACTIVATION_BYTES,
    LINE,
    PANEL_ROWS,
    TOTAL_BYTES,
)

TILE_BYTES = BF16_COLUMNS * PANEL_ROWS * 2


@device
def _high(x):
    """x without the bits that BF16 lacks."""
    return bits_to_float(and_int(float_bits(x), UPPER_HALF))


@device
def _paired(first, second):
    """The upper halves of two columns' numbers side by side."""
    return or_int(shift_right(float_bits(first), 16), and_int(float_bits(second), UPPER_HALF))


def _unpacker(kernels, terms):
    """unpack(w, columns, first, last, out): writes parts first .. last - 1 of 32 columns as tiles.

    Those of a part's terms follow each other. Zeros fill a panel's last part.
    """
    load_two, load_last = kernels.load_two, kernels.load_last
    column_bytes = PANEL_ROWS * kernels.format.block_bytes
    ahead = prefetch_panels(BF16_COLUMNS * column_bytes)

    @device
    def put(first, second, out):
        store(out, _paired(first, second))
        if terms == 2:
            rest = subtract(first, _high(first)), subtract(second, _high(second))
            store(out + TILE_BYTES, _paired(*rest))

    @device
    def put_whole(w, out):
        for n in range(BF16_COLUMNS // 2):
            first, second = load_two(w + 2 * column_bytes * n)
            put(first, second, out + LINE * n)

    @device
    def put_last(w, columns, out):
        none = zeros(w, w)
        for n in range(BF16_COLUMNS // 2):
            here, there = w + 2 * column_bytes * n, out + LINE * n
            if 2 * n + 1 < columns:
                first, second = load_two(here)
                put(first, second, there)
            elif 2 * n < columns:
                put(load_last(here), none, there)
            else:
                put(none, none, there)

    @device
    def unpack(w, columns, first, last, out):
        for part in range(first, last):
            here, left = w + BF16_COLUMNS * column_bytes * part, columns - BF16_COLUMNS * part
            there = out + terms * TILE_BYTES * (part - first)
            ahead(here, BYTES_AHEAD)
            if left >= BF16_COLUMNS:
                put_whole(here, there)
            else:
                put_last(here, left, there)

    return unpack


def _sums(blocks, emit_one):
    """run(totals, stride): emit_one(tiles, builder, tile, place, stride) for each tile of sums."""

    def emit(tiles, builder, totals, stride):
        for n in range(2 * blocks):
            offset = n // 2 * TILE_TOKENS * TOTAL_BYTES + n % 2 * LINE
            emit_one(tiles, builder, SUMS[n], builder.add(totals, I64(offset)), stride)

    return emitted(emit)


def _load(tiles, builder, tile, place, stride):
    tiles.load(builder, tile, BF16_BYTES, place, stride)


def _store(tiles, builder, tile, place, stride):
    tiles.store(builder, tile, place, stride)


def _products(blocks, terms):
    """run(x, w): adds the products of a part's terms to the sums.

    Loads cost nothing beside products; so each step loads its four tiles of operands.
    """
    steps = [(0, 0)] if terms == 1 else [(1, 0), (0, 1), (0, 0)]  # the small products first

    def emit(tiles, builder, x, w):
        for x_term, w_term in steps:
            for n in range(2 * blocks):
                block, panel = divmod(n, 2)
                if panel == 0:
                    offset = BLOCK_ACTIVATION_BYTES * x_term + TILE_TOKENS * BF16_BYTES * block
                    place = builder.add(x, I64(offset))
                    _load(tiles, builder, ACTIVATIONS[block], place, I64(BF16_BYTES))
                if block == 0:
                    place = builder.add(w, I64(TILE_BYTES * w_term + NEXT_PANEL * panel))
                    _load(tiles, builder, WEIGHTS[panel], place, I64(LINE))
                tiles.multiply_bf16(builder, SUMS[n], ACTIVATIONS[block], WEIGHTS[panel])

    return emitted(emit)


def _adder(blocks, terms, unpack):
    """add(w, count, x, sums, totals): adds `count` unpacked parts to the totals of blocks of rows.

    add_directly(w, columns, part, count, ring, x, totals): as it unpacks them, one ahead.
    """
    load_sums, store_sums = _sums(blocks, _load), _sums(blocks, _store)
    multiply = _products(blocks, terms)
    part_bytes, x_bytes = terms * TILE_BYTES, terms * BLOCK_ACTIVATION_BYTES

    @device
    def add(w, count, x, sums, totals):
        load_sums(totals, TOTAL_BYTES)
        for n in range(count):
            multiply(x + x_bytes * n, w + part_bytes * n)
        store_sums(totals, TOTAL_BYTES)

    @device
    def unpack_one(w, columns, part, out):
        unpack(w, columns, part, part + 1, pair(out, out + NEXT_PANEL))

    @device
    def add_directly(w, columns, part, count, ring, x, totals):
        load_sums(totals, TOTAL_BYTES)
        unpack_one(w, columns, part, ring)
        for n in range(count):
            if n + 1 < count:
                unpack_one(w, columns, part + n + 1, ring + part_bytes * ((n + 1) % 2))
            multiply(x + x_bytes * n, ring + part_bytes * (n % 2))
        store_sums(totals, TOTAL_BYTES)

    return add, add_directly


class Bf16Tiles:
    """As `TileParts`, of plain numbers as terms in BF16."""

    def __init__(self, kernels, terms):
        self.row_bytes, self.terms = BF16_BYTES, terms
        self.at_once = NEXT_PANEL // TILE_BYTES // terms
        self.unpack = _unpacker(kernels, terms)
        self.add_32, self.add_32_directly = _adder(2, terms, self.unpack)
        self.add_16, self.add_16_directly = _adder(1, terms, self.unpack)
