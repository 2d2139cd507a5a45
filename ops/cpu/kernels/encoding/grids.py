"""Levels of groups that must be entries of a grid: IQ2_XXS to IQ3_S (layouts: quant.codebooks).

A trial scale rounds all weights of a sub-block; a group of levels that is no entry becomes the best
of the entries near it (tables: see ops.encoding.grids).
"""

from dataclasses import dataclass

import numpy as np

from ops.cpu.kernels.encoding import search
from ops.cpu.kernels.encoding.lanes import (
    LEVELS,
    MORE,
    ONE,
    REGISTER,
    ROOM,
    WEIGHTS,
    ZERO,
    X,
    both,
    equal,
    first_lane,
    importance_weights,
    level,
    nearest_number,
    negative,
    root,
    side_by_side,
    spread,
    square_weights,
    sum_of_squares,
    words_apart,
)
from ops.cpu.kernels.simd.compiler import device
from ops.cpu.kernels.simd.memory import load_f32 as load_number
from ops.cpu.kernels.simd.memory import load_i32 as load_word
from ops.cpu.kernels.simd.memory import load_i64, store_f16, store_u8, store_u16
from ops.cpu.kernels.simd.memory import load_u8 as load_byte
from ops.cpu.kernels.simd.memory import store_f32 as store_number
from ops.cpu.kernels.simd.memory import store_i32 as store_word
from ops.cpu.kernels.simd.operations import (
    LANES,
    absolute,
    add,
    add_int,
    and_int,
    choose,
    divide,
    less,
    load_f32,
    load_i32,
    load_u8,
    maximum,
    multiply,
    multiply_int,
    or_int,
    reduce_max,
    store,
    store_i8,
    subtract,
    to_float,
    to_int,
)

SUPER = 256
HALF, QUARTER = np.float32(0.5), np.float32(0.25)
# scratch memory: square roots of the weights; then all magnitudes, and those roots, lane by lane:
# 16 of each, and behind all of them the next 16
ROOTS, OF_LANES, ROOTS_OF_LANES = ROOM, MORE, MORE + 2048
TRIED, SIGNS, NUMBERS = MORE + 4096, MORE + 4608, MORE + 4864  # levels; signs; a group's number
SCALES, OFF_GRID, OFF_GRID_TRIED = MORE + 5120, MORE + 5248, MORE + 5376
ENTRIES = MORE + 5504  # int32 (16, 8): of each lane those of its groups
EMPTY = MORE + 6016
ONE_LANE, ITS_WEIGHTS, ITS_LEVELS = MORE + 6144, MORE + 6272, MORE + 6400  # 32 floats each


@dataclass(frozen=True, slots=True)
class Family:
    """How a format's sub-blocks are searched."""

    n: int  # weights of a sub-block
    width: int  # of a group
    base: int  # levels 0 .. base - 1
    trials: int  # above and below the first one
    step: float  # of a trial, where 2 · base - 1 is the level of the largest weight
    seven_signs: bool  # stored of eight: an even number is negative
    epsilon: float
    twice: int  # σ² is the mean of the squares, or 2 times that
    share: float = 0  # of σ² in the weights without importance
    by_positive: bool = False  # trials are around the scale of another search
    again: str = "off grid"  # which groups are rounded to the final scale: "all", "all if any"


@device
def best_neighbour(tables, first, chunks, width, x, roots, scale):
    """The entry for which Σ √w (scale · (2 level + 1) - x)² is smallest; the first one wins."""
    neighbours, numbers = load_i64(tables, 1), load_i64(tables, 2)
    best, entry = np.float32(np.inf), 0
    for c in range(first, first + chunks):
        distance = spread(ZERO)
        for i in range(width):
            q = to_float(load_u8(neighbours + LANES * (width * c + i)))
            difference = subtract(multiply(q, scale), load_number(x, i))
            weighted = multiply(difference, load_number(roots, i))
            distance = add(distance, multiply(weighted, difference))
        least = -reduce_max(negative(distance))
        if least < best:
            lane = first_lane(equal(distance, least))
            best, entry = least, load_word(numbers, LANES * c + lane)
    return entry


