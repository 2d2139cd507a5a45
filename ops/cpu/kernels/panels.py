"""Products of a panel with activations: one function a format, for any number of tokens.

A panel is 16 rows of a weight, one a lane, interleaved word by word: what a row's block holds at
byte o stands for all rows from byte 16·o of the panel's block on, each row's word (or half word,
or byte) after the other. So a panel holds the same bits as the file, and nothing else.

`block(w, x, at, total)` adds one block's products to the totals, a register a token: w is the
address of the panel's block, x the tokens' quantized activations (layout.py draws them), `at` the
byte where the block's activations begin.
"""

import numpy as np

from ops.cpu.kernels.compiler import device
from ops.cpu.kernels.simd import (
    add,
    add_int,
    and_int,
    as_bytes,
    bit_field,
    bits_to_float,
    broadcast_f32,
    broadcast_i32,
    dot,
    dot_small,
    flip_signs,
    fma,
    high_nibbles,
    int_zeros_like,
    load_bf16,
    load_bytes,
    load_f16,
    load_f32,
    load_i32,
    load_u8,
    load_u16,
    lookup,
    low_nibbles,
    multiply,
    multiply_int,
    or_bytes,
    or_int,
    shift_left,
    shift_right,
    shift_right_signed,
    subtract,
    subtract_int,
    to_float,
    zeros_like,
)
from ops.cpu.layout import (
    ACTIVATION_BYTES,
    MINUS_HALF_SUMS,
    MINUS_SCALED_HALF_SUMS,
    MINUS_SCALED_SUM,
    MINUS_SUM,
    SCALE,
)
from quant.iquants import LEVELS as IQ4_LEVELS
from quant.microscaling import LEVELS as MXFP4_LEVELS

NOTHING = np.float32(0)

# the weights' levels 0 .. 15 moved up to be unsigned, by a power of two
iq4_levels = lookup([level + 128 for level in IQ4_LEVELS])
mxfp4_levels = lookup([level + 16 for level in MXFP4_LEVELS])


@device
def scaled(sums, d, x, at, total):
    """total + sums · d · the activations' scale."""
    return fma(to_float(sums), multiply(d, broadcast_f32(x, at + SCALE)), total)


@device
def lowered(lowest, x, at, total):
    """total - lowest · the sum of the block's activations."""
    return fma(lowest, broadcast_f32(x, at + MINUS_SCALED_SUM), total)


@device
def nibble_sums(w, x, at, sums):
    """Adds the products of 16 bytes a row: columns 0-15 in low nibbles, 16-31 in high ones."""
    for g in range(4):
        packed = load_bytes(w + 64 * g)
        sums = dot_small(sums, low_nibbles(packed), broadcast_i32(x, at + 4 * g))
        sums = dot_small(sums, high_nibbles(packed), broadcast_i32(x, at + 16 + 4 * g))
    return sums


@device
def q4_0(w, x, at, total):
    start = shift_left(broadcast_i32(x, at + MINUS_SUM), 3)
    return scaled(nibble_sums(w + 32, x, at, start), load_f16(w), x, at, total)


@device
def q4_1(w, x, at, total):
    sums = nibble_sums(w + 64, x, at, int_zeros_like(x))
    total = lowered(subtract(NOTHING, load_f16(w + 32)), x, at, total)
    return scaled(sums, load_f16(w), x, at, total)


@device
def spread_fifth_bits(bits):
    """Four neighbouring bits of each lane to bit 4 of its four bytes."""
    moved = multiply_int(and_int(bits, 15), 0x02040810)
    return as_bytes(and_int(moved, 0x10101010))


@device
def five_bit_sums(high, w, x, at, sums):
    """As nibble_sums; bit c of a row's word `high` is the fifth bit of column c."""
    fifths = load_i32(high)
    for g in range(4):
        packed = load_bytes(w + 64 * g)
        low = or_bytes(low_nibbles(packed), spread_fifth_bits(shift_right(fifths, 4 * g)))
        sums = dot_small(sums, low, broadcast_i32(x, at + 4 * g))
        upper = spread_fifth_bits(shift_right(fifths, 16 + 4 * g))
        upper = or_bytes(high_nibbles(packed), upper)
        sums = dot_small(sums, upper, broadcast_i32(x, at + 16 + 4 * g))
    return sums


