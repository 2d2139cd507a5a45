"""Attention of 16 query rows over one block of the cache: a thread block of four warps.

Rows are (token, head of a kv head's group) pairs of one sequence. The partial result of a row is
its greatest score m, l = Σ 2^(s - m), and O = Σ 2^(s - m) v. It depends only on the row and the
block: products are summed over dimensions, then over positions, in order, whatever the other rows
are; and partial results are merged in the order of blocks, whoever computed them.

A lane holds numbers of the rows `quad()` ("low") and `quad()` + 8 ("high"), see `fragments`. Scores
are to the base 2.

Shared memory: | queries (16, P) f16 | weights (16, 256) f16 | maxima (16, 4) f32 | sums (16, 4) |
last_seen (16,) i32 |. last_seen: each row's own position, the last that it sees; -1: no row.
Queries and weights are fragments of `mma_f16`: for 32 dimensions 16 bytes a lane of rows 0 to 7,
then of rows 8 to 15; for 16 positions 16 bytes a lane.
"""

import math
from collections.abc import Callable

from ops.cuda.kernels.intrinsics.arithmetic import (
    LOG2_E,
    divided,
    exponential,
    greater,
    halves,
    high_half,
    low_half,
    plus,
    power_of_two,
    reciprocal,
    safe_halves,
    times,
)
from ops.cuda.kernels.intrinsics.fragments import multiply_add, quad, quad_lane
from ops.cuda.kernels.intrinsics.memory import (
    load_float,
    load_float2,
    shared_load_float,
    shared_load_int,
    shared_load_int4,
    shared_store_float,
    shared_store_int,
    shared_store_int4,
)
from ops.cuda.kernels.intrinsics.primitives import WARP, Address, Float, Int, f32, i32, local
from ops.cuda.kernels.intrinsics.warps import lane, shuffle_xor_float, thread_x, warp

ROWS = 16
WARPS = 4
THREADS = WARPS * WARP
STRIPE = 64  # positions of a block that a warp scores
WEIGHTS_BYTES = 2 * ROWS * 256
NO_SCORE = -math.inf


def shared_bytes(padded_width: int) -> int:
    return 2 * ROWS * padded_width + WEIGHTS_BYTES + 2 * 4 * ROWS * WARPS + 4 * ROWS


def weights_offset(shared: Int, padded_width: Int) -> Int:
    return shared + 2 * ROWS * padded_width


def maxima_offset(shared: Int, padded_width: Int) -> Int:
    return weights_offset(shared, padded_width) + WEIGHTS_BYTES


def sums_offset(shared: Int, padded_width: Int) -> Int:
    return maxima_offset(shared, padded_width) + 4 * ROWS * WARPS


def last_seen_offset(shared: Int, padded_width: Int) -> Int:
    return sums_offset(shared, padded_width) + 4 * ROWS * WARPS


