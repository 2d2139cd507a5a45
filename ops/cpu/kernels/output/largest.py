"""The largest logits of each row, in descending order: all that most samplers look at.

A row is read once, for the maxima of its blocks of 64 logits. A bound that at least 64 of the
maxima reach leaves some 100 of the blocks of a large vocabulary, whose logits are put in order.
"""

import numpy as np

from ops.cpu.kernels.simd.compiler import device
from ops.cpu.kernels.simd.memory import (
    claim,
    load_i32,
    load_i64,
    parts_of,
    store_f32,
    store_i32,
)
from ops.cpu.kernels.simd.memory import load_f32 as load_number
from ops.cpu.kernels.simd.operations import (
    LANES,
    add,
    choose,
    fma,
    less,
    load_f32,
    maximum,
    multiply,
    ramp,
    reduce_add,
    reduce_max,
    to_float,
)
from ops.cpu.layout import LARGEST

# operands: addresses of the logits (O, V), the ids and values (O, LARGEST), and the room for a
# thread's maxima; the width V, the bytes of that room, and the step's field with the row count
LOGITS, IDS, VALUES, MAXIMA, WIDTH, MAXIMA_BYTES, COUNT_FIELD = range(7)

AT_ONCE = 4 * LANES
ZERO, ONE, LOWEST = np.float32(0), np.float32(1), np.float32(-np.inf)
HALF, NAN = np.float32(0.5), np.float32(np.nan)
HALVINGS = 24  # of the range of the maxima, at most


@device
def put(ids, values, kept, number, value):
    """Puts a logit behind all kept ones that are not lower; the last of LARGEST falls out."""
    place = min(kept, LARGEST - 1)
    while place > 0 and load_number(values, place - 1) < value:
        store_f32(values, place, load_number(values, place - 1))
        store_i32(ids, place, load_i32(ids, place - 1))
        place -= 1
    store_f32(values, place, value)
    store_i32(ids, place, number)


@device
def put_block(row, first, last, ids, values, kept, bound):
    """Puts the logits first .. last - 1 that reach the bound; returns how many are kept."""
    for i in range(first, last):
        value = load_number(row, i)
        if value >= bound and (kept < LARGEST or value > load_number(values, LARGEST - 1)):
            put(ids, values, kept, i, value)
            kept = min(kept + 1, LARGEST)
    return kept


@device
def block_maxima(row, width, maxima):
    """Writes the maximum of each block, and pads them to whole registers.

    Returns 0, or NaN if any logit is not finite.
    """
    zeros, blocks = multiply(to_float(ramp()), ZERO), width // AT_ONCE
    for block in range(blocks):
        place = row + 4 * AT_ONCE * block
        a, b = load_f32(place), load_f32(place + 4 * LANES)
        c, d = load_f32(place + 8 * LANES), load_f32(place + 12 * LANES)
        zeros = fma(add(add(a, b), add(c, d)), ZERO, zeros)
        store_f32(maxima, block, reduce_max(maximum(maximum(a, b), maximum(c, d))))
    zero, highest = reduce_add(zeros), LOWEST
    for i in range(AT_ONCE * blocks, width):
        value = load_number(row, i)
        zero += value * ZERO
        highest = max(highest, value)
    for n in range(blocks, parts_of(blocks + 1, LANES) * LANES):
        store_f32(maxima, n, highest if n == blocks else LOWEST)
    return zero


@device
def reaching(maxima, count, bound):
    """How many of the maxima reach the bound."""
    total = multiply(to_float(ramp()), ZERO)
    for n in range(0, count, LANES):
        total = add(total, choose(less(load_f32(maxima + 4 * n), bound), ZERO, ONE))
    return reduce_add(total)


@device
def bound_of(maxima, count):
    """A bound that LARGEST of the maxima reach, and not many more, found by halving."""
    low, high = load_number(maxima, 0), load_number(maxima, 0)
    for n in range(1, count):
        low, high = min(low, load_number(maxima, n)), max(high, load_number(maxima, n))
    for _ in range(HALVINGS):
        middle = low + (high - low) * HALF
        above = reaching(maxima, count, middle)
        if above >= LARGEST:
            low = middle
        else:
            high = middle
        if LARGEST <= above <= 2 * LARGEST:
            break
    return low


@device
def find_largest(row, width, ids, values, maxima):
    """The lower id wins a tie. The first value is NaN if any logit is not finite."""
    zero, blocks, kept = block_maxima(row, width, maxima), width // AT_ONCE, 0
    bound = bound_of(maxima, blocks) if blocks >= LARGEST else LOWEST
    for block in range(blocks + 1):
        if load_number(maxima, block) >= bound:
            first = AT_ONCE * block
            kept = put_block(row, first, min(first + AT_ONCE, width), ids, values, kept, bound)
    if zero != 0:
        store_f32(values, 0, NAN)


def largest(op, step, thread, threads):
    """Threads claim rows."""
    maxima = load_i64(op, MAXIMA) + thread * load_i64(op, MAXIMA_BYTES)
    count, width = load_i64(step, load_i64(op, COUNT_FIELD)), load_i64(op, WIDTH)
    logits, ids, values = load_i64(op, LOGITS), load_i64(op, IDS), load_i64(op, VALUES)
    row = claim(op, 1)
    while row < count:
        offset = 4 * LARGEST * row
        find_largest(logits + 4 * width * row, width, ids + offset, values + offset, maxima)
        row = claim(op, 1)