@device
def q5_0(w, x, at, total):
    start = shift_left(broadcast_i32(x, at + MINUS_SUM), 4)
    return scaled(five_bit_sums(w + 32, w + 96, x, at, start), load_f16(w), x, at, total)


@device
def q5_1(w, x, at, total):
    sums = five_bit_sums(w + 64, w + 128, x, at, int_zeros_like(x))
    total = lowered(subtract(NOTHING, load_f16(w + 32)), x, at, total)
    return scaled(sums, load_f16(w), x, at, total)


@device
def q8_0(w, x, at, total):
    sums = shift_left(broadcast_i32(x, at + MINUS_SUM), 7)
    for g in range(8):
        levels = flip_signs(load_bytes(w + 32 + 64 * g))
        sums = dot(sums, levels, broadcast_i32(x, at + 4 * g))
    return scaled(sums, load_f16(w), x, at, total)


@device
def byte_of(words, number):
    """Byte `number` of each lane."""
    return and_int(shift_right(words, 8 * number), 255)


@device
def signed_byte_of(words, number):
    return shift_right_signed(shift_left(words, 24 - 8 * number), 24)


@device
def later_four(nibbles, upper):
    """Scales 4-7 of Q4_K and Q5_K: low nibbles here, two bits above those of the first four."""
    return or_int(and_int(nibbles, 0x0F0F0F0F), and_int(shift_right(upper, 2), 0x30303030))


def _q4_k_chunk(number):
    @device
    def chunk(w, x, at):
        """Sums of columns 0-31 and 32-63 of the chunk."""
        low, high = int_zeros_like(x), int_zeros_like(x)
        for g in range(8):
            packed = load_bytes(w + 256 + 512 * number + 64 * g)
            low = dot_small(low, low_nibbles(packed), broadcast_i32(x, at + 4 * g))
            later = at + ACTIVATION_BYTES + 4 * g
            high = dot_small(high, high_nibbles(packed), broadcast_i32(x, later))
        return low, high

    return chunk


def _q5_k_chunk(number):
    low_fifth, high_fifth = bit_field(2 * number, 1, 4), bit_field(2 * number + 1, 1, 4)

    @device
    def chunk(w, x, at):
        low, high = int_zeros_like(x), int_zeros_like(x)
        for g in range(8):
            fifths = load_bytes(w + 256 + 64 * g)
            packed = load_bytes(w + 768 + 512 * number + 64 * g)
            levels = or_bytes(low_nibbles(packed), low_fifth(fifths))
            low = dot_small(low, levels, broadcast_i32(x, at + 4 * g))
            levels = or_bytes(high_nibbles(packed), high_fifth(fifths))
            high = dot_small(high, levels, broadcast_i32(x, at + ACTIVATION_BYTES + 4 * g))
        return low, high

    return chunk


@device
def sub_block(sums, d, dmin, scale, lowest, x, at, total):
    total = lowered(multiply(dmin, to_float(lowest)), x, at, total)
    return scaled(sums, multiply(d, to_float(scale)), x, at, total)


def _k_chunk(levels, first):
    """64 columns: the sub-blocks whose scales and minima are bytes `first` and the next."""

    @device
    def chunk(w, d, dmin, scales, minima, x, at, total):
        low, high = levels(w, x, at)
        scale, lowest = byte_of(scales, first), byte_of(minima, first)
        total = sub_block(low, d, dmin, scale, lowest, x, at, total)
        scale, lowest = byte_of(scales, first + 1), byte_of(minima, first + 1)
        return sub_block(high, d, dmin, scale, lowest, x, at + ACTIVATION_BYTES, total)

    return chunk


def _k_with_minima(levels):
    """Q4_K and Q5_K: levels(n) gives chunk n's function for the sums of its two sub-blocks."""
    chunk_0, chunk_1 = _k_chunk(levels(0), 0), _k_chunk(levels(1), 2)
    chunk_2, chunk_3 = _k_chunk(levels(2), 0), _k_chunk(levels(3), 2)

    @device
    def block(w, x, at, total):
        d, dmin = load_f16(w), load_f16(w + 32)
        upper, lower, rest = load_i32(w + 64), load_i32(w + 128), load_i32(w + 192)
        scales, minima = and_int(upper, 0x3F3F3F3F), and_int(lower, 0x3F3F3F3F)
        total = chunk_0(w, d, dmin, scales, minima, x, at, total)
        total = chunk_1(w, d, dmin, scales, minima, x, at + 2 * ACTIVATION_BYTES, total)
        scales, minima = later_four(rest, upper), later_four(shift_right(rest, 4), lower)
        total = chunk_2(w, d, dmin, scales, minima, x, at + 4 * ACTIVATION_BYTES, total)
        return chunk_3(w, d, dmin, scales, minima, x, at + 6 * ACTIVATION_BYTES, total)

    return block