def tiles_per_warp(padded_width: int) -> int:
    """Tiles of 16 dimensions of V per warp, at most."""
    return -(-padded_width // 16 // WARPS)


# --- merging


def rescale_factor(m: Float, greatest: Float) -> Float:
    """The factor for weights relative to m, to make them relative to `greatest`."""
    return power_of_two(plus(m, -greatest))


def weighted_sum(x: Float, a: Float, y: Float, b: Float) -> Float:
    return plus(times(x, a), times(y, b))


def final_factor(m: Float, total: Float, sinks: Address, head: Int) -> Float:
    """The factor of O at the end: 1 / l, where l includes the sink."""
    if sinks == 0:
        return divided(f32(1), total)
    sink = times(load_float(sinks + 4 * head), LOG2_E)
    greatest = greater(m, sink)
    share = rescale_factor(m, greatest)
    return divided(share, weighted_sum(total, share, f32(1), rescale_factor(sink, greatest)))


# --- scores


def store_query_pair(source: Address, shared: Int, n: Int, width: Int) -> None:
    """Stores two dimensions of this thread's row in part n; `source` 0: zeros."""
    dimension = i32(32 * (n >> 1) + 2 * (thread_x() & 15))
    a, b = f32(0), f32(0)
    if source != 0 and dimension < width:
        a, b = load_float2(source + 4 * dimension)
    shared_store_int(shared + 512 * n + 4 * thread_x(), safe_halves(a, b))


def masked(a: Float, position: Int, before: Int, last: Int) -> Float:
    if position <= before or position > last:
        return f32(NO_SCORE)
    return a


def quad_maximum(a: Float) -> Float:
    a = greater(a, shuffle_xor_float(a, 1))
    return greater(a, shuffle_xor_float(a, 2))


def quad_sum(a: Float) -> Float:
    a = plus(a, shuffle_xor_float(a, 1))
    return plus(a, shuffle_xor_float(a, 2))


def store_row_numbers(place: Int, low: Float, high: Float) -> None:
    """Stores this warp's number of each row into (16, 4)."""
    place = i32(place + 16 * quad() + 4 * warp())
    if quad_lane() == 0:
        shared_store_float(place, low)
        shared_store_float(place + 128, high)


def row_maximum(place: Int) -> Float:
    a = shared_load_float(place)
    for n in range(1, WARPS):
        a = greater(a, shared_load_float(place + 4 * n))
    return a


def row_sum(place: Int) -> Float:
    a = shared_load_float(place)
    for n in range(1, WARPS):
        a = plus(a, shared_load_float(place + 4 * n))
    return a


def make_products(load_keys: Callable[..., None], loads: int) -> Callable[..., None]:
    """`loads`: keys that a thread loads at once, 4 or 8."""
    size = 4 * loads

    def products(head: Address, shared: Int, chunks: Int, s) -> None:
        """Adds queries times this warp's 64 keys to s (8, 4): a fragment per 8 positions."""
        words = local.array(size, i32)
        position = i32(STRIPE * warp() + quad())
        for chunk in range(chunks):  # not unrolled: its loads would take all registers
            place = i32(shared + 1024 * chunk + 16 * lane())
            a, b, c, d = shared_load_int4(place)
            e, f, g, h = shared_load_int4(place + 512)
            for first in range(0, 32, size):
                load_keys(head, position + 2 * first, chunk, words)
                for n in range(0, size, 4):
                    multiply_add(s, first + n, (a, e, b, f), words[n], words[n + 1])
                    multiply_add(s, first + n, (c, g, d, h), words[n + 2], words[n + 3])

    return products


def fast_tanh(a: Float) -> Float:
    """`functions.tanh` with an approximate reciprocal: a thread computes 32 of them."""
    return plus(f32(1), times(f32(-2), reciprocal(plus(exponential(times(f32(2), a)), f32(1)))))


def scale(s, factor: Float, cap: Float) -> None:
    """Scores to the base 2. cap > 0: `factor` is scale / c and `cap` is c, times log2 e."""
    for n in range(32):
        s[n] = times(s[n], factor)
    if cap > f32(0):
        for n in range(32):
            s[n] = times(cap, fast_tanh(s[n]))


def mask(s, start: Int, window: Int, last_seen: Int) -> None:
    """Scores outside of the rows' windows become -inf; `last_seen`: a place in shared memory."""
    mine = i32(start + STRIPE * warp() + 2 * quad_lane())
    low_last = i32(shared_load_int(last_seen + 4 * quad()) - mine)
    high_last = i32(shared_load_int(last_seen + 4 * quad() + 32) - mine)
    low_first, high_first = i32(low_last - window), i32(high_last - window)
    for n in range(8):
        for side in range(2):
            position, n_low = 8 * n + side, 4 * n + side
            s[n_low] = masked(s[n_low], position, low_first, low_last)
            s[n_low + 2] = masked(s[n_low + 2], position, high_first, high_last)


def store_maxima(s, place: Int) -> None:
    low, high = s[0], s[2]
    for n in range(8):
        low = greater(low, greater(s[4 * n], s[4 * n + 1]))
        high = greater(high, greater(s[4 * n + 2], s[4 * n + 3]))
    store_row_numbers(place, quad_maximum(low), quad_maximum(high))


def weight_pair(a: Float, b: Float, m: Float) -> Int:
    return halves(power_of_two(plus(a, -m)), power_of_two(plus(b, -m)))


def pair_sum(word: Int) -> Float:
    return plus(low_half(word), high_half(word))


def finite_maximum(m: Float) -> Float:
    """0 for a row that sees nothing, to avoid inf - inf."""
    if m > f32(NO_SCORE):
        return m
    return f32(0)


def store_weights(s, place: Int, sums: Int, low_m: Float, high_m: Float) -> None:
    place = i32(place + 2048 * warp() + 16 * lane())
    low_m, high_m = finite_maximum(low_m), finite_maximum(high_m)
    low, high = f32(0), f32(0)
    for n in range(4):
        a = weight_pair(s[8 * n], s[8 * n + 1], low_m)
        b = weight_pair(s[8 * n + 2], s[8 * n + 3], high_m)
        c = weight_pair(s[8 * n + 4], s[8 * n + 5], low_m)
        d = weight_pair(s[8 * n + 6], s[8 * n + 7], high_m)
        low = plus(plus(low, pair_sum(a)), pair_sum(c))
        high = plus(plus(high, pair_sum(b)), pair_sum(d))
        shared_store_int4(place + 512 * n, a, b, c, d)
    store_row_numbers(sums, quad_sum(low), quad_sum(high))


# --- weighted values


def zero_unwritten(word: Int, position: Int, last: Int) -> Int:
    """Zeros the values of two positions that are beyond the last: unwritten memory may hold NaN."""
    if position > last:
        return i32(0)
    if position == last:
        return i32(word & 0xFFFF)
    return i32(word)


def make_accumulate_values(
    load_values: Callable[..., tuple], padded_width: int, loads: int, *, whole: bool
) -> Callable[..., None]:
    """`loads`: in flight at once. `whole`: all positions of the block were written."""
    tiles, all_tiles = tiles_per_warp(padded_width), padded_width // 16
    ahead = max(1, 1 << (loads // tiles).bit_length() - 1)  # steps of 16 positions
    count, even = tiles * ahead, tiles * WARPS == all_tiles
    size = 4 * count

    def accumulate_values(head: Address, weights: Int, last: Int, o) -> None:
        """o (2·tiles, 4) = weights times values, for this warp's dimensions."""
        words = local.array(size, i32)
        first = i32(tiles * warp())
        weights = i32(weights + 16 * lane())
        for n in range(8 * tiles):
            o[n] = f32(0)
        for start in range(0, 16, ahead):
            for n in range(count):
                step, tile = start + n // tiles, first + n % tiles
                a, b, c, d = i32(0), i32(0), i32(0), i32(0)
                if (even or tile < all_tiles) and (whole or 16 * step <= last):
                    a, b, c, d = load_values(head, tile, step)
                    if not whole:
                        position = i32(16 * step + 2 * quad_lane())
                        a, c = zero_unwritten(a, position, last), zero_unwritten(c, position, last)
                        b = zero_unwritten(b, position + 8, last)
                        d = zero_unwritten(d, position + 8, last)
                words[4 * n], words[4 * n + 1], words[4 * n + 2], words[4 * n + 3] = a, b, c, d
            for n in range(count):
                if n % tiles == 0:
                    row_weights = shared_load_int4(weights + 512 * (start + n // tiles))
                first_sum = 8 * (n % tiles)
                multiply_add(o, first_sum, row_weights, words[4 * n], words[4 * n + 1])
                multiply_add(o, first_sum + 4, row_weights, words[4 * n + 2], words[4 * n + 3])

    return accumulate_values
