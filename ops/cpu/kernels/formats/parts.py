"""Parts of 32 columns: multiplied as they are unpacked, or unpacked once for many tokens.

Both ways do the same arithmetic in the same order, so that a token's result does not depend on the
number of tokens.
"""

import functools

from ops.cpu.kernels.formats.arithmetic import add_scaled, offset_sums, subtract_minimum
from ops.cpu.kernels.formats.panels import BYTES_AHEAD, block_panel, place_ahead
from ops.cpu.kernels.simd.addresses import pair
from ops.cpu.kernels.simd.compiler import device, inlined
from ops.cpu.kernels.simd.dots import dot, dot_small
from ops.cpu.kernels.simd.operations import (
    broadcast_f32,
    broadcast_i32,
    fma,
    int_zeros,
    load_bytes,
    load_f32,
    multiply,
    prefetch_panels,
    store,
    subtract_from_bytes,
    to_float,
    zeros,
)
from ops.cpu.kernels.simd.pairs import GROUP_BYTES, first_rows, last_rows, pair_products
from ops.cpu.kernels.simd.tiles import load_tile, store_tile
from ops.cpu.layout import (
    ACTIVATION_BYTES,
    MINUS_HALF_SUMS,
    MINUS_SCALED_HALF_SUMS,
    MINUS_SUM,
    PANEL_ROWS,
    PART_BYTES,
    PARTS_AT_ONCE,
    SCALE,
)

PART = 32  # columns
NEXT_PANEL = PARTS_AT_ONCE * PART_BYTES  # from an unpacked panel to the other one
WHOLE_BYTE = 7  # the offset of levels from 0 to 255