q4_k, q5_k = _k_with_minima(_q4_k_chunk), _k_with_minima(_q5_k_chunk)


@device
def two_halves(first, second, d, scale_1, scale_2, x, at, total):
    """Sub-blocks of 16: two of them share the scale of a block of 32 activations."""
    both = multiply(to_float(first), multiply(d, to_float(scale_1)))
    both = fma(to_float(second), multiply(d, to_float(scale_2)), both)
    return fma(both, broadcast_f32(x, at + SCALE), total)


def _six_bit_quarter(number):
    """A quarter of 128 weights of Q6_K: 32 of them, and which bits they lie in."""
    upper_bits = bit_field(2 * number, 2, 4)
    nibbles = low_nibbles if number < 2 else high_nibbles
    first_byte = 512 * (number % 2)

    @device
    def half(low, high, x, at, start):
        sums = start
        for g in range(4):
            levels = nibbles(load_bytes(low + first_byte + 64 * g))
            levels = or_bytes(levels, upper_bits(load_bytes(high + 64 * g)))
            sums = dot_small(sums, levels, broadcast_i32(x, at + 4 * g))
        return sums

    @device
    def quarter(low, high, scales, d, x, at, total):
        start = shift_left(broadcast_i32(x, at + MINUS_HALF_SUMS), 5)
        first = half(low, high, x, at, start)
        start = shift_left(broadcast_i32(x, at + MINUS_HALF_SUMS + 4), 5)
        second = half(low + 256, high + 256, x, at + 16, start)
        scale_1, scale_2 = load_i8_lanes(scales, 2 * number), load_i8_lanes(scales, 2 * number + 1)
        return two_halves(first, second, d, scale_1, scale_2, x, at, total)

    return quarter


