"""Unpacked parts times a block of tokens by matrix tiles: the same sums and totals as by dots.

The sums of integers are exact, and they are scaled in the order of parts.py. The tiles of a part
are multiplied between the steps in which the sums of the part before are scaled: a processor does
not look far enough ahead to overlap the two by itself.
"""

from ops.cpu.instruction_sets.rung import ACTIVATIONS, SUMS, WEIGHTS
from ops.cpu.kernels.formats.arithmetic import add_scaled, offset_sums, subtract_minimum
from ops.cpu.kernels.formats.parts import Parts, unpacked_factors
from ops.cpu.kernels.simd import matrix_tiles
from ops.cpu.kernels.simd.addresses import pair, rows
from ops.cpu.kernels.simd.compiler import device
from ops.cpu.kernels.simd.operations import add_int, broadcast_f32, fma, multiply, to_float
from ops.cpu.kernels.simd.tiles import load_int_tile, load_tile, store_tile
from ops.cpu.layout import (
    ACTIVATION_BYTES,
    BLOCK_ACTIVATION_BYTES,
    HALF_SUM_BYTES,
    MINUS_HALF_SUMS,
    MINUS_SCALED_HALF_SUMS,
    MINUS_SUM,
    PART_BYTES,
    PART_SUM_BYTES,
    PARTS_AT_ONCE,
    SCALE,
    TOTAL_BYTES,
)

TILE_TOKENS, PART = 16, 32
NEXT_PANEL = PARTS_AT_ONCE * PART_BYTES  # from a part of a panel to the other panel's


def _one_scale(offset):
    """scale(step, sums, x, factors, totals): adds a part's sums to the totals of four tokens."""
    tokens = 4
    group = rows(tokens)

    @device
    def scale(step, sums, x, factors, totals):
        first = tokens * step
        x = group(x + ACTIVATION_BYTES * first, ACTIVATION_BYTES)
        places = group(totals + TOTAL_BYTES * first, TOTAL_BYTES)
        products = load_int_tile(group(sums + TOTAL_BYTES * first, TOTAL_BYTES), factors[0])
        total = load_tile(places, factors[0])
        if offset is None:
            total = subtract_minimum(factors[2], x, 0, total)
        else:
            products = add_int(products, offset_sums(factors[0], x, MINUS_SUM, offset))
        store_tile(places, add_scaled(products, factors[0], x, 0, total))

    return scale


def _two_scales(offset):
    """As `_one_scale`, of two tokens with a scale for every 16 columns."""
    tokens = 2
    group = rows(tokens)

    @device
    def scale(step, sums, x, factors, totals):
        place = sums + TOTAL_BYTES * tokens * step
        x = group(x + ACTIVATION_BYTES * tokens * step, ACTIVATION_BYTES)
        places = group(totals + TOTAL_BYTES * tokens * step, TOTAL_BYTES)
        first = load_int_tile(group(place, TOTAL_BYTES), factors[0])
        second = load_int_tile(group(place + HALF_SUM_BYTES, TOTAL_BYTES), factors[0])
        total = load_tile(places, factors[0])
        if offset is None:
            total = fma(factors[2], broadcast_f32(x, MINUS_SCALED_HALF_SUMS), total)
            total = fma(factors[3], broadcast_f32(x, MINUS_SCALED_HALF_SUMS + 4), total)
        else:
            first = add_int(first, offset_sums(factors[0], x, MINUS_HALF_SUMS, offset))
            second = add_int(second, offset_sums(factors[0], x, MINUS_HALF_SUMS + 4, offset))
        both = multiply(to_float(first), factors[0])
        both = fma(to_float(second), factors[1], both)
        store_tile(places, fma(both, broadcast_f32(x, SCALE), total))

    return scale


@device
def _nothing(step, sums, x, factors, totals):
    """Between the tiles of a block's first part there is nothing to scale yet."""


