"""Blocks of 32 weights: Q4_0, Q4_1, Q5_0, Q5_1, Q8_0 (layouts: see quant.legacy).

Without importance a block's largest weights set its scale. With importance the best scale is
searched for, those of 16 blocks at a time.
"""

import numpy as np

from ops.cpu.kernels.encoding import search
from ops.cpu.kernels.encoding.lanes import (
    BYTES,
    LEVELS,
    REGISTER,
    RESULTS,
    WEIGHTS,
    ZERO,
    X,
    importance_weights,
    in_order,
    negative,
    side_by_side,
    smaller_int,
    sum_of_squares,
    whole,
)
from ops.cpu.kernels.simd.compiler import device
from ops.cpu.kernels.simd.memory import load_f32 as load_number
from ops.cpu.kernels.simd.memory import store_f16, store_i32
from ops.cpu.kernels.simd.operations import (
    LANES,
    absolute,
    add,
    and_int,
    choose,
    less,
    load_f32,
    load_u8,
    maximum,
    multiply,
    or_int,
    ramp,
    reduce_add_int,
    reduce_max,
    shift_left,
    shift_right,
    store,
    store_i8,
    subtract,
    to_int,
)

BLOCK = 32
HALF, MINUS_HALF = np.float32(0.5), np.float32(-0.5)
FIRST, STEP, STEPS = np.float32(-0.9), np.float32(0.05), 36
"""With importance: see `search.affine`."""


@device
def inverse_of(d):
    return np.float32(1) / d if d != ZERO else ZERO


@device
def extremes(x):
    """The smallest and the largest of 32 floats."""
    a, b = load_f32(x), load_f32(x + REGISTER)
    return -reduce_max(maximum(negative(a), negative(b))), reduce_max(maximum(a, b))


@device
def largest_weight(x):
    """Of 32 floats that of the largest magnitude, with its sign; the first one wins."""
    low, high = extremes(x)
    if high != -low:
        return high if high > -low else low
    for i in range(BLOCK):
        if high > ZERO and abs(load_number(x, i)) == high:
            return load_number(x, i)
    return ZERO


@device
def smallest_weight(x):
    """Of 32 floats; the first one wins, as there are two zeros."""
    low, _ = extremes(x)
    for i in range(BLOCK):
        if low == ZERO and load_number(x, i) == low:
            return load_number(x, i)
    return low


@device
def put_levels(first, second, out):
    """Nibbles: of weights 0 .. 15 the low ones, of 16 .. 31 the high ones."""
    store_i8(out, or_int(and_int(first, 15), shift_left(and_int(second, 15), 4)))


@device
def put_fifths(first, second, out):
    """Bit 4 of each level: 32 bits."""
    places = ramp()
    low = reduce_add_int(shift_left(and_int(shift_right(first, 4), 1), places))
    high = reduce_add_int(shift_left(and_int(shift_right(second, 4), 1), places))
    store_i32(out, 0, low | high << 16)


def blocks_with_levels(bits, plain, find, put_scale, head):
    """An encoder of rows; `head` bytes come before a block's levels.

    plain(x, out): encodes a block without importance, and returns its levels.
    find(x, weights, levels, results): searches in 16 lanes.
    put_scale(results, lane, out): stores what was found for one.
    """
    levels_at = head + (4 if bits == 5 else 0)
    size = levels_at + 16

    @device
    def put(first, second, out):
        if bits == 5:
            put_fifths(first, second, out + head)
        put_levels(first, second, out + levels_at)

    @device
    def refined(row, first, count, importance, variance, out, scratch):
        side_by_side(row + 4 * first, count, BLOCK, scratch + X)
        side_by_side(importance + 4 * first, count, BLOCK, scratch + WEIGHTS)
        importance_weights(scratch + X, BLOCK, variance, scratch + WEIGHTS)
        find(scratch + X, scratch + WEIGHTS, scratch + LEVELS, scratch + RESULTS)
        in_order(scratch + LEVELS, BLOCK, scratch + BYTES)
        for lane in range(count):
            block, levels = out + size * lane, scratch + BYTES + LANES * lane
            put_scale(scratch + RESULTS, lane, block)
            put(load_u8(levels), load_u8(levels + LANES * LANES), block)

    @device
    def encode_row(row, importance, columns, out, scratch, tables):
        if importance == 0:
            for b in range(columns // BLOCK):
                levels = plain(row + 4 * BLOCK * b, out + size * b)
                put(levels[0], levels[1], out + size * b)
            return
        variance = sum_of_squares(row, columns) / np.float32(columns)
        for first in range(0, columns, LANES * BLOCK):
            count = min(LANES, (columns - first) // BLOCK)
            blocks = out + first // BLOCK * size
            refined(row, first, count, importance, variance, blocks, scratch)

    return encode_row


def symmetric(bits):
    N, shift = 1 << (bits - 1), np.float32((1 << (bits - 1)) + 0.5)

    @device
    def plain(x, out):
        d = largest_weight(x) / np.float32(-N)
        inverse = inverse_of(d)
        store_f16(out, 0, d)
        first = to_int(add(multiply(load_f32(x), inverse), shift))
        second = to_int(add(multiply(load_f32(x + REGISTER), inverse), shift))
        return smaller_int(first, 2 * N - 1), smaller_int(second, 2 * N - 1)

    @device
    def find(x, weights, levels, results):
        store(results, search.symmetric(x, weights, BLOCK, N, levels))

    @device
    def put_scale(results, lane, out):
        store_f16(out, 0, load_number(results, lane))

    return blocks_with_levels(bits, plain, find, put_scale, 2)


def affine(bits):
    N = (1 << bits) - 1

    @device
    def plain(x, out):
        low, high = extremes(x)
        d = (high - low) / np.float32(N)
        inverse = inverse_of(d)
        store_f16(out, 0, d)
        store_f16(out, 1, smallest_weight(x))
        first = to_int(add(multiply(subtract(load_f32(x), low), inverse), HALF))
        second = to_int(add(multiply(subtract(load_f32(x + REGISTER), low), inverse), HALF))
        return smaller_int(first, N), smaller_int(second, N)

    @device
    def find(x, weights, levels, results):
        scale, low = search.affine(x, weights, BLOCK, N, FIRST, STEP, STEPS, False, levels)
        store(results, scale)
        store(results + REGISTER, negative(low))

    @device
    def put_scale(results, lane, out):
        store_f16(out, 0, load_number(results, lane))
        store_f16(out, 1, load_number(results, LANES + lane))

    return blocks_with_levels(bits, plain, find, put_scale, 4)


@device
def half_away_from_zero(x):
    inside = whole(x)
    rest = subtract(x, inside)
    step = choose(less(x, ZERO), np.float32(-1), np.float32(1))
    return add(inside, choose(less(absolute(rest), HALF), ZERO, step))


@device
def encode_q8_0(row, importance, columns, out, scratch, tables):
    for b in range(columns // BLOCK):
        x, block = row + 4 * BLOCK * b, out + (2 + BLOCK) * b
        first, second = load_f32(x), load_f32(x + REGISTER)
        d = reduce_max(maximum(absolute(first), absolute(second))) / np.float32(127)
        inverse = inverse_of(d)
        store_f16(block, 0, d)
        store_i8(block + 2, to_int(half_away_from_zero(multiply(first, inverse))))
        store_i8(block + 2 + LANES, to_int(half_away_from_zero(multiply(second, inverse))))


ENCODERS = {
    "Q4_0": symmetric(4),
    "Q4_1": affine(4),
    "Q5_0": symmetric(5),
    "Q5_1": affine(5),
    "Q8_0": encode_q8_0,
}