def rounding(family):
    """Rounds all groups to entries, each lane by its scale; levels to TRIED."""
    n, width, base = family.n, family.width, family.base

    @device
    def put_entry(scratch, tables, k, lane, entry):
        entries = load_i64(tables, 3)
        for i in range(width):
            q = load_byte(entries, width * entry + i)
            store_u8(scratch + TRIED, LANES * (width * k + i) + lane, q)

    @device
    def numbers_of(scratch, inverse, k):
        number, digit = and_int(load_u8(scratch + TRIED), 0), 1
        for i in range(width * k, width * k + width):
            moved = subtract(multiply(inverse, load_f32(scratch + X + REGISTER * i)), ONE)
            q = to_int(level(multiply(moved, HALF), 0, base - 1))
            store_i8(scratch + TRIED + LANES * i, q)
            number = add_int(number, multiply_int(q, digit))
            digit *= base
        return number

    @device
    def round_groups(scratch, tables, inverse, scale):
        table = load_i64(tables, 0)
        store(scratch + SCALES, scale)
        for k in range(n // width):
            store(scratch + NUMBERS, numbers_of(scratch, inverse, k))
            place = 1024 * (width * k // LANES) + 4 * (width * k % LANES)
            for lane in range(LANES):
                group = load_word(scratch + NUMBERS, lane)
                entry, chunks = load_word(table, 2 * group), load_word(table, 2 * group + 1)
                store_u8(scratch + OFF_GRID_TRIED, LANES * k + lane, 1 if chunks > 0 else 0)
                if chunks > 0:
                    x = scratch + OF_LANES + place + REGISTER * lane
                    roots = scratch + ROOTS_OF_LANES + place + REGISTER * lane
                    s = load_number(scratch + SCALES, lane)
                    best = best_neighbour(tables, -1 - entry, chunks, width, x, roots, s)
                    put_entry(scratch, tables, k, lane, best)

    return round_groups


@device
def fit(scratch, n, levels):
    products, squares = spread(ZERO), spread(ZERO)
    for i in range(n):
        value = load_f32(scratch + X + REGISTER * i)
        weight = load_f32(scratch + WEIGHTS + REGISTER * i)
        q = add(multiply(to_float(load_u8(levels + LANES * i)), np.float32(2)), ONE)
        products = add(products, multiply(multiply(weight, value), q))
        squares = add(squares, multiply(multiply(weight, q), q))
    return products, squares


@device
def take(lanes, tried, kept, n):
    """Copies n times 16 bytes, of some lanes only."""
    for i in range(0, LANES * n, LANES):
        new, old = to_float(load_u8(tried + i)), to_float(load_u8(kept + i))
        store_i8(kept + i, to_int(choose(lanes, new, old)))


@device
def any_off_grid(scratch, groups):
    found = load_u8(scratch + OFF_GRID)
    for k in range(1, groups):
        found = or_int(found, load_u8(scratch + OFF_GRID + LANES * k))
    return less(ZERO, to_float(found))


def searching(family):
    """The scales, the entries and the signs of 16 sub-blocks, whose magnitudes are in X."""
    n, width, base, groups = family.n, family.width, family.base, family.n // family.width
    top, trials, step = np.float32(2 * family.base - 1), family.trials, np.float32(family.step)
    epsilon, by_positive = np.float32(family.epsilon), family.by_positive
    always, all_groups = family.again == "all", family.again != "off grid"
    sign_mask = 127 if family.seven_signs else 255
    round_groups = rounding(family)

    @device
    def scale_of_lane(scratch, lane):
        for i in range(n):
            store_number(scratch + ONE_LANE, i, load_number(scratch + X, LANES * i + lane))
            weight = load_number(scratch + WEIGHTS, LANES * i + lane)
            store_number(scratch + ITS_WEIGHTS, i, weight)
        x, weights = scratch + ONE_LANE, scratch + ITS_WEIGHTS
        return search.positive(x, weights, n, base + 1, scratch + ITS_LEVELS)

    @device
    def starting_scale(scratch, most):
        """And what a weight of the highest level is taken for."""
        if not by_positive:
            return divide(most, top), most
        for lane in range(LANES):
            store_number(scratch + SCALES, lane, scale_of_lane(scratch, lane))
        scale = load_f32(scratch + SCALES)
        return scale, multiply(scale, np.float32(base))

    @device
    def again(scratch, tables, scale):
        """Rounds to the scale that was found, and fits it to the levels."""
        redo = less(ZERO, scale)
        if not always:
            redo = both(redo, any_off_grid(scratch, groups))
        round_groups(scratch, tables, divide(ONE, scale), scale)
        for k in range(groups):
            of_group = redo
            if not all_groups:
                off = to_float(load_u8(scratch + OFF_GRID + LANES * k))
                of_group = both(redo, less(ZERO, off))
            first = LANES * width * k
            take(of_group, scratch + TRIED + first, scratch + LEVELS + first, width)
        products, squares = fit(scratch, n, scratch + LEVELS)
        fitted = both(redo, less(ZERO, squares))
        return choose(fitted, divide(products, squares), scale)

    @device
    def find_entries(scratch, tables, empty):
        table = load_i64(tables, 0)
        store(scratch + EMPTY, choose(empty, ONE, ZERO))
        for k in range(groups):
            number, digit = and_int(load_u8(scratch + LEVELS), 0), 1
            for i in range(width * k, width * k + width):
                q = load_u8(scratch + LEVELS + LANES * i)
                number = add_int(number, multiply_int(q, digit))
                digit *= base
            store(scratch + NUMBERS, number)
            for lane in range(LANES):
                entry = load_word(table, 2 * load_word(scratch + NUMBERS, lane))
                entry = 0 if load_number(scratch + EMPTY, lane) > ZERO else entry
                store_word(scratch + ENTRIES, 8 * lane + k, entry)

    @device
    def search_entries(scratch, tables):
        most = load_f32(scratch + X)
        for i in range(1, n):
            most = maximum(load_f32(scratch + X + REGISTER * i), most)
        for first in range(0, REGISTER * n, REGISTER * LANES):
            words_apart(scratch + X + first, REGISTER, scratch + OF_LANES + first)
            words_apart(scratch + ROOTS + first, REGISTER, scratch + ROOTS_OF_LANES + first)
        scale, highest = starting_scale(scratch, most)
        best = spread(ZERO)
        for trial in range(-trials, trials + 1):
            inverse = divide(top + np.float32(trial) * step, highest)
            round_groups(scratch, tables, inverse, divide(ONE, inverse))
            products, squares = fit(scratch, n, scratch + TRIED)
            larger = less(multiply(best, squares), multiply(products, products))
            better = both(less(ZERO, squares), larger)
            scale = choose(better, divide(products, squares), scale)
            best = choose(better, multiply(scale, products), best)
            take(better, scratch + TRIED, scratch + LEVELS, n)
            take(better, scratch + OFF_GRID_TRIED, scratch + OFF_GRID, groups)
        scale = again(scratch, tables, scale)
        below = choose(less(scale, ZERO), ONE, ZERO)
        kept = choose(less(most, epsilon), ZERO, choose(less(ZERO, highest), ONE, ZERO))
        for k in range(n // 8):
            signs = load_i32(scratch + SIGNS + REGISTER * k)
            flipped = subtract(np.float32(sign_mask), to_float(signs))
            signs = choose(less(ZERO, below), flipped, to_float(signs))
            store(scratch + SIGNS + REGISTER * k, to_int(multiply(signs, kept)))
        empty = equal(kept, ZERO)
        find_entries(scratch, tables, empty)
        store(scratch + SCALES, choose(empty, ZERO, absolute(scale)))

    return search_entries


def loading(family):
    """Loads `count` sub-blocks: magnitudes to X, signs, weights and their roots."""
    n, seven, twice, share = family.n, family.seven_signs, family.twice, np.float32(family.share)
    lanes_of_block = SUPER // family.n

    @device
    def put_signs(scratch, k):
        odd, number = spread(ZERO), spread(ZERO)
        least, place = spread(np.float32(np.inf)), spread(ZERO)
        for i in range(8):
            value = load_f32(scratch + X + REGISTER * (8 * k + i))
            weight = load_f32(scratch + WEIGHTS + REGISTER * (8 * k + i))
            sign = choose(less(value, ZERO), ONE, ZERO)
            number = add(number, multiply(sign, np.float32(1 << i)))
            odd = absolute(subtract(odd, sign))
            loss = multiply(multiply(weight, value), value)
            smaller = less(loss, least)
            least = choose(smaller, loss, least)
            place = choose(smaller, np.float32(i), place)
        for i in range(8):
            at = scratch + X + REGISTER * (8 * k + i)
            value = load_f32(at)
            if seven:
                turned = both(less(ZERO, odd), equal(place, np.float32(i)))
                is_negative = choose(less(value, ZERO), np.float32(1 << i), ZERO)
                step = subtract(np.float32(1 << i), add(is_negative, is_negative))
                number = choose(turned, add(number, step), number)
                store(at, choose(turned, negative(absolute(value)), absolute(value)))
            else:
                store(at, absolute(value))
        kept = to_int(number)
        store(scratch + SIGNS + REGISTER * k, and_int(kept, 127) if seven else kept)

    @device
    def load(x, importance, count, scratch):
        values, weights = scratch + X, scratch + WEIGHTS
        side_by_side(x, count, n, values)
        for lane in range(LANES):
            if lane % lanes_of_block == 0:
                block = x + 4 * n * min(lane, count - lanes_of_block)
                variance = np.float32(twice) * sum_of_squares(block, SUPER) / np.float32(SUPER)
            store_number(scratch + SCALES, lane, variance)
        variances = load_f32(scratch + SCALES)
        if importance != 0:
            side_by_side(importance, count, n, weights)
            importance_weights(values, n, variances, weights)
        else:
            square_weights(values, n, weights)
            for i in range(n):
                at = weights + REGISTER * i
                store(at, add(multiply(variances, share), load_f32(at)))
        for i in range(n):
            store(scratch + ROOTS + REGISTER * i, root(load_f32(weights + REGISTER * i)))
        for k in range(n // 8):
            put_signs(scratch, k)

    return load


@device
def scale_level(inverse, scale, highest):
    """Of a sub-block's scale, whose value is 2 · level + 1."""
    return max(0, min(highest, nearest_number(HALF * (inverse * scale - ONE))))


@device
def largest_scale(scratch, first, count):
    most = ZERO
    for lane in range(first, first + count):
        most = max(most, load_number(scratch + SCALES, lane))
    return most


def by_rows(family, size, put_block, factor):
    """Rows of super-blocks of `size` bytes; put_block(scratch, first lane, 1 / d, out)."""
    load, search_entries, lanes = loading(family), searching(family), SUPER // family.n
    at_once, factor = LANES // lanes, np.float32(factor)

    @device
    def encode_row(row, importance, columns, out, scratch, tables):
        blocks = columns // SUPER
        for b in range(0, blocks, at_once):
            count = min(at_once, blocks - b)
            here = importance + 4 * SUPER * b if importance != 0 else 0
            load(row + 4 * SUPER * b, here, lanes * count, scratch)
            search_entries(scratch, tables)
            for n in range(count):
                block = out + size * (b + n)
                for byte in range(size):
                    store_u8(block, byte, 0)
                d = largest_scale(scratch, lanes * n, lanes) / np.float32(31)
                if d > ZERO:
                    store_f16(block, 0, d * factor)
                    put_block(scratch, lanes * n, ONE / d, block)

    return encode_row


@device
def entry_of(scratch, lane, k):
    return load_word(scratch + ENTRIES, 8 * lane + k)


@device
def signs_of(scratch, lane, k):
    return load_word(scratch + SIGNS, LANES * k + lane)


@device
def sign_word(scratch, lane, inverse):
    """Four times seven signs, and the scale above."""
    word = scale_level(inverse, load_number(scratch + SCALES, lane), 15) << 28
    for k in range(4):
        word |= signs_of(scratch, lane, k) << 7 * k
    return word


@device
def add_bits(out, place, bits):
    store_u8(out, place, load_byte(out, place) | bits)


@device
def put_scale(scratch, lane, number, inverse, out):
    """Two nibbles of a byte, the low one first."""
    q = scale_level(inverse, load_number(scratch + SCALES, lane), 15)
    add_bits(out, number // 2, q << 4 * (number % 2))


@device
def put_iq2_xxs(scratch, first, inverse, out):
    for g in range(8):
        for k in range(4):
            store_u8(out, 2 + 8 * g + k, entry_of(scratch, first + g, k))
        store_word(out + 6 + 8 * g, 0, sign_word(scratch, first + g, inverse))


@device
def put_iq2_xs(scratch, first, inverse, out):
    for g in range(16):
        for k in range(2):
            both_ = entry_of(scratch, first + g, k) | signs_of(scratch, first + g, k) << 9
            store_u16(out + 2, 2 * g + k, both_)
        put_scale(scratch, first + g, g, inverse, out + 66)


@device
def put_iq2_s(scratch, first, inverse, out):
    for g in range(16):
        for k in range(2):
            place, entry = 2 * g + k, entry_of(scratch, first + g, k)
            store_u8(out, 2 + place, entry & 255)
            store_u8(out, 34 + place, signs_of(scratch, first + g, k))
            add_bits(out, 66 + place // 4, (entry >> 8) << 2 * (place % 4))
        put_scale(scratch, first + g, g, inverse, out + 74)


@device
def put_iq3_xxs(scratch, first, inverse, out):
    for g in range(8):
        for k in range(8):
            store_u8(out, 2 + 8 * g + k, entry_of(scratch, first + g, k))
        store_word(out + 66 + 4 * g, 0, sign_word(scratch, first + g, inverse))


@device
def put_iq3_s(scratch, first, inverse, out):
    """A sub-block of zeros has no entries and no signs: those behind it move up."""
    place = 0
    for g in range(8):
        put_scale(scratch, first + g, g, inverse, out + 106)
        if load_number(scratch + EMPTY, first + g) == ZERO:
            for k in range(8):
                entry = entry_of(scratch, first + g, k)
                store_u8(out, 2 + 8 * place + k, entry & 255)
                add_bits(out, 66 + g, entry >> 8 << k)
            for k in range(4):
                store_u8(out, 74 + 4 * place + k, signs_of(scratch, first + g, k))
            place += 1


IQ2_XXS = Family(32, 8, 3, 6, 0.1, True, 1e-15, 1, by_positive=True, again="all")
IQ2_XS = Family(16, 8, 3, 9, 0.1, True, 1e-15, 1)
IQ2_S = Family(16, 8, 3, 9, 0.1, False, 1e-8, 2, share=0.25)
IQ3_XXS = Family(32, 4, 8, 15, 0.2, True, 1e-8, 2)
IQ3_S = Family(32, 4, 8, 9, 0.2, False, 1e-45, 2, again="all if any")
ENCODERS = {
    "IQ2_XXS": by_rows(IQ2_XXS, 66, put_iq2_xxs, 1),
    "IQ2_XS": by_rows(IQ2_XS, 74, put_iq2_xs, 1),
    "IQ2_S": by_rows(IQ2_S, 82, put_iq2_s, 0.9875),
    "IQ3_XXS": by_rows(IQ3_XXS, 98, put_iq3_xxs, 1.0125),
    "IQ3_S": by_rows(IQ3_S, 110, put_iq3_s, 1.033),
}
