"""Levels -1, 0, 1, moved up or down by 1/8, in groups of 8 that are entries: IQ1_S, IQ1_M.

A sub-block's weights are sorted, so that its levels are three stretches of them: all pairs of
borders are tried with both moves, in IQ1_M with those of both halves.

A sub-block of zeros counts as moved up; the reference takes whatever move its memory holds.
"""

import numpy as np

from ops.cpu.kernels.encoding.grids import SUPER, scale_level
from ops.cpu.kernels.encoding.lanes import (
    MORE,
    ONE,
    REGISTER,
    WEIGHTS,
    ZERO,
    X,
    both,
    equal,
    first_lane,
    importance_weights,
    largest_of,
    negative,
    side_by_side,
    spread,
    square_weights,
    sum_of_squares,
    words_apart,
)
from ops.cpu.kernels.simd.compiler import device
from ops.cpu.kernels.simd.memory import load_f32 as load_number
from ops.cpu.kernels.simd.memory import load_i32 as load_word
from ops.cpu.kernels.simd.memory import load_i64, load_u16, store_f16, store_u8, store_u16
from ops.cpu.kernels.simd.memory import load_u8 as load_byte
from ops.cpu.kernels.simd.memory import store_f32 as store_number
from ops.cpu.kernels.simd.memory import store_i32 as store_word
from ops.cpu.kernels.simd.operations import (
    LANES,
    add,
    choose,
    divide,
    less,
    load_f32,
    load_i32,
    load_u8,
    multiply,
    reduce_max,
    store,
    subtract,
    to_float,
)

# scratch memory, beside X and WEIGHTS: what is sorted of each lane, places as int32; then both
# lane by lane, 16 of each, and behind all of them the next 16
PLACES, VALUES, SORTED_WEIGHTS = MORE, MORE + 2048, MORE + 4096
OF_LANES, WEIGHTS_OF_LANES = MORE + 6144, MORE + 8192
SUMS, SUMS_OF_WEIGHTS = MORE + 10240, MORE + 12416  # of the first 0, 1, ... n; or of both halves
BORDERS, MOVES, SCALES = MORE + 14592, MORE + 14656, MORE + 14720
LEVELS, ENTRIES = MORE + 14784, MORE + 14848  # of one lane (n,); of all, int32 (16, 4)
SMALL_S, SMALL_M = np.float32(1e-12), np.float32(1e-7)
DELTA, LOWEST = np.float32(0.125), np.float32(-3.4028234663852886e38)
HALF, MIDDLE_LEVEL = np.float32(0.5), np.float32(1.5)


@device
def sort_lanes(n, scratch):
    """The weights of each lane in ascending order; equal ones stay in theirs."""
    for lane in range(LANES):
        for j in range(n):
            value, place = load_number(scratch + X, LANES * j + lane), j
            while place > 0:
                before = LANES * (place - 1) + lane
                if load_number(scratch + VALUES, before) <= value:
                    break
                store_number(
                    scratch + VALUES, before + LANES, load_number(scratch + VALUES, before)
                )
                store_word(scratch + PLACES, before + LANES, load_word(scratch + PLACES, before))
                place -= 1
            store_number(scratch + VALUES, LANES * place + lane, value)
            store_word(scratch + PLACES, LANES * place + lane, j)
        for j in range(n):
            place = load_word(scratch + PLACES, LANES * j + lane)
            weight = load_number(scratch + WEIGHTS, LANES * place + lane)
            store_number(scratch + SORTED_WEIGHTS, LANES * j + lane, weight)


def loading(n):
    lanes_of_block = SUPER // n

    @device
    def load(x, importance, count, scratch):
        side_by_side(x, count, n, scratch + X)
        if importance != 0:
            for lane in range(LANES):
                if lane % lanes_of_block == 0:
                    block = x + 4 * n * min(lane, count - lanes_of_block)
                    variance = np.float32(2) * sum_of_squares(block, SUPER) / np.float32(SUPER)
                store_number(scratch + SCALES, lane, variance)
            side_by_side(importance, count, n, scratch + WEIGHTS)
            importance_weights(scratch + X, n, load_f32(scratch + SCALES), scratch + WEIGHTS)
        else:
            square_weights(scratch + X, n, scratch + WEIGHTS)
        for first in range(0, REGISTER * n, REGISTER * LANES):
            words_apart(scratch + X + first, REGISTER, scratch + OF_LANES + first)
            words_apart(scratch + WEIGHTS + first, REGISTER, scratch + WEIGHTS_OF_LANES + first)
        sort_lanes(n, scratch)

    return load


@device
def moved(level, move):
    """A level 0, 1, 2 as a number; the move is 1 or -1."""
    return np.float32(level) - ONE + np.float32(move) * DELTA