class _Dots:
    """Sums of products of levels and activations, a group of 4 columns after the other."""

    def __init__(self, levels, offset):
        self._levels, self._offset = levels, offset

    def over(self, first, stop, minus_sum):
        """sums(w, part, x, x_offset): of columns first .. stop - 1.

        `minus_sum` is where their activations have the negated sum that an offset multiplies.
        """
        levels, offset = self._levels, self._offset
        multiply_bytes = dot if offset == WHOLE_BYTE else dot_small

        @inlined
        def start(w, part, x, x_offset):
            if offset is None:
                return int_zeros(w, x)
            return offset_sums(w, x, x_offset + minus_sum, offset)

        def added(before, g):
            """A group more, by a number that is constant where its levels are computed."""

            @inlined
            def sums(w, part, x, x_offset):
                total = before(w, part, x, x_offset)
                x_group = broadcast_i32(x, x_offset + 4 * g)
                return multiply_bytes(total, levels(w, part, g), x_group)

            return sums

        return functools.reduce(added, range(first // 4, stop // 4), start)


class _Pairs:
    """As `_Dots`, of unpacked levels that are signed, by pairs of rows and of tokens."""

    def over(self, first, stop, minus_sum):
        products = pair_products(first // 8, stop // 8)

        @inlined
        def sums(w, part, x, x_offset):
            return products(w + PART_BYTES * part, x, x_offset)

        return sums


def _one_scale(products, has_minimum):
    """add(w, part, x, x_offset, factors, total): the products of a part that has one scale."""
    products_of_part = products.over(0, PART, MINUS_SUM)

    @inlined
    def add_part(w, part, x, x_offset, factors, total):
        if has_minimum:
            total = subtract_minimum(factors[2], x, x_offset, total)
        return add_scaled(products_of_part(w, part, x, x_offset), factors[0], x, x_offset, total)

    return add_part


def _two_scales(products, has_minimum):
    """As `_one_scale`, with a scale for every 16 columns."""
    first_products = products.over(0, PART // 2, MINUS_HALF_SUMS)
    last_products = products.over(PART // 2, PART, MINUS_HALF_SUMS + 4)

    @inlined
    def add_part(w, part, x, x_offset, factors, total):
        if has_minimum:
            half_sums = x_offset + MINUS_SCALED_HALF_SUMS
            total = fma(factors[2], broadcast_f32(x, half_sums), total)
            total = fma(factors[3], broadcast_f32(x, half_sums + 4), total)
        both = multiply(to_float(first_products(w, part, x, x_offset)), factors[0])
        both = fma(to_float(last_products(w, part, x, x_offset)), factors[1], both)
        return fma(both, broadcast_f32(x, x_offset + SCALE), total)

    return add_part


@device
def unpacked_levels(w, part, g):
    return load_bytes(w + PART_BYTES * part + 64 * g)


@device
def unpacked_factors(w, part):
    place = w + PART_BYTES * part + 512
    return load_f32(place), load_f32(place + 64), load_f32(place + 128), load_f32(place + 192)


class Parts:
    """A format's functions, for one token and for many."""

    def __init__(self, kernels):
        kind, has_minimum = _kind_of(kernels)
        self.panel = _direct(kind(_Dots(kernels.levels, kernels.offset), has_minimum), kernels)
        self.unpack = _unpacker(kernels, _levels_as_they_are(kernels))
        self.add = _added(kind(_Dots(unpacked_levels, kernels.offset), has_minimum))


class PairParts:
    """As `Parts`, for rungs that multiply pairs of rows with pairs of tokens."""

    def __init__(self, kernels):
        kind, has_minimum = _kind_of(kernels)
        self.panel = block_panel(kernels) if kernels.block else Parts(kernels).panel
        self.unpack = _unpacker(kernels, _levels_in_pairs(kernels))
        self.add = _added_by_panel(kind(_Pairs(), has_minimum))


def _kind_of(kernels):
    return _one_scale if kernels.scales == 1 else _two_scales, kernels.offset is None


def _direct(add_part, kernels):
    """panel(w, x, columns) as in panels.py.

    A block's fields are not read in sequence, so the core's own prefetching does not help.
    """
    weights, factors = kernels.format.block_size, kernels.factors
    block_bytes, parts = PANEL_ROWS * kernels.format.block_bytes, weights // PART
    fetch = prefetch_panels(block_bytes // parts)

    @inlined
    def panel(w, x, columns, ahead):
        total, step = zeros(w, x), block_bytes // parts // ahead.shares
        for b in range(columns // weights):
            block = w + b * block_bytes
            for part in range(parts):
                x_offset = (b * parts + part) * ACTIVATION_BYTES
                fetch(w, place_ahead(ahead, (b * parts + part) * step))
                total = add_part(block, part, x, x_offset, factors(block, part), total)
        return total

    return panel


def _levels_as_they_are(kernels):
    """store(block, part, target): writes a part's levels, 4 columns after 4."""
    levels = kernels.levels

    @device
    def store_levels(block, part, target):
        for g in range(8):
            store(target + 64 * g, levels(block, part, g))

    return store_levels


def _levels_in_pairs(kernels):
    """As `_levels_as_they_are`, but signed, and 8 columns after 8 of each row (simd/pairs.py).

    So they need no offset: less 2^offset they are signed bytes, as are those of parts with minima.
    """
    levels = kernels.levels
    signed = subtract_from_bytes(0 if kernels.offset is None else 1 << kernels.offset)

    @device
    def store_levels(block, part, target):
        for g in range(4):
            first, second = (
                signed(levels(block, part, 2 * g)),
                signed(levels(block, part, 2 * g + 1)),
            )
            store(target + GROUP_BYTES * g, first_rows(first, second))
            store(target + GROUP_BYTES * g + 64, last_rows(first, second))

    return store_levels


def _unpacker(kernels, store_levels):
    """unpack(w, first, last, out): writes the panels' parts first .. last - 1 to `out`."""
    factors = kernels.factors
    block_bytes = PANEL_ROWS * kernels.format.block_bytes
    parts = kernels.format.block_size // PART
    ahead = prefetch_panels(block_bytes // parts)

    @device
    def unpack(w, first, last, out):
        for number in range(first, last):
            block, part = w + number // parts * block_bytes, number % parts
            ahead(block, BYTES_AHEAD + part * (block_bytes // parts))
            target = out + PART_BYTES * (number - first)
            store_levels(block, part, target)
            scale_1, scale_2, minimum_1, minimum_2 = factors(block, part)
            store(target + 512, scale_1)
            store(target + 576, scale_2)
            store(target + 640, minimum_1)
            store(target + 704, minimum_2)

    return unpack


def _added(add_part):
    """add(unpacked, count, x, x_offset, totals, is_first): the products of `count` unpacked parts.

    It adds them to a tile of totals in memory, which the first parts of a row begin.
    """
    add_parts = _parts_added(add_part)

    @device
    def add(unpacked, count, x, x_offset, totals, is_first):
        w = pair(unpacked, unpacked + NEXT_PANEL)
        total = zeros(w, x) if is_first else load_tile(totals, w)
        store_tile(totals, add_parts(w, count, x, x_offset, total))

    return add


def _added_by_panel(add_part):
    """As `_added`, one panel after the other: one and two tokens fill the registers."""
    add_parts = _parts_added(add_part)

    @device
    def add(unpacked, count, x, x_offset, totals, is_first):
        for panel in range(2):
            w, place = unpacked + NEXT_PANEL * panel, totals + 4 * PANEL_ROWS * panel
            total = zeros(w, x) if is_first else load_tile(place, w)
            store_tile(place, add_parts(w, count, x, x_offset, total))

    return add


def _parts_added(add_part):
    @inlined
    def add(w, count, x, x_offset, total):
        for part in range(count):
            here = x_offset + part * ACTIVATION_BYTES
            total = add_part(w, part, x, here, unpacked_factors(w, part), total)
        return total

    return add
