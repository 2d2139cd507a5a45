"""Products of a panel with activations: what each format needs, for any tile of tokens.

A panel is 16 rows of a weight, one a lane, interleaved word by word: what a row's block holds at
byte o stands for all rows from byte 16·o of the panel's block on, each row's word (or half word,
or byte) after the other. So a panel holds the same bits as the file, and nothing else.

`block(w, x, at, total)` adds one block's products to the totals, a register for each panel and
token: w is the addresses of the panels' blocks, x those of the tokens' quantized activations
(layout.py draws them), `at` the byte where the block's activations begin.

Where unpacking takes as long as multiplying (five bits, K-quants), a format is described by parts
of 32 columns: `levels(w, part, g)` are the unsigned weights of columns 4g .. 4g + 3, `factors(w,
part)` its scales and minima. Many tokens then meet parts that were unpacked once (unpacked.py).
"""

import numpy as np

from ops.cpu.kernels.simd.compiler import device
from ops.cpu.kernels.simd.dots import dot, dot_small, lookup
from ops.cpu.kernels.simd.operations import (
    add,
    add_int,
    and_int,
    as_bytes,
    bits_to_float,
    broadcast_f32,
    broadcast_i32,
    flip_signs,
    fma,
    high_nibbles,
    int_zeros,
    load_bf16,
    load_bytes,
    load_f16,
    load_f32,
    load_i32,
    load_u8,
    load_u16,
    low_nibbles,
    multiply,
    multiply_int,
    or_bytes,
    or_int,
    prefetch_panels,
    shift_left,
    shift_right,
    shift_right_signed,
    subtract,
    subtract_int,
    to_float,
    zeros,
)
from ops.cpu.layout import (
    ACTIVATION_BYTES,
    MINUS_SCALED_SUM,
    MINUS_SUM,
    SCALE,
)
from quant.iquants import LEVELS as IQ4_LEVELS
from quant.microscaling import LEVELS as MXFP4_LEVELS

NOTHING = np.float32(0)
MINIMA = -1
BYTES_AHEAD = 4096  # from what is read to what is prefetched

# the weights' levels 0 .. 15 moved up to be unsigned, by a power of two
iq4_levels = lookup([level + 128 for level in IQ4_LEVELS])
mxfp4_levels = lookup([level + 16 for level in MXFP4_LEVELS])


@device
def lowering(w, x, at, bits):
    """What sums begin with where weights are stored 2^bits too high: minus the activations' sum."""
    return add_int(int_zeros(w, x), shift_left(broadcast_i32(x, at), bits))


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
    start = lowering(w, x, at + MINUS_SUM, 3)
    return scaled(nibble_sums(w + 32, x, at, start), load_f16(w), x, at, total)


@device
def q4_1(w, x, at, total):
    sums = nibble_sums(w + 64, x, at, int_zeros(w, x))
    total = lowered(subtract(NOTHING, load_f16(w + 32)), x, at, total)
    return scaled(sums, load_f16(w), x, at, total)


@device
def spread_fifth_bits(bits):
    """Four neighbouring bits of each lane to bit 4 of its four bytes."""
    moved = multiply_int(and_int(bits, 15), 0x02040810)
    return as_bytes(and_int(moved, 0x10101010))


