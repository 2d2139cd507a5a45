"""Parts of 32 columns: multiplied as they are unpacked, or unpacked once for many tokens.

Both ways do the same arithmetic in the same order, so that a token's result does not depend on how
many others there are.
"""

from ops.cpu.kernels.formats.panels import IN_PARTS, MINIMA, lowered, lowering, scaled
from ops.cpu.kernels.simd.compiler import device
from ops.cpu.kernels.simd.dots import dot_small
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
    to_float,
    zeros,
)
from ops.cpu.layout import (
    ACTIVATION_BYTES,
    MINUS_HALF_SUMS,
    MINUS_SCALED_HALF_SUMS,
    MINUS_SUM,
    PART_BYTES,
    SCALE,
)

PART = 32  # columns
BLOCKS_AHEAD = 2  # from one that is read to one that is prefetched


def _whole(levels, offset):
    """add(w, part, x, at, factors, total): a part that has one scale."""

    @device
    def whole(w, part, x, at, factors, total):
        if offset == MINIMA:
            total = lowered(factors[2], x, at, total)
            sums = int_zeros(w, x)
        else:
            sums = lowering(w, x, at + MINUS_SUM, offset)
        for g in range(8):
            sums = dot_small(sums, levels(w, part, g), broadcast_i32(x, at + 4 * g))
        return scaled(sums, factors[0], x, at, total)

    return whole


def _halves(levels, offset):
    """As `_whole`, with a scale for every 16 columns."""

    @device
    def halves(w, part, x, at, factors, total):
        if offset == MINIMA:
            places = at + MINUS_SCALED_HALF_SUMS
            total = fma(factors[2], broadcast_f32(x, places), total)
            total = fma(factors[3], broadcast_f32(x, places + 4), total)
            first, second = int_zeros(w, x), int_zeros(w, x)
        else:
            first = lowering(w, x, at + MINUS_HALF_SUMS, offset)
            second = lowering(w, x, at + MINUS_HALF_SUMS + 4, offset)
        for g in range(4):
            first = dot_small(first, levels(w, part, g), broadcast_i32(x, at + 4 * g))
        for g in range(4, 8):
            second = dot_small(second, levels(w, part, g), broadcast_i32(x, at + 4 * g))
        both = multiply(to_float(first), factors[0])
        both = fma(to_float(second), factors[1], both)
        return fma(both, broadcast_f32(x, at + SCALE), total)

    return halves


@device
def unpacked_levels(w, part, g):
    return load_bytes(w + PART_BYTES * part + 64 * g)


@device
def unpacked_factors(w, part):
    place = w + PART_BYTES * part + 512
    return load_f32(place), load_f32(place + 64), load_f32(place + 128), load_f32(place + 192)


class Parts:
    """A format's functions, for one token and for many."""

    def __init__(self, levels, factors, weights, size, scales, offset):
        kind = _whole if scales == 1 else _halves
        self.panel = _direct(kind(levels, offset), factors, weights, size)
        self.unpack = _unpacker(levels, factors, weights, size)
        self.add = _added(kind(unpacked_levels, offset))


def _direct(add_part, factors, weights, size):
    """panel(w, x, columns) as in panels.py.

    A block's fields are not read in their order, which the core's own prefetching needs.
    """
    block_bytes, parts = 16 * size, weights // PART
    ahead = prefetch_panels(block_bytes // parts)

    @device
    def panel(w, x, columns):
        total = zeros(w, x)
        for b in range(columns // weights):
            block = w + b * block_bytes
            for part in range(parts):
                at = (b * parts + part) * ACTIVATION_BYTES
                ahead(block, BLOCKS_AHEAD * block_bytes + part * (block_bytes // parts))
                total = add_part(block, part, x, at, factors(block, part), total)
        return total

    return panel


def _unpacker(levels, factors, weights, size):
    """unpack(w, first, last, out): those parts of the panels at w."""
    block_bytes, parts = 16 * size, weights // PART
    ahead = prefetch_panels(block_bytes // parts)

    @device
    def unpack(w, first, last, out):
        for number in range(first, last):
            block, part = w + number // parts * block_bytes, number % parts
            ahead(block, BLOCKS_AHEAD * block_bytes + part * (block_bytes // parts))
            to = out + PART_BYTES * (number - first)
            for g in range(8):
                store(to + 64 * g, levels(block, part, g))
            scale_1, scale_2, lowest_1, lowest_2 = factors(block, part)
            store(to + 512, scale_1)
            store(to + 576, scale_2)
            store(to + 640, lowest_1)
            store(to + 704, lowest_2)

    return unpack


def _added(add_part):
    """add(w, count, x, at, total): the products of so many unpacked parts."""

    @device
    def add(w, count, x, at, total):
        for part in range(count):
            here = at + part * ACTIVATION_BYTES
            total = add_part(w, part, x, here, unpacked_factors(w, part), total)
        return total

    return add


PARTS = {name: Parts(*entry) for name, entry in IN_PARTS.items()}