class _Tiles:
    """The operations on each tile, for products over so many columns."""

    def __init__(self, columns):
        self.load_x = [matrix_tiles.load(tile, columns) for tile in ACTIVATIONS]
        self.load_w = [matrix_tiles.load(tile, columns) for tile in WEIGHTS]
        self.store = [matrix_tiles.store(tile) for tile in SUMS]
        self.multiply = [
            matrix_tiles.product(sums, ACTIVATIONS[n // 2], WEIGHTS[n % 2], columns)
            for n, sums in enumerate(SUMS)
        ]


def _four_tiles(columns, between):
    """run(x, w, out, first, work): the sums of 32 tokens, with between(step, work) eight times."""
    tiles = _Tiles(columns)
    load_x0, load_x1 = tiles.load_x
    load_w0, load_w1 = tiles.load_w
    multiply_0, multiply_1, multiply_2, multiply_3 = tiles.multiply
    store_0, store_1, store_2, store_3 = tiles.store

    @device
    def run(x, w, out, first, work):
        load_x0(x, ACTIVATION_BYTES)
        load_w0(w, 64)
        multiply_0()
        between(first, *work)
        load_w1(w + NEXT_PANEL, 64)
        multiply_1()
        between(first + 1, *work)
        load_x1(x + TILE_TOKENS * ACTIVATION_BYTES, ACTIVATION_BYTES)
        multiply_2()
        between(first + 2, *work)
        multiply_3()
        between(first + 3, *work)
        store_0(out, TOTAL_BYTES)
        between(first + 4, *work)
        store_1(out + 64, TOTAL_BYTES)
        between(first + 5, *work)
        store_2(out + TILE_TOKENS * TOTAL_BYTES, TOTAL_BYTES)
        between(first + 6, *work)
        store_3(out + TILE_TOKENS * TOTAL_BYTES + 64, TOTAL_BYTES)
        between(first + 7, *work)

    return run


def _two_tiles(columns, between):
    """As `_four_tiles`, of 16 tokens in four steps."""
    tiles = _Tiles(columns)
    load_x, (load_w0, load_w1) = tiles.load_x[0], tiles.load_w
    multiply_0, multiply_1, *_ = tiles.multiply
    store_0, store_1, *_ = tiles.store

    @device
    def run(x, w, out, first, work):
        load_x(x, ACTIVATION_BYTES)
        load_w0(w, 64)
        multiply_0()
        between(first, *work)
        load_w1(w + NEXT_PANEL, 64)
        multiply_1()
        between(first + 1, *work)
        store_0(out, TOTAL_BYTES)
        between(first + 2, *work)
        store_1(out + 64, TOTAL_BYTES)
        between(first + 3, *work)

    return run


def _part(tiles, steps, scales, between):
    """run(x, w, out, work): the sums of a part, by halves of its columns if it has two scales."""
    columns = PART // scales
    multiply_tiles = tiles(columns, between)

    @device
    def run(x, w, out, work):
        for half in range(scales):
            weights = w + columns // 4 * 64 * half
            multiply_tiles(
                x + columns * half, weights, out + HALF_SUM_BYTES * half, steps * half, work
            )

    return run


def _block(tiles, steps, scales, scale):
    """add(w, count, x, sums, totals): adds `count` unpacked parts to the totals of a block."""
    first_part, next_part = (_part(tiles, steps, scales, each) for each in (_nothing, scale))

    @device
    def work_of(w, part, x, sums, totals):
        factors = unpacked_factors(pair(w, w + NEXT_PANEL), part)
        x = x + BLOCK_ACTIVATION_BYTES * part
        return sums + part % 2 * PART_SUM_BYTES, x, factors, totals

    @device
    def add(w, count, x, sums, totals):
        first_part(x, w, sums, work_of(w, 0, x, sums, totals))
        for part in range(1, count):
            here, out = x + BLOCK_ACTIVATION_BYTES * part, sums + part % 2 * PART_SUM_BYTES
            work = work_of(w, part - 1, x, sums, totals)
            next_part(here, w + PART_BYTES * part, out, work)
        work = work_of(w, count - 1, x, sums, totals)
        for step in range(steps * scales):
            scale(step, *work)

    return add


class TileParts:
    """Unpacks parts, and adds them to the totals of 32 or of 16 tokens; see `_block`.

    A row of activations in a tile has `row_bytes`; a part has `terms` blocks of activations, and
    `at_once` parts fit into the scratch.
    """

    def __init__(self, kernels):
        kind = _one_scale if kernels.scales == 1 else _two_scales
        scale, unpack = kind(kernels.offset), Parts(kernels).unpack

        @device
        def unpack_parts(w, columns, first, last, out):
            unpack(w, first, last, out)

        self.row_bytes, self.terms, self.at_once = PART // kernels.scales, 1, PARTS_AT_ONCE
        self.unpack = unpack_parts
        self.add_32 = _block(_four_tiles, 8, kernels.scales, scale)
        self.add_16 = _block(_two_tiles, 4, kernels.scales, scale)
