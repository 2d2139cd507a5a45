"""Super-blocks of 256 weights: Q2_K to Q6_K (layouts: see quant.kquants).

First each sub-block's scale (and minimum) is searched for, then those of a super-block are rounded
to whole multiples of its own; then the levels are taken again, from the scales as they are stored.
"""

import numpy as np

from ops.cpu.kernels.encoding import search
from ops.cpu.kernels.encoding.lanes import (
    BYTES,
    EPSILON,
    LEVELS,
    REGISTER,
    RESULTS,
    ROOM,
    WEIGHTS,
    ZERO,
    X,
    equal,
    importance_weights,
    in_order,
    level,
    nearest_number,
    root,
    side_by_side,
    spread,
    square_weights,
    sum_of,
    sum_of_squares,
)
from ops.cpu.kernels.simd.compiler import device
from ops.cpu.kernels.simd.memory import (
    load_f16,
    store_f16,
    store_i32,
    store_u8,
)
from ops.cpu.kernels.simd.memory import load_f32 as load_number
from ops.cpu.kernels.simd.memory import load_u8 as load_byte
from ops.cpu.kernels.simd.memory import store_f32 as store_number
from ops.cpu.kernels.simd.operations import (
    LANES,
    absolute,
    add,
    and_int,
    choose,
    divide,
    load_f32,
    load_u8,
    multiply,
    or_int,
    shift_left,
    shift_right,
    store,
    store_i8,
    to_float,
    to_int,
)

SUPER = 256
SCALES, MINIMA = RESULTS, RESULTS + REGISTER  # of each sub-block, in scratch memory
SUMS = RESULTS + 2 * REGISTER  # of its weights
ROUNDED, ROUNDED_MINIMA = RESULTS + 3 * REGISTER, RESULTS + 4 * REGISTER  # whole numbers, as f32
STEPS_OF_SCALE, STEPS_OF_MINIMUM = RESULTS + 5 * REGISTER, RESULTS + 6 * REGISTER
"""d and dmin times those: what a level and the minimum of each sub-block are worth."""
FIRST, STEP, STEPS = np.float32(-0.9), np.float32(0.05), 36
"""With importance: see `search.affine`."""
HALF, TENTH, MINUS_ONE = np.float32(0.5), np.float32(0.1), np.float32(-1)


@device
def levels_again(n, lowest, highest, scratch):
    """Levels of (x + minimum) / scale; a sub-block of scale 0 keeps those it has.

    They are bytes from 0 on: a lowest level below 0 is added to.
    """
    scale, minimum = load_f32(scratch + STEPS_OF_SCALE), load_f32(scratch + STEPS_OF_MINIMUM)
    empty, shift = equal(scale, ZERO), np.float32(-lowest)
    for i in range(n):
        value, place = load_f32(scratch + X + REGISTER * i), scratch + LEVELS + LANES * i
        new = level(divide(add(value, minimum), scale), lowest, highest)
        store_i8(place, to_int(choose(empty, to_float(load_u8(place)), add(new, shift))))
    in_order(scratch + LEVELS, n, scratch + BYTES)


@device
def largest_number(values, n):
    most = ZERO
    for i in range(n):
        most = load_number(values, i) if load_number(values, i) > most else most
    return most


@device
def largest_signed(values, n):
    """The number of the largest magnitude; the first one wins."""
    most = ZERO
    for i in range(n):
        most = load_number(values, i) if abs(load_number(values, i)) > abs(most) else most
    return most


@device
def round_to_multiples(values, n, N, rounded):
    """Levels 0 .. N of numbers whose largest gets N; returns their scale."""
    most = largest_number(values, n)
    inverse = np.float32(N) / most if most > ZERO else ZERO
    for i in range(n):
        q = min(N, nearest_number(inverse * load_number(values, i)) & 255)
        store_number(rounded, i, np.float32(q))
    return most / np.float32(N)