@device
def load_i8_lanes(words, number):
    """Signed byte `number` of every row, where rows' words are interleaved."""
    return signed_byte_of(load_i32(words + 64 * (number // 4)), number % 4)


quarter_0, quarter_1, quarter_2, quarter_3 = [_six_bit_quarter(n) for n in range(4)]


@device
def q6_k(w, x, at, total):
    """| ql 128 | qh 64 | scales 16 | d 2 |"""
    d = load_f16(w + 16 * 208)
    for n in range(2):
        low, high, scales = w + 1024 * n, w + 16 * 128 + 512 * n, w + 16 * 192 + 128 * n
        here = at + 4 * n * ACTIVATION_BYTES
        total = quarter_0(low, high, scales, d, x, here, total)
        total = quarter_1(low, high, scales, d, x, here + ACTIVATION_BYTES, total)
        total = quarter_2(low, high, scales, d, x, here + 2 * ACTIVATION_BYTES, total)
        total = quarter_3(low, high, scales, d, x, here + 3 * ACTIVATION_BYTES, total)
    return total


def _two_bit_quarter(number):
    """32 weights of Q2_K: bits 2·number of 32 bytes a row."""
    crumbs = bit_field(2 * number, 2)

    @device
    def sums_of(w, x, at):
        sums = int_zeros_like(x)
        for g in range(4):
            sums = dot_small(sums, crumbs(load_bytes(w + 64 * g)), broadcast_i32(x, at + 4 * g))
        return sums

    @device
    def quarter(w, scales, d, dmin, x, at, total):
        first, second = sums_of(w, x, at), sums_of(w + 256, x, at + 16)
        both = shift_right(load_i32(scales + 64 * (number // 2)), 16 * (number % 2))
        lowest_1 = multiply(dmin, to_float(and_int(shift_right(both, 4), 15)))
        lowest_2 = multiply(dmin, to_float(and_int(shift_right(both, 12), 15)))
        total = fma(lowest_1, broadcast_f32(x, at + MINUS_SCALED_HALF_SUMS), total)
        total = fma(lowest_2, broadcast_f32(x, at + MINUS_SCALED_HALF_SUMS + 4), total)
        scale_1, scale_2 = and_int(both, 15), and_int(shift_right(both, 8), 15)
        return two_halves(first, second, d, scale_1, scale_2, x, at, total)

    return quarter


crumbs_0, crumbs_1, crumbs_2, crumbs_3 = [_two_bit_quarter(n) for n in range(4)]


@device
def q2_k(w, x, at, total):
    """| scales 16 | qs 64 | d 2 | dmin 2 |"""
    d, dmin = load_f16(w + 16 * 80), load_f16(w + 16 * 82)
    for n in range(2):
        levels, scales = w + 16 * 16 + 512 * n, w + 128 * n
        here = at + 4 * n * ACTIVATION_BYTES
        total = crumbs_0(levels, scales, d, dmin, x, here, total)
        total = crumbs_1(levels, scales, d, dmin, x, here + ACTIVATION_BYTES, total)
        total = crumbs_2(levels, scales, d, dmin, x, here + 2 * ACTIVATION_BYTES, total)
        total = crumbs_3(levels, scales, d, dmin, x, here + 3 * ACTIVATION_BYTES, total)
    return total


def _three_bit_quarter(half, number):
    """32 weights of Q3_K: crumbs of the half's bytes, and bit 4·half + number of the mask."""
    crumbs, third = bit_field(2 * number, 2), bit_field(4 * half + number, 1, 2)

    @device
    def sums_of(w, mask, x, at, start):
        sums = start
        for g in range(4):
            levels = or_bytes(crumbs(load_bytes(w + 64 * g)), third(load_bytes(mask + 64 * g)))
            sums = dot_small(sums, levels, broadcast_i32(x, at + 4 * g))
        return sums

    @device
    def quarter(w, scales, d, x, at, total):
        levels, mask = w + 16 * 32 + 512 * half, w
        start = shift_left(broadcast_i32(x, at + MINUS_HALF_SUMS), 2)
        first = sums_of(levels, mask, x, at, start)
        start = shift_left(broadcast_i32(x, at + MINUS_HALF_SUMS + 4), 2)
        second = sums_of(levels + 256, mask + 256, x, at + 16, start)
        pair = shift_right(scales, 16 * (number % 2))
        scale_1 = add_to_scale(and_int(pair, 255))
        scale_2 = add_to_scale(and_int(shift_right(pair, 8), 255))
        return two_halves(first, second, d, scale_1, scale_2, x, at, total)

    return quarter


@device
def add_to_scale(scale):
    return subtract_int(scale, 32)


third_0, third_1, third_2, third_3 = [_three_bit_quarter(0, n) for n in range(4)]
third_4, third_5, third_6, third_7 = [_three_bit_quarter(1, n) for n in range(4)]


@device
def three_bit_scales(nibbles, upper):
    """Four six-bit scales: low bits in nibbles, the upper two in another word's crumbs."""
    return or_int(and_int(nibbles, 0x0F0F0F0F), shift_left(and_int(upper, 0x03030303), 4))


@device
def q3_k(w, x, at, total):
    """| hmask 32 | qs 64 | scales 12 | d 2 |"""
    d, place, step = load_f16(w + 16 * 108), w + 16 * 96, ACTIVATION_BYTES
    first, second, upper = load_i32(place), load_i32(place + 64), load_i32(place + 128)
    scales = three_bit_scales(first, upper)
    total = third_0(w, scales, d, x, at, total)
    total = third_1(w, scales, d, x, at + step, total)
    scales = three_bit_scales(second, shift_right(upper, 2))
    total = third_2(w, scales, d, x, at + 2 * step, total)
    total = third_3(w, scales, d, x, at + 3 * step, total)
    scales = three_bit_scales(shift_right(first, 4), shift_right(upper, 4))
    total = third_4(w, scales, d, x, at + 4 * step, total)
    total = third_5(w, scales, d, x, at + 5 * step, total)
    scales = three_bit_scales(shift_right(second, 4), shift_right(upper, 6))
    total = third_6(w, scales, d, x, at + 6 * step, total)
    return third_7(w, scales, d, x, at + 7 * step, total)


@device
def iq4_xs_scale(low, high, number):
    fine = and_int(shift_right(low, 4 * number), 15)
    coarse = shift_left(and_int(shift_right(high, 2 * number), 3), 4)
    return subtract_int(or_int(fine, coarse), 32)


@device
def table_sums(w, x, at):
    """The products of 16 bytes a row of IQ4 levels."""
    sums = shift_left(broadcast_i32(x, at + MINUS_SUM), 7)
    for g in range(4):
        packed = load_bytes(w + 64 * g)
        sums = dot(sums, iq4_levels(low_nibbles(packed)), broadcast_i32(x, at + 4 * g))
        sums = dot(sums, iq4_levels(high_nibbles(packed)), broadcast_i32(x, at + 16 + 4 * g))
    return sums


@device
def iq4_nl(w, x, at, total):
    return scaled(table_sums(w + 32, x, at), load_f16(w), x, at, total)


@device
def iq4_xs(w, x, at, total):
    """| d 2 | scales_h 2 | scales_l 4 | qs 128 |"""
    d, high, low = load_f16(w), load_u16(w + 32), load_i32(w + 64)
    for s in range(8):
        here = at + s * ACTIVATION_BYTES
        scale = multiply(d, to_float(iq4_xs_scale(low, high, s)))
        total = scaled(table_sums(w + 128 + 256 * s, x, here), scale, x, here, total)
    return total


@device
def mxfp4(w, x, at, total):
    """The scale 2^(e - 128) as a product of two powers: it may be subnormal, they are not."""
    e = load_u8(w)
    half = shift_right(e, 1)
    first = bits_to_float(shift_left(add_int(half, 63), 23))
    second = bits_to_float(shift_left(add_int(subtract_int(e, half), 63), 23))
    sums = shift_left(broadcast_i32(x, at + MINUS_SUM), 4)
    for g in range(4):
        packed = load_bytes(w + 16 + 64 * g)
        sums = dot_small(sums, mxfp4_levels(low_nibbles(packed)), broadcast_i32(x, at + 4 * g))
        upper = mxfp4_levels(high_nibbles(packed))
        sums = dot_small(sums, upper, broadcast_i32(x, at + 16 + 4 * g))
    return scaled(sums, multiply(first, second), x, at, total)


QUANTIZED = {  # block(w, x, at, total), weights a block, bytes a block and row
    "Q4_0": (q4_0, 32, 18),
    "Q4_1": (q4_1, 32, 20),
    "Q5_0": (q5_0, 32, 22),
    "Q5_1": (q5_1, 32, 24),
    "Q8_0": (q8_0, 32, 34),
    "Q2_K": (q2_k, 256, 84),
    "Q3_K": (q3_k, 256, 110),
    "Q4_K": (q4_k, 256, 144),
    "Q5_K": (q5_k, 256, 176),
    "Q6_K": (q6_k, 256, 210),
    "IQ4_NL": (iq4_nl, 32, 18),
    "IQ4_XS": (iq4_xs, 256, 136),
    "MXFP4": (mxfp4, 32, 17),
}


def quantized_panel(block, weights, size):
    """panel(w, x, columns): the sums of 16 rows with each token's quantized activations."""
    panel_bytes, x_bytes = 16 * size, weights // 32 * ACTIVATION_BYTES

    @device
    def panel(w, x, columns):
        total = zeros_like(x)
        for b in range(columns // weights):
            total = block(w + b * panel_bytes, x, b * x_bytes, total)
        return total

    return panel


def float_panel(load, size):
    """As quantized_panel, with exact activations; even and odd columns are summed apart."""

    @device
    def panel(w, x, columns):
        even, odd = zeros_like(x), zeros_like(x)
        for c in range(columns // 2):
            at = w + 2 * c * 16 * size
            even = fma(load(at), broadcast_f32(x, 8 * c), even)
            odd = fma(load(at + 16 * size), broadcast_f32(x, 8 * c + 4), odd)
        if columns % 2 != 0:
            last = w + (columns - 1) * 16 * size
            even = fma(load(last), broadcast_f32(x, 4 * (columns - 1)), even)
        return add(even, odd)

    return panel


PANELS = {name: quantized_panel(*entry) for name, entry in QUANTIZED.items()} | {
    "F16": float_panel(load_f16, 2),
    "BF16": float_panel(load_bf16, 2),
    "F32": float_panel(load_f32, 4),
}
