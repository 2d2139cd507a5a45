"""Cached keys and values of four or five bits an element: 32 elements share a scale.

They are coded as weights of these formats are (quant/legacy.py, quant/iquants.py).
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from ops.cpu.kernels.attention.records import Keys, Values
from ops.cpu.kernels.simd.addresses import tile_of_panels
from ops.cpu.kernels.simd.compiler import device
from ops.cpu.kernels.simd.dots import lookup
from ops.cpu.kernels.simd.memory import store_f16, store_u8, store_u16
from ops.cpu.kernels.simd.operations import (
    LANES,
    add,
    and_int,
    as_bytes,
    as_words,
    broadcast_f32,
    choose,
    fma,
    less,
    load_f16,
    load_f32,
    load_u8,
    maximum,
    minimum,
    multiply,
    or_int,
    prefetch,
    ramp,
    reduce_add,
    reduce_add_int,
    reduce_max,
    shift_left,
    shift_right,
    subtract,
    subtract_int,
    to_float,
    to_int,
    zeros,
)
from ops.cpu.kernels.simd.tiles import (
    load_bits,
    load_nibbles,
    load_scales,
    load_scales_of_pairs,
    scatter_i8,
    store_nibbles,
)
from ops.state.formats import CODED, PANEL
from quant.iquants import LEVELS, MIDPOINTS

ONE, HALF, NONE = np.float32(1), np.float32(0.5), np.float32(0)


@dataclass(frozen=True, slots=True)
class Coding:
    """encode(32 floats as two registers) gives their levels as two registers, scale and minimum.

    decode(levels) gives floats, which are scaled and moved by the minimum, if there is one.
    """

    encode: Callable[..., Any]
    decode: Callable[..., Any]
    has_fifths: bool = False
    has_minima: bool = False


@device
def largest_of(a, b):
    return reduce_max(maximum(a, b))


@device
def inverse_of(d):
    return ONE / d if d != 0 else NONE


@device
def signed_largest(a, b):
    """The number of largest magnitude."""
    highest = largest_of(a, b)
    lowest = -largest_of(multiply(a, -ONE), multiply(b, -ONE))
    return highest if highest > -lowest else lowest


def symmetric(zero):
    """Levels less `zero` times the scale: the largest magnitude has level 0."""
    moved, top = np.float32(zero + 0.5), np.float32(2 * zero - 1)

    @device
    def levels(x, inverse):
        return to_int(minimum(add(multiply(x, inverse), moved), top))

    @device
    def encode(a, b):
        d = signed_largest(a, b) / np.float32(-zero)
        inverse = inverse_of(d)
        return levels(a, inverse), levels(b, inverse), d, NONE

    @device
    def decode(levels):
        return to_float(subtract_int(levels, zero))

    return Coding(encode, decode, has_fifths=zero > 8)


def affine(top):
    """Levels from 0 to `top` times the scale, above a minimum."""
    most = np.float32(top)

    @device
    def levels(x, lowest, inverse):
        return to_int(minimum(add(multiply(subtract(x, lowest), inverse), HALF), most))

    @device
    def encode(a, b):
        lowest = -largest_of(multiply(a, -ONE), multiply(b, -ONE))
        d = (largest_of(a, b) - lowest) / most
        inverse = inverse_of(d)
        return levels(a, lowest, inverse), levels(b, lowest, inverse), d, lowest

    return Coding(encode, to_float, has_fifths=top > 15, has_minima=True)


def by_table():
    """The levels of IQ4_NL; the scale is fitted to all, weighted by their squares."""
    table, midpoints = lookup([level + 128 for level in LEVELS]), np.array(MIDPOINTS, np.float32)

    @device
    def decode(levels):
        return to_float(subtract_int(and_int(as_words(table(as_bytes(levels))), 255), 128))

    @device
    def levels(x, inverse):
        scaled = multiply(x, inverse)
        count = multiply(x, NONE)
        for n in range(15):
            count = add(count, choose(less(scaled, midpoints[n]), NONE, ONE))
        return to_int(count)

    @device
    def weighted(x, q, y):
        return reduce_add(multiply(multiply(multiply(x, x), q), y))

    @device
    def encode(a, b):
        first = signed_largest(a, b) / np.float32(LEVELS[0])
        inverse = inverse_of(first)
        low, high = levels(a, inverse), levels(b, inverse)
        q_a, q_b = decode(low), decode(high)
        squares = weighted(a, q_a, q_a) + weighted(b, q_b, q_b)
        d = (weighted(a, q_a, a) + weighted(b, q_b, b)) * inverse_of(squares)
        return low, high, d, NONE

    return Coding(encode, decode)


CODINGS = {"q4_0": symmetric(8), "q4_1": affine(15), "q5_0": symmetric(16), "q5_1": affine(31)}
CODINGS |= {"iq4_nl": by_table()}


@device
def fifths_of(levels):
    """The fifth bits of 16 levels, as the bits of a number."""
    return reduce_add_int(shift_left(shift_right(levels, 4), ramp()))


def coded_keys(kind):
    """32 elements of a panel, drawn in ops/state/formats.py."""
    coding = CODINGS[kind]
    encode, decode = coding.encode, coding.decode
    fifths, minima = coding.has_fifths, coding.has_minima
    size, first = PANEL * CODED[kind], 2 * PANEL * (1 + minima)
    bits = first + PANEL * 16
    fetch = prefetch(size)

    @device
    def pair_of(panels, i):
        """Elements i and i + 16 of a block."""
        nibbles = load_u8(panels + first + PANEL * i)
        low, high = and_int(nibbles, 15), shift_right(nibbles, 4)
        if fifths:
            place, bit = panels + bits + PANEL * (i // 8), i % 8
            low_bit = and_int(shift_right(load_u8(place), bit), 1)
            high_bit = and_int(shift_right(load_u8(place + 2 * PANEL), bit), 1)
            low = or_int(low, shift_left(low_bit, 4))
            high = or_int(high, shift_left(high_bit, 4))
        return decode(low), decode(high)

    @device
    def product(queries, panel, lane, d, ahead):
        panels = tile_of_panels(panel + lane, LANES)
        scales = tile_of_panels(panel + 2 * lane, 2 * LANES)
        total = zeros(panels, queries)
        for block in range(d // 32):
            here, q = panels + size * block, queries + 128 * block
            fetch(ahead + size * block)
            unscaled, sums = zeros(panels, queries), zeros(lane, queries)
            for i in range(16):
                low, high = pair_of(here, i)
                q_low, q_high = broadcast_f32(q, 4 * i), broadcast_f32(q, 4 * i + 64)
                unscaled = fma(q_high, high, fma(q_low, low, unscaled))
                if minima:
                    sums = add(sums, add(q_low, q_high))
            total = fma(unscaled, load_f16(scales + size * block), total)
            if minima:
                total = fma(sums, load_f16(scales + size * block + 2 * PANEL), total)
        return total

    @device
    def write(panel, lane, source, d):
        for block in range(d // 32):
            to, here = panel + size * block, source + 128 * block
            a, b, scale, lowest = encode(load_f32(here), load_f32(here + 4 * LANES))
            store_f16(to, lane, scale)
            if minima:
                store_f16(to + 2 * PANEL, lane, lowest)
            nibbles = or_int(and_int(a, 15), shift_left(and_int(b, 15), 4))
            scatter_i8(to + first + lane, PANEL, nibbles)
            if fifths:
                rest = fifths_of(a) | fifths_of(b) << 16
                for n in range(4):
                    store_u8(to + bits + PANEL * n, lane, rest >> 8 * n & 255)

    return Keys(product, write)


def coded_values(kind):
    """A row of panels of 16 elements: | nibbles 8 | fifth bits 2, if any |, then the scales."""
    coding = CODINGS[kind]
    encode, decode = coding.encode, coding.decode
    fifths, minima = coding.has_fifths, coding.has_minima
    panel_bytes, scale_bytes = 8 + 2 * fifths, 2 + 2 * minima

    @device
    def load(panels, scales):
        levels = load_nibbles(panels)
        if fifths:
            levels = or_int(levels, shift_left(load_bits(panels + 8), 4))
        if minima:
            lowest = load_scales_of_pairs(scales + 2, panels)
            return fma(decode(levels), load_scales_of_pairs(scales, panels), lowest)
        return multiply(decode(levels), load_scales(scales, panels))

    @device
    def put(to, levels):
        store_nibbles(to, levels)
        if fifths:
            store_u16(to + 8, 0, fifths_of(levels))

    @device
    def write(row, source, d):
        for block in range(d // 32):
            to, here = row + 2 * panel_bytes * block, source + 128 * block
            a, b, scale, lowest = encode(load_f32(here), load_f32(here + 4 * LANES))
            put(to, a)
            put(to + panel_bytes, b)
            scales = row + d // LANES * panel_bytes + scale_bytes * block
            store_f16(scales, 0, scale)
            if minima:
                store_f16(scales, 1, lowest)

    return Values(panel_bytes, scale_bytes, load, prefetch(4 * panel_bytes), write)