@device
def put_two_bits(levels, out):
    """256 levels in 64 bytes: 32 bytes hold 128, the first 32 in the lowest bits."""
    for n in range(4):
        source = levels + 128 * (n // 2) + LANES * (n % 2)
        packed = and_int(load_u8(source), 3)
        for part in range(1, 4):
            fields = and_int(load_u8(source + 32 * part), 3)
            packed = or_int(packed, shift_left(fields, 2 * part))
        store_i8(out + LANES * n, packed)


@device
def encode_q2_k(x, importance, out, scratch):
    side_by_side(x, LANES, 16, scratch + X)
    if importance != 0:
        side_by_side(importance, LANES, 16, scratch + WEIGHTS)
        variance = sum_of_squares(x, SUPER) / np.float32(SUPER)
        importance_weights(scratch + X, 16, variance, scratch + WEIGHTS)
        store(scratch + SUMS, sum_of(scratch + WEIGHTS, 16))
        first, step, steps = FIRST, STEP, STEPS
    else:
        for i in range(16):
            size = absolute(load_f32(scratch + X + REGISTER * i))
            store(scratch + WEIGHTS + REGISTER * i, size)
        first, step, steps = -HALF, TENTH, 15
    plain = importance == 0
    scale, minimum = search.affine(
        scratch + X, scratch + WEIGHTS, 16, 3, first, step, steps, plain, scratch + LEVELS
    )
    store(scratch + SCALES, scale)
    store(scratch + MINIMA, minimum)
    round_pairs(16, 15, plain, scratch, scratch, scratch + SUMS, out + 80)
    for j in range(16):
        minimum = int(load_number(scratch + ROUNDED_MINIMA, j))
        store_u8(out, j, int(load_number(scratch + ROUNDED, j)) | minimum << 4)
    levels_again(16, 0, 3, scratch)
    put_two_bits(scratch + BYTES, out + 16)


@device
def round_pairs(n, N, plain, at, steps, sums, out):
    """Rounds the scales and minima of n sub-blocks; d and dmin go to `out`.

    `at`: where in scratch memory the super-block's lanes begin; `sums`: of their weights.
    """
    if plain:
        d = round_to_multiples(at + SCALES, n, N, at + ROUNDED)
        dmin = round_to_multiples(at + MINIMA, n, N, at + ROUNDED_MINIMA)
    else:
        d = search.positive(at + SCALES, sums, n, N, at + ROUNDED)
        dmin = search.positive(at + MINIMA, sums, n, N, at + ROUNDED_MINIMA)
    store_f16(out, 0, d)
    store_f16(out, 1, dmin)
    d, dmin = load_f16(out, 0), load_f16(out, 1)
    for j in range(n):
        store_number(at + STEPS_OF_SCALE, j, d * load_number(at + ROUNDED, j))
        store_number(at + STEPS_OF_MINIMUM, j, dmin * load_number(at + ROUNDED_MINIMA, j))


@device
def round_signed(N, highest, scratch, out):
    """Scales of either sign: the largest gets -N, and so do all if all are zero.

    Returns whether all are too small to be kept.
    """
    most = largest_signed(scratch + SCALES, 16)
    inverse = np.float32(-N) / most
    for j in range(16):
        q = min(highest, nearest_number(inverse * load_number(scratch + SCALES, j)))
        q = q if most != ZERO else -N
        store_number(scratch + ROUNDED, j, np.float32(max(-N, q)))
    store_f16(out, 0, np.float32(1) / inverse if most != ZERO else ZERO)
    return abs(most) < EPSILON


@device
def steps_of_scale(d, scratch):
    for j in range(16):
        store_number(scratch + STEPS_OF_SCALE, j, d * load_number(scratch + ROUNDED, j))
        store_number(scratch + STEPS_OF_MINIMUM, j, ZERO)


@device
def encode_q3_k(x, importance, out, scratch):
    side_by_side(x, LANES, 16, scratch + X)
    values, weights, levels = scratch + X, scratch + WEIGHTS, scratch + LEVELS
    if importance != 0:
        side_by_side(importance, LANES, 16, weights)
        variance = np.float32(2) * sum_of_squares(x, SUPER) / np.float32(SUPER)
        importance_weights(values, 16, variance, weights)
        store(scratch + SUMS, sum_of(weights, 16))
        store(scratch + SCALES, search.symmetric(values, weights, 16, 4, levels))
        round_with_sums(scratch, out + 108)
    else:
        square_weights(values, 16, weights)
        scales = search.symmetric_by_steps(values, weights, 16, 4, levels, scratch + ROOM)
        store(scratch + SCALES, scales)
        round_signed(32, 31, scratch, out + 108)
    put_six_bit_scales(scratch, out + 96)
    steps_of_scale(load_f16(out + 108, 0), scratch)
    levels_again(16, -4, 3, scratch)
    put_two_bits(scratch + BYTES, out + 32)
    for half in range(2):
        top = and_int(load_u8(scratch + BYTES), 0)
        for part in range(8):
            third = shift_right(load_u8(scratch + BYTES + 32 * part + LANES * half), 2)
            top = or_int(top, shift_left(third, part))
        store_i8(out + LANES * half, top)


@device
def round_with_sums(scratch, out):
    """The 16 scales as levels of one: a sub-block in the first lane, nothing in the others."""
    room, weights = scratch + ROOM, scratch + WEIGHTS
    for j in range(16):
        store(room + REGISTER * j, spread(ZERO))
        store(weights + REGISTER * j, spread(ZERO))
        store_number(room + REGISTER * j, 0, load_number(scratch + SCALES, j))
        store_number(weights + REGISTER * j, 0, load_number(scratch + SUMS, j))
    store(scratch + STEPS_OF_SCALE, search.symmetric(room, weights, 16, 32, scratch + BYTES))
    store_f16(out, 0, load_number(scratch + STEPS_OF_SCALE, 0))
    for j in range(16):
        q = load_byte(scratch + BYTES, LANES * j) - 32
        store_number(scratch + ROUNDED, j, np.float32(q))


@device
def put_six_bit_scales(scratch, out):
    store_i32(out, 0, 0)
    store_i32(out, 1, 0)
    store_i32(out, 2, 0)
    for j in range(16):
        q = int(load_number(scratch + ROUNDED, j)) + 32
        low, high = j % 8, 8 + j % 4
        store_u8(out, low, load_byte(out, low) | (q & 15) << 4 * (j // 8))
        store_u8(out, high, load_byte(out, high) | (q >> 4) << 2 * (j // 4))


@device
def encode_q6_k(x, importance, out, scratch):
    side_by_side(x, LANES, 16, scratch + X)
    if importance != 0:
        side_by_side(importance, LANES, 16, scratch + WEIGHTS)
    else:
        square_weights(scratch + X, 16, scratch + WEIGHTS)
    scales = search.symmetric(scratch + X, scratch + WEIGHTS, 16, 32, scratch + LEVELS)
    store(scratch + SCALES, scales)
    if round_signed(128, 127, scratch, out + 208):
        for n in range(210):
            store_u8(out, n, 0)
        return
    store_i8(out + 192, to_int(load_f32(scratch + ROUNDED)))
    steps_of_scale(load_f16(out + 208, 0), scratch)
    levels_again(16, -32, 31, scratch)
    for half in range(2):
        for n in range(2):
            a = load_u8(scratch + BYTES + 128 * half + LANES * n)
            b = load_u8(scratch + BYTES + 128 * half + LANES * n + 32)
            c = load_u8(scratch + BYTES + 128 * half + LANES * n + 64)
            d = load_u8(scratch + BYTES + 128 * half + LANES * n + 96)
            low = out + 64 * half + LANES * n
            store_i8(low, or_int(and_int(a, 15), shift_left(and_int(c, 15), 4)))
            store_i8(low + 32, or_int(and_int(b, 15), shift_left(and_int(d, 15), 4)))
            ab = or_int(shift_right(a, 4), shift_left(shift_right(b, 4), 2))
            cd = or_int(shift_left(shift_right(c, 4), 4), shift_left(shift_right(d, 4), 6))
            store_i8(out + 128 + 32 * half + LANES * n, or_int(ab, cd))


@device
def put_scales_and_minima(at, out):
    """Six bits each, in 12 bytes (see quant.kquants)."""
    for j in range(4):
        a, m = int(load_number(at + ROUNDED, j)), int(load_number(at + ROUNDED_MINIMA, j))
        b, k = int(load_number(at + ROUNDED, j + 4)), int(load_number(at + ROUNDED_MINIMA, j + 4))
        store_u8(out, j, a | (b >> 4) << 6)
        store_u8(out, j + 4, m | (k >> 4) << 6)
        store_u8(out, j + 8, (b & 15) | (k & 15) << 4)


@device
def nibbles_of_groups(levels, out):
    """128 bytes: 32 hold two groups of 32 weights, the first in their low nibbles."""
    for n in range(8):
        pair, half = n // 2, n % 2
        low = and_int(load_u8(levels + 256 * half + 32 * pair), 15)
        high = and_int(load_u8(levels + 256 * half + 32 * pair + LANES), 15)
        store_i8(out + LANES * n, or_int(low, shift_left(high, 4)))


@device
def fifths_of_groups(levels, out):
    """32 bytes: bit g of byte l is the fifth bit of weight l of group g."""
    for half in range(2):
        top = and_int(load_u8(levels), 0)
        for group in range(8):
            fifth = shift_right(load_u8(levels + 256 * half + LANES * group), 4)
            top = or_int(top, shift_left(fifth, group))
        store_i8(out + LANES * half, top)


def in_pairs(bits, size, first, step, steps):
    """Encodes rows of Q4_K or Q5_K: the groups of 32 of two super-blocks are 16 lanes."""
    N = (1 << bits) - 1

    @device
    def weigh(x, importance, count, scratch):
        values, weights = scratch + X, scratch + WEIGHTS
        if importance == 0:
            squares = spread(ZERO)
            for i in range(32):
                value = load_f32(values + REGISTER * i)
                squares = add(squares, multiply(value, value))
            mean = root(divide(squares, np.float32(32)))
            for i in range(32):
                size = absolute(load_f32(values + REGISTER * i))
                store(weights + REGISTER * i, add(mean, size))
            return
        for lane in range(LANES):
            if lane % 8 == 0:
                block = x + 4 * SUPER * min(lane // 8, count - 1)
                variance = np.float32(2) * sum_of_squares(block, SUPER) / np.float32(SUPER)
            store_number(scratch + SUMS, lane, variance)
        side_by_side(importance, 8 * count, 32, weights)
        importance_weights(values, 32, load_f32(scratch + SUMS), weights)
        store(scratch + SUMS, sum_of(weights, 32))

    @device
    def encode_two(x, importance, count, out, scratch):
        side_by_side(x, 8 * count, 32, scratch + X)
        weigh(x, importance, count, scratch)
        plain = importance == 0
        values, weights, levels = scratch + X, scratch + WEIGHTS, scratch + LEVELS
        if plain:
            scale, minimum = search.affine(
                values, weights, 32, N, first, step, steps, False, levels
            )
        else:
            scale, minimum = search.affine(
                values, weights, 32, N, FIRST, STEP, STEPS, False, levels
            )
        store(scratch + SCALES, scale)
        store(scratch + MINIMA, minimum)
        for n in range(count):
            at, block = scratch + 32 * n, out + size * n
            round_pairs(8, 63, plain, at, at, at + SUMS, block)
            put_scales_and_minima(at, block + 4)
        levels_again(32, 0, N, scratch)
        for n in range(count):
            groups, block = scratch + BYTES + 128 * n, out + size * n + 16
            if bits == 5:
                fifths_of_groups(groups, block)
                nibbles_of_groups(groups, block + 32)
            else:
                nibbles_of_groups(groups, block)

    @device
    def encode_row(row, importance, columns, out, scratch, tables):
        blocks = columns // SUPER
        for b in range(0, blocks, 2):
            x, count = row + 4 * SUPER * b, min(2, blocks - b)
            here = importance + 4 * SUPER * b if importance != 0 else 0
            encode_two(x, here, count, out + size * b, scratch)

    return encode_row


def one_by_one(encode_block, size):
    @device
    def encode_row(row, importance, columns, out, scratch, tables):
        for b in range(columns // SUPER):
            here = importance + 4 * SUPER * b if importance != 0 else 0
            encode_block(row + 4 * SUPER * b, here, out + size * b, scratch)

    return encode_row


ENCODERS = {
    "Q2_K": one_by_one(encode_q2_k, 84),
    "Q3_K": one_by_one(encode_q3_k, 110),
    "Q4_K": in_pairs(4, 144, MINUS_ONE, TENTH, 20),
    "Q5_K": in_pairs(5, 176, -HALF, TENTH, 15),
    "Q6_K": one_by_one(encode_q6_k, 210),
}
