"""Partial softmax (Milakov and Gimelshein 2018): a record of one query over one block.

    | Σ exp(score - highest) · V, as wide as a head, padded to whole registers |
    | the highest score, in 16 lanes | Σ exp(score - highest), in 16 lanes |

A record depends on the query and the block alone, and records are merged in block order: so the
result does not depend on threads, tiles or chunks.
"""

import numpy as np

from ops.cpu.kernels.elementwise import capped
from ops.cpu.kernels.simd.compiler import device
from ops.cpu.kernels.simd.memory import load_f32 as load_number
from ops.cpu.kernels.simd.memory import parts_of
from ops.cpu.kernels.simd.operations import (
    LANES,
    absolute,
    add,
    choose,
    divide,
    fma,
    less,
    load_f32,
    maximum,
    multiply,
    ramp,
    reduce_add,
    reduce_max,
    store,
    store_some,
    subtract,
    to_float,
    zeros,
)
from ops.cpu.kernels.simd.vectors import exp

ZERO, ONE, MINUS_INFINITY = np.float32(0), np.float32(1), np.float32(-np.inf)
REGISTER = 4 * LANES  # bytes


@device
def padded(d):
    return parts_of(d, LANES) * LANES


@device
def record_bytes(d):
    return 4 * padded(d) + 2 * REGISTER


@device
def masked(x, s, first, stop):
    """Scores of positions s .. s + 15, minus infinity outside first .. stop - 1."""
    place = add(to_float(ramp()), np.float32(s))
    x = choose(less(place, np.float32(stop)), x, MINUS_INFINITY)
    return choose(less(place, np.float32(first)), MINUS_INFINITY, x)


@device
def exponentiate_scores(scores, first, stop, scale, cap, slope, place, record, d):
    """Replaces q·k by exp(score - highest) and starts the record; V is added later.

    Scores fall by `slope` for each position between key and `place`, where the query is.
    """
    begin, zero = first - first % LANES, zeros(scores, scores)
    top, total = add(zero, MINUS_INFINITY), zero
    for s in range(begin, stop, LANES):
        x = multiply(load_f32(scores + 4 * s), scale)
        if cap > 0:
            x = capped(x, cap)
        if slope > 0:
            distance = absolute(add(to_float(ramp()), np.float32(s - place)))
            x = fma(subtract(ZERO, distance), slope, x)
        if s < first or s + LANES > stop:
            x = masked(x, s, first, stop)
        store(scores + 4 * s, x)
        top = maximum(top, x)
    highest = reduce_max(top)
    for s in range(begin, stop, LANES):
        x = exp(subtract(load_f32(scores + 4 * s), highest))
        store(scores + 4 * s, x)
        total = add(total, x)
    start(record, d, highest, reduce_add(total))


@device
def start(record, d, highest, total):
    """A record with no V added yet."""
    zero, end = zeros(record, record), 4 * padded(d)
    for i in range(0, end, REGISTER):
        store(record + i, zero)
    store(record + end, add(zero, highest))
    store(record + end + REGISTER, add(zero, total))


@device
def merge(record, part, d):
    """Adds the record of one more block; one without visible positions is skipped."""
    end = 4 * padded(d)
    if load_number(part + end + REGISTER, 0) == 0:
        return
    top, high = load_f32(record + end), load_f32(part + end)
    factor = exp(subtract(ZERO, absolute(subtract(top, high))))
    keep, take = choose(less(top, high), factor, ONE), choose(less(high, top), factor, ONE)
    for i in range(0, end, REGISTER):
        store(record + i, fma(take, load_f32(part + i), multiply(keep, load_f32(record + i))))
    store(record + end, maximum(top, high))
    end += REGISTER
    store(record + end, fma(take, load_f32(part + end), multiply(keep, load_f32(record + end))))


@device
def finish(record, y, d):
    """Divides by the sum and writes d floats to y."""
    total = load_f32(record + 4 * padded(d) + REGISTER)
    for i in range(0, d, LANES):
        value = divide(load_f32(record + 4 * i), total)
        if d - i >= LANES:
            store(y + 4 * i, value)
        else:
            store_some(y + 4 * i, value, d - i)