@device
def fit_stretches(first, middle, last, move):
    """A or B: sums of three stretches times their levels."""
    low, zero, high = moved(0, move), moved(1, move), moved(2, move)
    return add(add(multiply(first, low), multiply(middle, zero)), multiply(last, high))


@device
def fit_squares(first, middle, last, move):
    low, zero, high = moved(0, move), moved(1, move), moved(2, move)
    below = add(multiply(multiply(first, low), low), multiply(multiply(middle, zero), zero))
    return add(below, multiply(multiply(last, high), high))


@device
def better_fit(products, squares, place, move, best, scale, borders, moves):
    """Of each lane: the best fit so far, its scale, borders and move; or this one, if better."""
    larger = less(multiply(best, squares), multiply(products, products))
    better = both(less(ZERO, squares), larger)
    scale = choose(better, divide(products, squares), scale)
    best = choose(better, multiply(scale, products), best)
    borders = choose(better, np.float32(place), borders)
    return best, scale, borders, choose(better, np.float32(move), moves)


@device
def search_s(scratch):
    """Borders (33 · first + second), move and scale of each lane."""
    n = 32
    sums, weights = spread(ZERO), spread(ZERO)
    store(scratch + SUMS, sums)
    store(scratch + SUMS_OF_WEIGHTS, weights)
    for j in range(n):
        value = load_f32(scratch + VALUES + REGISTER * j)
        weight = load_f32(scratch + SORTED_WEIGHTS + REGISTER * j)
        sums, weights = add(sums, multiply(weight, value)), add(weights, weight)
        store(scratch + SUMS + REGISTER * (j + 1), sums)
        store(scratch + SUMS_OF_WEIGHTS + REGISTER * (j + 1), weights)
    best, scale = spread(LOWEST), spread(ONE)
    borders, moves = spread(ZERO), spread(ZERO)
    for i in range(n + 1):
        a = load_f32(scratch + SUMS + REGISTER * i)
        b = load_f32(scratch + SUMS_OF_WEIGHTS + REGISTER * i)
        for k in range(i, n + 1):
            c = load_f32(scratch + SUMS + REGISTER * k)
            d = load_f32(scratch + SUMS_OF_WEIGHTS + REGISTER * k)
            for turn in range(2):
                move = 1 - 2 * turn
                products = fit_stretches(a, subtract(c, a), subtract(sums, c), move)
                squares = fit_squares(b, subtract(d, b), subtract(weights, d), move)
                best, scale, borders, moves = better_fit(
                    products, squares, 33 * i + k, move, best, scale, borders, moves
                )
    store(scratch + BORDERS, borders)
    store(scratch + MOVES, moves)
    store(scratch + SCALES, scale)


@device
def sum_halves(scratch):
    """Sums of the first 0, 1, ... 16 sorted weights, of the block's two halves apart."""
    first, second = spread(ZERO), spread(ZERO)
    first_weights, second_weights = spread(ZERO), spread(ZERO)
    for j in range(17):
        store(scratch + SUMS + REGISTER * j, first)
        store(scratch + SUMS + REGISTER * (17 + j), second)
        store(scratch + SUMS_OF_WEIGHTS + REGISTER * j, first_weights)
        store(scratch + SUMS_OF_WEIGHTS + REGISTER * (17 + j), second_weights)
        if j < 16:
            weight = load_f32(scratch + SORTED_WEIGHTS + REGISTER * j)
            product = multiply(weight, load_f32(scratch + VALUES + REGISTER * j))
            place = to_float(load_i32(scratch + PLACES + REGISTER * j))
            here = less(place, np.float32(8))
            first = choose(here, add(first, product), first)
            second = choose(here, second, add(second, product))
            first_weights = choose(here, add(first_weights, weight), first_weights)
            second_weights = choose(here, second_weights, add(second_weights, weight))


@device
def fits_of_half(sums, weights, i, k, move):
    """A and B of a half whose borders are i and k, as one sum: what all weights at the highest
    level give, and the difference that lower levels make."""
    high, middle, low = moved(2, move), moved(1, move), moved(0, move)
    all_of_it = multiply(load_f32(sums + REGISTER * 16), high)
    below = add(load_f32(sums + REGISTER * i), load_f32(sums + REGISTER * k))
    squares = multiply(multiply(load_f32(weights + REGISTER * 16), high), high)
    to_low = multiply(load_f32(weights + REGISTER * i), low * low - middle * middle)
    to_middle = multiply(load_f32(weights + REGISTER * k), middle * middle - high * high)
    return subtract(all_of_it, below), add(add(squares, to_low), to_middle)


