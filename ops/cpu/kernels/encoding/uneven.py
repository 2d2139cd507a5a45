"""Four bits whose levels are not evenly spaced: IQ4_NL, IQ4_XS (layouts: see quant.iquants)."""

from itertools import pairwise

import numpy as np

from ops.cpu.kernels.encoding.lanes import (
    BYTES,
    EPSILON,
    LEVELS,
    REGISTER,
    RESULTS,
    WEIGHTS,
    ZERO,
    X,
    both,
    importance_weights,
    in_order,
    largest_of,
    nearest_number,
    side_by_side,
    spread,
    square_weights,
    sum_of_squares,
)
from ops.cpu.kernels.encoding.legacy import inverse_of, put_levels
from ops.cpu.kernels.simd.compiler import device
from ops.cpu.kernels.simd.memory import load_f32 as load_number
from ops.cpu.kernels.simd.memory import store_f16, store_u8, store_u16
from ops.cpu.kernels.simd.memory import store_f32 as store_number
from ops.cpu.kernels.simd.operations import (
    LANES,
    add,
    choose,
    divide,
    less,
    load_f32,
    load_u8,
    multiply,
    store,
    store_i8,
    to_int,
)
from quant.iquants import LEVELS as TABLE
from quant.iquants import MIDPOINTS

BLOCK, SUPER = 32, 256
MIDDLES = tuple(np.float32(middle) for middle in MIDPOINTS)
GAPS = tuple(np.float32(high - low) for low, high in pairwise(TABLE))
LOWEST = np.float32(TABLE[0])
ONE, TRIALS = np.float32(1), 7
SCALES, INVERSES = RESULTS, RESULTS + REGISTER


@device
def nearest_entry(x):
    """The table's entry nearest to x; of two the upper one."""
    entry = spread(LOWEST)
    for n in range(15):
        entry = add(entry, choose(less(x, MIDDLES[n]), ZERO, GAPS[n]))
    return entry


@device
def nearest_index(x):
    index = spread(ZERO)
    for n in range(15):
        index = add(index, choose(less(x, MIDDLES[n]), ZERO, ONE))
    return index


@device
def fit(x, w, inverse):
    products, squares = spread(ZERO), spread(ZERO)
    for i in range(BLOCK):
        value, weight = load_f32(x + REGISTER * i), load_f32(w + REGISTER * i)
        entry = nearest_entry(multiply(inverse, value))
        weighted = multiply(weight, entry)
        products = add(products, multiply(weighted, value))
        squares = add(squares, multiply(weighted, entry))
    return products, squares


@device
def search_scales(x, w):
    """The scale of each lane: the largest weight gets the lowest entry, or one up to 7 beside."""
    most, signed = largest_of(x, BLOCK)
    products, squares = fit(x, w, divide(ONE, divide(signed, -LOWEST)))
    scale = choose(less(ZERO, squares), divide(products, squares), ZERO)
    best = multiply(scale, products)
    for trial in range(-TRIALS, TRIALS + 1):
        products, squares = fit(x, w, divide(np.float32(trial) + LOWEST, signed))
        larger = less(multiply(best, squares), multiply(products, products))
        better = both(less(ZERO, squares), larger)
        scale = choose(better, divide(products, squares), scale)
        best = choose(better, multiply(scale, products), best)
    return choose(less(most, EPSILON), ZERO, scale)


@device
def put_nibbles(lane, out, scratch):
    levels = scratch + BYTES + LANES * lane
    put_levels(load_u8(levels), load_u8(levels + LANES * LANES), out)


@device
def find_levels(scratch):
    inverse = load_f32(scratch + INVERSES)
    for i in range(BLOCK):
        index = nearest_index(multiply(inverse, load_f32(scratch + X + REGISTER * i)))
        store_i8(scratch + LEVELS + LANES * i, to_int(index))
    in_order(scratch + LEVELS, BLOCK, scratch + BYTES)


@device
def encode_iq4_nl(row, importance, columns, out, scratch, tables):
    x, w, size = scratch + X, scratch + WEIGHTS, 2 + BLOCK // 2
    for first in range(0, columns, LANES * BLOCK):
        count = min(LANES, (columns - first) // BLOCK)
        side_by_side(row + 4 * first, count, BLOCK, x)
        if importance != 0:
            squares = spread(ZERO)
            for i in range(BLOCK):
                value = load_f32(x + REGISTER * i)
                squares = add(squares, multiply(value, value))
            side_by_side(importance + 4 * first, count, BLOCK, w)
            importance_weights(x, BLOCK, multiply(squares, np.float32(2 / BLOCK)), w)
        else:
            square_weights(x, BLOCK, w)
        store(scratch + SCALES, search_scales(x, w))
        for lane in range(LANES):
            inverse = inverse_of(load_number(scratch + SCALES, lane))
            store_number(scratch + INVERSES, lane, inverse)
        find_levels(scratch)
        for lane in range(count):
            block = out + size * (first // BLOCK + lane)
            store_f16(block, 0, load_number(scratch + SCALES, lane))
            put_nibbles(lane, block + 2, scratch)


@device
def round_scales(at, block):
    """The super-block's scale, and eight of six bits; the sub-blocks' inverses to scratch."""
    most = ZERO
    for j in range(8):
        scale = load_number(at + SCALES, j)
        most = scale if abs(scale) > abs(most) else most
    d = -most / np.float32(32)
    inverse, high, low = inverse_of(d), 0, 0
    store_f16(block, 0, d)
    for j in range(8):
        q = nearest_number(inverse * load_number(at + SCALES, j))
        q = max(-32, min(31, q))
        store_number(at + INVERSES, j, inverse_of(d * np.float32(q)))
        high |= (q + 32 >> 4) << 2 * j
        low = (low & 15) >> 4 * (1 - j % 2) | (q + 32 & 15) << 4 * (j % 2)
        store_u8(block, 4 + j // 2, low)
    store_u16(block, 1, high)


@device
def encode_iq4_xs(row, importance, columns, out, scratch, tables):
    x, w, size, blocks = scratch + X, scratch + WEIGHTS, 136, columns // SUPER
    for b in range(0, blocks, 2):
        here, count = row + 4 * SUPER * b, min(2, blocks - b)
        side_by_side(here, 8 * count, BLOCK, x)
        if importance != 0:
            for n in range(2):
                block = here + 4 * SUPER * min(n, count - 1)
                variance = sum_of_squares(block, SUPER) * np.float32(2 / SUPER)
                for lane in range(8 * n, 8 * n + 8):
                    store_number(scratch + SCALES, lane, variance)
            side_by_side(importance + 4 * SUPER * b, 8 * count, BLOCK, w)
            importance_weights(x, BLOCK, load_f32(scratch + SCALES), w)
        else:
            square_weights(x, BLOCK, w)
        store(scratch + SCALES, search_scales(x, w))
        for n in range(count):
            round_scales(scratch + 32 * n, out + size * (b + n))
        find_levels(scratch)
        for lane in range(8 * count):
            block = out + size * (b + lane // 8)
            put_nibbles(lane, block + 8 + 16 * (lane % 8), scratch)


ENCODERS = {"IQ4_NL": encode_iq4_nl, "IQ4_XS": encode_iq4_xs}
