"""Parts of 32 columns: multiplied as they are unpacked, or unpacked once for many tokens.

Both ways do the same arithmetic in the same order, so that a token's result does not depend on the
number of tokens.
"""

from ops.cpu.kernels.formats.arithmetic import add_scaled, offset_sums, subtract_minimum
from ops.cpu.kernels.formats.panels import BYTES_AHEAD
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
    to_float,
    zeros,
)
from ops.cpu.layout import (
    ACTIVATION_BYTES,
    MINUS_HALF_SUMS,
    MINUS_SCALED_HALF_SUMS,
    MINUS_SUM,
    PANEL_ROWS,
    PART_BYTES,
    SCALE,
)

PART = 32  # columns
WHOLE_BYTE = 7  # the offset of levels from 0 to 255


def _one_scale(levels, offset):
    """add(w, part, x, x_offset, factors, total): the products of a part that has one scale."""
    multiply_bytes = dot if offset == WHOLE_BYTE else dot_small

    @inlined
    def add_part(w, part, x, x_offset, factors, total):
        if offset is None:
            total = subtract_minimum(factors[2], x, x_offset, total)
            sums = int_zeros(w, x)
        else:
            sums = offset_sums(w, x, x_offset + MINUS_SUM, offset)
        for g in range(8):
            sums = multiply_bytes(sums, levels(w, part, g), broadcast_i32(x, x_offset + 4 * g))
        return add_scaled(sums, factors[0], x, x_offset, total)

    return add_part


def _two_scales(levels, offset):
    """As `_one_scale`, with a scale for every 16 columns."""

    @inlined
    def add_part(w, part, x, x_offset, factors, total):
        if offset is None:
            half_sums = x_offset + MINUS_SCALED_HALF_SUMS
            total = fma(factors[2], broadcast_f32(x, half_sums), total)
            total = fma(factors[3], broadcast_f32(x, half_sums + 4), total)
            first, second = int_zeros(w, x), int_zeros(w, x)
        else:
            first = offset_sums(w, x, x_offset + MINUS_HALF_SUMS, offset)
            second = offset_sums(w, x, x_offset + MINUS_HALF_SUMS + 4, offset)
        for g in range(4):
            first = dot_small(first, levels(w, part, g), broadcast_i32(x, x_offset + 4 * g))
        for g in range(4, 8):
            second = dot_small(second, levels(w, part, g), broadcast_i32(x, x_offset + 4 * g))
        both = multiply(to_float(first), factors[0])
        both = fma(to_float(second), factors[1], both)
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
        kind = _one_scale if kernels.scales == 1 else _two_scales
        self.panel = _direct(kind(kernels.levels, kernels.offset), kernels)
        self.unpack = _unpacker(kernels)
        self.add = _added(kind(unpacked_levels, kernels.offset))


def _direct(add_part, kernels):
    """panel(w, x, columns) as in panels.py.

    A block's fields are not read in sequence, so the core's own prefetching does not help.
    """
    weights, factors = kernels.format.block_size, kernels.factors
    block_bytes, parts = PANEL_ROWS * kernels.format.block_bytes, weights // PART
    ahead = prefetch_panels(block_bytes // parts)

    @device
    def panel(w, x, columns):
        total = zeros(w, x)
        for b in range(columns // weights):
            block = w + b * block_bytes
            for part in range(parts):
                x_offset = (b * parts + part) * ACTIVATION_BYTES
                ahead(block, BYTES_AHEAD + part * (block_bytes // parts))
                total = add_part(block, part, x, x_offset, factors(block, part), total)
        return total

    return panel


def _unpacker(kernels):
    """unpack(w, first, last, out): writes the panels' parts first .. last - 1 to `out`."""
    levels, factors = kernels.levels, kernels.factors
    block_bytes = PANEL_ROWS * kernels.format.block_bytes
    parts = kernels.format.block_size // PART
    ahead = prefetch_panels(block_bytes // parts)

    @device
    def unpack(w, first, last, out):
        for number in range(first, last):
            block, part = w + number // parts * block_bytes, number % parts
            ahead(block, BYTES_AHEAD + part * (block_bytes // parts))
            target = out + PART_BYTES * (number - first)
            for g in range(8):
                store(target + 64 * g, levels(block, part, g))
            scale_1, scale_2, minimum_1, minimum_2 = factors(block, part)
            store(target + 512, scale_1)
            store(target + 576, scale_2)
            store(target + 640, minimum_1)
            store(target + 704, minimum_2)

    return unpack


def _added(add_part):
    """add(w, count, x, x_offset, total): the products of `count` unpacked parts."""

    @device
    def add(w, count, x, x_offset, total):
        for part in range(count):
            here = x_offset + part * ACTIVATION_BYTES
            total = add_part(w, part, x, here, unpacked_factors(w, part), total)
        return total

    return add