@device
def search_m(scratch):
    """Borders (17 · first + second), number of the moves ++, +-, -+, --, and scale of each lane."""
    n = 16
    sum_halves(scratch)
    sums, weights = scratch + SUMS, scratch + SUMS_OF_WEIGHTS
    best, scale = spread(LOWEST), spread(ONE)
    borders, moves = spread(ZERO), spread(ZERO)
    for i in range(n + 1):
        for k in range(i, n + 1):
            other, its_weights = sums + REGISTER * 17, weights + REGISTER * 17
            ups = fits_of_half(sums, weights, i, k, 1), fits_of_half(other, its_weights, i, k, 1)
            downs = (
                fits_of_half(sums, weights, i, k, -1),
                fits_of_half(other, its_weights, i, k, -1),
            )
            for move in range(4):
                first = ups[0] if move < 2 else downs[0]
                second = ups[1] if move % 2 == 0 else downs[1]
                products, squares = add(first[0], second[0]), add(first[1], second[1])
                best, scale, borders, moves = better_fit(
                    products, squares, 17 * i + k, move, best, scale, borders, moves
                )
    store(scratch + BORDERS, borders)
    store(scratch + MOVES, moves)
    store(scratch + SCALES, scale)


@device
def put_levels(scratch, lane, n, turned):
    """The levels of a lane, in the order of its weights."""
    borders = int(load_number(scratch + BORDERS, lane))
    first, second = borders // (n + 1), borders % (n + 1)
    for j in range(n):
        level = 0 if j < first else (1 if j < second else 2)
        place = load_word(scratch + PLACES, LANES * j + lane)
        store_u8(scratch + LEVELS, place, 2 - level if turned else level)


@device
def nearest_entry(tables, first, chunks, x, weights, scale, move):
    """The entry for which Σ w (scale · level - x)² is smallest; the first one wins."""
    neighbours, numbers = load_i64(tables, 1), load_i64(tables, 2)
    best, entry, shift = np.float32(np.inf), 0, np.float32(move) * DELTA - MIDDLE_LEVEL
    for c in range(first, first + chunks):
        distance = spread(ZERO)
        for i in range(8):
            odd = to_float(load_u8(neighbours + LANES * (8 * c + i)))
            q = add(multiply(odd, HALF), shift)
            difference = subtract(multiply(q, scale), load_number(x, i))
            weighted = multiply(difference, load_number(weights, i))
            distance = add(distance, multiply(weighted, difference))
        least = -reduce_max(negative(distance))
        if least < best:
            lane = first_lane(equal(distance, least))
            best, entry = least, load_word(numbers, LANES * c + lane)
    return entry