def _five_bits(start):
    """Levels of Q5_0 and Q5_1; bit c of the word at `start` is the fifth bit of column c."""

    @device
    def levels(w, part, g):
        fifths = spread_fifth_bits(shift_right(load_i32(w + start), 4 * g))
        raw = shift_right(load_i32(w + start + 64 + 64 * (g % 4)), g // 4 * 4)
        return or_bytes(as_bytes(and_int(raw, 0x0F0F0F0F)), fifths)

    return levels


@device
def q5_0_factors(w, part):
    return load_f16(w), load_f16(w), load_f16(w), load_f16(w)


@device
def q5_1_factors(w, part):
    d, lowest = load_f16(w), subtract(NOTHING, load_f16(w + 32))
    return d, d, lowest, lowest


@device
def q8_0(w, x, at, total):
    sums = lowering(w, x, at + MINUS_SUM, 7)
    for g in range(8):
        levels = flip_signs(load_bytes(w + 32 + 64 * g))
        sums = dot(sums, levels, broadcast_i32(x, at + 4 * g))
    return scaled(sums, load_f16(w), x, at, total)


@device
def signed_byte_of(words, number):
    return shift_right_signed(shift_left(words, 24 - 8 * number), 24)


@device
def later_four(nibbles, upper):
    """Scales 4-7 of Q4_K and Q5_K: low nibbles here, two bits above those of the first four."""
    return or_int(and_int(nibbles, 0x0F0F0F0F), and_int(shift_right(upper, 2), 0x30303030))


@device
def q4_k_levels(w, part, g):
    raw = load_i32(w + 256 + 512 * (part // 2) + 64 * g)
    return bits_of(raw, part % 2 * 4, 0x0F0F0F0F, 0)


@device
def q5_k_levels(w, part, g):
    """Bit `part` of the 32 bytes at `qh` is the fifth."""
    raw = load_i32(w + 768 + 512 * (part // 2) + 64 * g)
    fifths = bits_of(load_i32(w + 256 + 64 * g), part, 0x01010101, 4)
    return or_bytes(bits_of(raw, part % 2 * 4, 0x0F0F0F0F, 0), fifths)


@device
def q4_k_factors(w, part):
    """Six-bit scale and minimum of a sub-block: byte part % 4 of words of scales and of minima."""
    d, dmin = load_f16(w), load_f16(w + 32)
    upper, lower, rest = load_i32(w + 64), load_i32(w + 128), load_i32(w + 192)
    if part < 4:
        scales, minima = and_int(upper, 0x3F3F3F3F), and_int(lower, 0x3F3F3F3F)
    else:
        scales, minima = later_four(rest, upper), later_four(shift_right(rest, 4), lower)
    scale = multiply(d, to_float(and_int(shift_right(scales, part % 4 * 8), 255)))
    lowest = multiply(dmin, to_float(and_int(shift_right(minima, part % 4 * 8), 255)))
    return scale, scale, lowest, lowest


@device
def bits_of(raw, first, mask, to):
    """The bits `first` and on of every byte that `mask` leaves, moved up by `to`."""
    return as_bytes(shift_left(and_int(shift_right(raw, first), mask), to))


@device
def q6_k_levels(w, part, g):
    """| ql 128 | qh 64 | scales 16 | d 2 |: 128 columns in four quarters, twice."""
    n, quarter = part // 4, part % 4
    low = load_i32(w + 1024 * n + 512 * (quarter % 2) + 64 * g)
    high = load_i32(w + 16 * 128 + 512 * n + 64 * g)
    upper = bits_of(high, 2 * quarter, 0x03030303, 4)
    return or_bytes(bits_of(low, quarter // 2 * 4, 0x0F0F0F0F, 0), upper)


@device
def q6_k_factors(w, part):
    d = load_f16(w + 16 * 208)
    scales = shift_right(load_i32(w + 16 * 192 + 64 * (part // 2)), 16 * (part % 2))
    first = multiply(d, to_float(signed_byte_of(scales, 0)))
    second = multiply(d, to_float(signed_byte_of(scales, 1)))
    return first, second, d, d


@device
def q2_k_levels(w, part, g):
    """| scales 16 | qs 64 | d 2 | dmin 2 |"""
    raw = load_i32(w + 16 * 16 + 512 * (part // 4) + 64 * g)
    return bits_of(raw, 2 * (part % 4), 0x03030303, 0)


@device
def q2_k_factors(w, part):
    """A byte of scales holds a scale and a minimum."""
    d, dmin = load_f16(w + 16 * 80), load_f16(w + 16 * 82)
    both = shift_right(load_i32(w + 64 * (part // 2)), 16 * (part % 2))
    first = multiply(d, to_float(and_int(both, 15)))
    second = multiply(d, to_float(and_int(shift_right(both, 8), 15)))
    lowest_1 = multiply(dmin, to_float(and_int(shift_right(both, 4), 15)))
    lowest_2 = multiply(dmin, to_float(and_int(shift_right(both, 12), 15)))
    return first, second, lowest_1, lowest_2


@device
def q3_k_levels(w, part, g):
    """| hmask 32 | qs 64 | scales 12 | d 2 |: bit `part` of the mask is the third."""
    raw = load_i32(w + 16 * 32 + 512 * (part // 4) + 64 * g)
    third = bits_of(load_i32(w + 64 * g), part, 0x01010101, 2)
    return or_bytes(bits_of(raw, 2 * (part % 4), 0x03030303, 0), third)


@device
def q3_k_factors(w, part):
    """Six-bit scales: low bits in nibbles, the upper two in crumbs of the last word."""
    d, place, pair = load_f16(w + 16 * 108), w + 16 * 96, 16 * (part % 2)
    low = shift_right(load_i32(place + 64 * (part // 2 % 2)), 4 * (part // 4) + pair)
    high = shift_right(load_i32(place + 128), 2 * (part // 2) + pair)
    scales = or_int(and_int(low, 0x0F0F), shift_left(and_int(high, 0x0303), 4))
    first = multiply(d, to_float(subtract_int(and_int(scales, 255), 32)))
    second = multiply(d, to_float(subtract_int(shift_right(scales, 8), 32)))
    return first, second, d, d


@device
def iq4_xs_scale(low, high, number):
    fine = and_int(shift_right(low, 4 * number), 15)
    coarse = shift_left(and_int(shift_right(high, 2 * number), 3), 4)
    return subtract_int(or_int(fine, coarse), 32)


@device
def table_sums(w, x, at):
    """The products of 16 bytes a row of IQ4 levels."""
    sums = lowering(w, x, at + MINUS_SUM, 7)
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
    sums = lowering(w, x, at + MINUS_SUM, 4)
    for g in range(4):
        packed = load_bytes(w + 16 + 64 * g)
        sums = dot_small(sums, mxfp4_levels(low_nibbles(packed)), broadcast_i32(x, at + 4 * g))
        upper = mxfp4_levels(high_nibbles(packed))
        sums = dot_small(sums, upper, broadcast_i32(x, at + 16 + 4 * g))
    return scaled(sums, multiply(first, second), x, at, total)


QUANTIZED = {  # block(w, x, at, total), weights a block, bytes a block and row
    "Q4_0": (q4_0, 32, 18),
    "Q4_1": (q4_1, 32, 20),
    "Q8_0": (q8_0, 32, 34),
    "IQ4_NL": (iq4_nl, 32, 18),
    "IQ4_XS": (iq4_xs, 256, 136),
    "MXFP4": (mxfp4, 32, 17),
}
IN_PARTS = {  # levels, factors, weights and bytes a block, scales a part, what offsets the levels
    "Q5_0": (_five_bits(32), q5_0_factors, 32, 22, 1, 4),
    "Q5_1": (_five_bits(64), q5_1_factors, 32, 24, 1, MINIMA),
    "Q2_K": (q2_k_levels, q2_k_factors, 256, 84, 2, MINIMA),
    "Q3_K": (q3_k_levels, q3_k_factors, 256, 110, 2, 2),
    "Q4_K": (q4_k_levels, q4_k_factors, 256, 144, 1, MINIMA),
    "Q5_K": (q5_k_levels, q4_k_factors, 256, 176, 1, MINIMA),
    "Q6_K": (q6_k_levels, q6_k_factors, 256, 210, 2, 5),
}
"""The last entry: levels are 2^n too high, or a part has minima."""


def quantized_panel(block, weights, size):
    """panel(w, x, columns): the sums of 16 rows with each token's quantized activations.

    Each tile of tokens asks anew for what lies ahead. Only the first has to; but a branch, or a
    second loop without, costs far more than asking for what is in the core's cache.
    """
    panel_bytes, x_bytes = 16 * size, weights // 32 * ACTIVATION_BYTES
    ahead = prefetch_panels(panel_bytes)

    @device
    def panel(w, x, columns):
        total = zeros(w, x)
        for b in range(columns // weights):
            ahead(w, b * panel_bytes + BYTES_AHEAD)
            total = block(w + b * panel_bytes, x, b * x_bytes, total)
        return total

    return panel


def float_panel(load, size):
    """As quantized_panel, with exact activations; even and odd columns are summed apart."""

    ahead = prefetch_panels(2 * 16 * size)

    @device
    def panel(w, x, columns):
        even, odd = zeros(w, x), zeros(w, x)
        for c in range(columns // 2):
            at = w + 2 * c * 16 * size
            ahead(at, BYTES_AHEAD)
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
