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
    add_int,
    broadcast_f32,
    broadcast_i32,
    choose,
    divide,
    each_max,
    each_sum,
    fma,
    less,
    load_f32,
    load_rows,
    maximum,
    multiply,
    ramp,
    store,
    store_some,
    subtract,
    subtract_int,
    to_float,
    zeros,
)
from ops.cpu.kernels.simd.tiles import store_tile
from ops.cpu.kernels.simd.vectors import exp
from ops.cpu.layout import QUERY_FIRST, QUERY_POSITION, QUERY_SLOPE, QUERY_STOP

ZERO, ONE, MINUS_INFINITY = np.float32(0), np.float32(1), np.float32(-np.inf)
LOWEST = np.finfo(np.float32).min
REGISTER = 4 * LANES  # bytes


@device
def padded(d):
    return parts_of(d, LANES) * LANES


@device
def record_bytes(d):
    return 4 * padded(d) + 2 * REGISTER


@device
def masked(x, places, queries):
    """Scores at positions `places`, minus infinity where a query does not attend to them."""
    first, stop = broadcast_i32(queries, QUERY_FIRST), broadcast_i32(queries, QUERY_STOP)
    x = choose(less(to_float(places), to_float(stop)), x, MINUS_INFINITY)
    return choose(less(to_float(places), to_float(first)), MINUS_INFINITY, x)


@device
def lowered(x, places, queries):
    """Scores less each query's slope for each position between key and query."""
    distance = absolute(to_float(subtract_int(places, broadcast_i32(queries, QUERY_POSITION))))
    return fma(subtract(ZERO, distance), broadcast_f32(queries, QUERY_SLOPE), x)


@device
def exponentiate_scores(scores, queries, begin, any_of, all_of, scale, cap, slopes):
    """Replaces q·k of a tile of queries by exp(score - the query's highest).

    Scores are of a block that begins at position `begin`: `any_of` is the range of the block that
    any query attends to, `all_of` the one of all. Returns each query's highest score and its sum.
    """
    zero = zeros(scores, scores)
    top, total = add(zero, MINUS_INFINITY), zero
    first, stop = any_of[0] - any_of[0] % LANES, any_of[1]
    for s in range(first, stop, LANES):
        x, places = multiply(load_rows(scores, 4 * s), scale), add_int(ramp(), begin + s)
        if cap > 0:
            x = capped(x, cap)
        if slopes != 0:
            x = lowered(x, places, queries)
        if s < all_of[0] or s + LANES > all_of[1]:
            x = masked(x, places, queries)
        store_tile(scores + 4 * s, x)
        top = maximum(top, x)
    highest = maximum(each_max(top), LOWEST)  # finite, also where nothing is seen
    for s in range(first, stop, LANES):
        x = exp(subtract(load_rows(scores, 4 * s), highest))
        store_tile(scores + 4 * s, x)
        total = add(total, x)
    return highest, each_sum(total)


@device
def start(records, d, highest, total):
    """A record, or one of each row, with no V added yet."""
    zero, end = zeros(records, records), 4 * padded(d)
    for i in range(0, end, REGISTER):
        store_tile(records + i, zero)
    store_tile(records + end, add(zero, highest))
    store_tile(records + end + REGISTER, add(zero, total))


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