def entries_of(n, move_of):
    """Rounds the groups of a lane to entries; returns the scale, fitted again if any was none."""

    @device
    def find_entries(scratch, tables, lane, scale, moves):
        table, levels = load_i64(tables, 0), load_i64(tables, 3)
        all_entries = True
        for k in range(n // 8):
            number, digit = 0, 1
            for i in range(8):
                number += digit * load_byte(scratch + LEVELS, 8 * k + i)
                digit *= 3
            entry, chunks = load_word(table, 2 * number), load_word(table, 2 * number + 1)
            if chunks > 0:
                all_entries = False
                place = 1024 * (8 * k // LANES) + REGISTER * lane + 4 * (8 * k % LANES)
                x, weights = scratch + OF_LANES + place, scratch + WEIGHTS_OF_LANES + place
                move = move_of(moves, k)
                entry = nearest_entry(tables, -1 - entry, chunks, x, weights, scale, move)
            store_word(scratch + ENTRIES, 4 * lane + k, entry)
        if all_entries:
            return scale
        products, squares = ZERO, ZERO
        for j in range(n):
            weight = load_number(scratch + WEIGHTS, LANES * j + lane)
            value = load_number(scratch + X, LANES * j + lane)
            entry = load_word(scratch + ENTRIES, 4 * lane + j // 8)
            q = moved(load_byte(levels, 8 * entry + j % 8), move_of(moves, j // 8))
            products += weight * q * value
            squares += weight * q * q
        return products / squares if products > ZERO and squares > ZERO else scale

    return find_entries


@device
def only_move(moves, k):
    return moves


@device
def move_of_half(moves, k):
    """Of moves 0 .. 3: ++, +-, -+, --."""
    return 1 - 2 * (moves >> 1 - k & 1)


find_entries_s, find_entries_m = entries_of(32, only_move), entries_of(16, move_of_half)
load_s, load_m = loading(32), loading(16)


@device
def finish_lanes_s(scratch, tables, count):
    most, _ = largest_of(scratch + X, 32)
    store(scratch + VALUES, most)
    for lane in range(count):
        scale, move = load_number(scratch + SCALES, lane), int(load_number(scratch + MOVES, lane))
        if load_number(scratch + VALUES, lane) < SMALL_S:
            store_number(scratch + SCALES, lane, ZERO)
            store_number(scratch + MOVES, lane, ONE)
            for k in range(4):
                store_word(scratch + ENTRIES, 4 * lane + k, 0)
            continue
        put_levels(scratch, lane, 32, scale < ZERO)
        move = -move if scale < ZERO else move
        scale = find_entries_s(scratch, tables, lane, abs(scale), move)
        store_number(scratch + SCALES, lane, scale)
        store_number(scratch + MOVES, lane, np.float32(move))


@device
def finish_lanes_m(scratch, tables):
    most, _ = largest_of(scratch + X, 16)
    store(scratch + VALUES, most)
    for lane in range(LANES):
        scale, moves = load_number(scratch + SCALES, lane), int(load_number(scratch + MOVES, lane))
        if load_number(scratch + VALUES, lane) < SMALL_M:
            store_number(scratch + SCALES, lane, ZERO)
            store_number(scratch + MOVES, lane, ZERO)
            for k in range(2):
                store_word(scratch + ENTRIES, 4 * lane + k, 0)
            continue
        put_levels(scratch, lane, 16, scale < ZERO)
        moves = 3 - moves if scale < ZERO else moves
        scale = find_entries_m(scratch, tables, lane, abs(scale), moves)
        store_number(scratch + SCALES, lane, scale)
        store_number(scratch + MOVES, lane, np.float32(moves))


@device
def largest_scale(scratch, first, count):
    most = ZERO
    for lane in range(first, first + count):
        most = max(most, load_number(scratch + SCALES, lane))
    return most


@device
def put_iq1_s(scratch, first, out):
    d = largest_scale(scratch, first, 8) / np.float32(15)
    if not d > ZERO:
        return
    store_f16(out, 0, d * np.float32(1.125))
    for g in range(8):
        lane, upper = first + g, 0
        for k in range(4):
            entry = load_word(scratch + ENTRIES, 4 * lane + k)
            store_u8(out, 2 + 4 * g + k, entry & 255)
            upper |= entry >> 8 << 3 * k
        level = scale_level(ONE / d, load_number(scratch + SCALES, lane), 7)
        if load_number(scratch + MOVES, lane) < ZERO:
            level |= 8
        store_u16(out + 34, g, upper | level << 12)


@device
def encode_iq1_s(row, importance, columns, out, scratch, tables):
    blocks = columns // SUPER
    for b in range(0, blocks, 2):
        count = min(2, blocks - b)
        here = importance + 4 * SUPER * b if importance != 0 else 0
        load_s(row + 4 * SUPER * b, here, 8 * count, scratch)
        search_s(scratch)
        finish_lanes_s(scratch, tables, 8 * count)
        for n in range(count):
            block = out + 50 * (b + n)
            for byte in range(50):
                store_u8(block, byte, 0)
            put_iq1_s(scratch, 8 * n, block)


@device
def put_iq1_m(scratch, tables, out):
    levels, d = load_i64(tables, 3), largest_scale(scratch, 0, LANES) / np.float32(15)
    if not d > ZERO:
        return
    inverse, products, squares = ONE / d, ZERO, ZERO
    for lane in range(LANES):
        level = scale_level(inverse, load_number(scratch + SCALES, lane), 7)
        moves, upper = int(load_number(scratch + MOVES, lane)), 0
        scales = load_u16(out + 48, lane // 4) | level << 3 * (lane % 4)
        store_u16(out + 48, lane // 4, scales)
        for k in range(2):
            entry, move = load_word(scratch + ENTRIES, 4 * lane + k), move_of_half(moves, k)
            store_u8(out, 2 * lane + k, entry & 255)
            upper |= (entry >> 8 | (8 if move < 0 else 0)) << 4 * k
            for j in range(8):
                place = LANES * (8 * k + j) + lane
                weight = load_number(scratch + WEIGHTS, place)
                q = moved(load_byte(levels, 8 * entry + j), move) * np.float32(2 * level + 1)
                products += weight * q * load_number(scratch + X, place)
                squares += weight * q * q
        store_u8(out, 32 + lane, upper)
    d = products / squares if squares > ZERO else d
    store_f16(scratch + BORDERS, 0, d * np.float32(1.1125))
    bits = load_u16(scratch + BORDERS, 0)
    for n in range(4):
        part = bits >> 4 * n & 15
        store_u16(out + 48, n, load_u16(out + 48, n) | part << 12)


@device
def encode_iq1_m(row, importance, columns, out, scratch, tables):
    for b in range(columns // SUPER):
        here = importance + 4 * SUPER * b if importance != 0 else 0
        load_m(row + 4 * SUPER * b, here, LANES, scratch)
        search_m(scratch)
        finish_lanes_m(scratch, tables)
        block = out + 56 * b
        for byte in range(56):
            store_u8(block, byte, 0)
        put_iq1_m(scratch, tables, block)


ENCODERS = {"IQ1_S": encode_iq1_s, "IQ1_M": encode_iq1_m}
