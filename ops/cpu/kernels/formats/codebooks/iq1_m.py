"""IQ1_M: | entries 32 | 32 x (sign of 1/8, upper bits) 16 | 4 x (a part of d, scales) u16 |.

Entries of 8 columns; levels are eight times as high, as in IQ1_S.
"""

import numpy as np

from ops.cpu.kernels.formats.codebooks.entries import (
    FOURTH_BITS,
    even_bytes,
    levels_of_moved,
    lookup_entries,
    spread_moved,
    upper_bits,
)
from ops.cpu.kernels.formats.codebooks.iq1_s import EIGHTH, odd_number
from ops.cpu.kernels.formats.records import Quantized
from ops.cpu.kernels.simd.compiler import device
from ops.cpu.kernels.simd.memory import half_to_f32
from ops.cpu.kernels.simd.memory import load_u8 as one_u8
from ops.cpu.kernels.simd.memory import load_u16 as one_u16
from ops.cpu.kernels.simd.operations import (
    and_int,
    half_to_float,
    load_i32,
    multiply,
    multiply_int,
    or_int,
    shift_right,
)
from quant.format import FORMATS

entries, entry_levels = lookup_entries("IQ1_S"), levels_of_moved()


@device
def dequantize(block, out):
    bits = 0
    for n in range(4):
        bits = bits | one_u16(block + 48, n) >> 12 << (4 * n)
    d = half_to_f32(bits)
    for n in range(32):  # of 8 weights
        rest = one_u8(block + 32, n // 2) >> (4 * (n % 2))
        scale = one_u16(block + 48, n // 8) >> (3 * (n // 2 % 4)) & 7
        shift = -EIGHTH if rest & 8 else EIGHTH
        number = one_u8(block, n) | (rest & 7) << 8
        spread_moved(out + 32 * n, number, shift, d * np.float32(2 * scale + 1))


@device
def levels(w, part, g):
    """A nibble is the rest of a number of 8 columns."""
    rest, odd = shift_right(load_i32(w + 512 + 64 * (part // 2)), 16 * (part % 2)), g // 2 % 2
    low = even_bytes(load_i32(w + 64 * part), odd)
    words = entries(or_int(low, upper_bits(rest, 4 * odd, 4 * odd + 8, 7)))
    negative = multiply_int(and_int(shift_right(rest, 4 * (g // 2) + 3), 1), FOURTH_BITS)
    return entry_levels(words, g // 4, g, negative)


@device
def scale_of_block(low, high):
    """d times 1/8, from the upper four bits of each of four numbers."""
    first = or_int(and_int(shift_right(low, 12), 15), and_int(shift_right(low, 24), 0xF0))
    second = or_int(and_int(shift_right(high, 4), 0xF00), and_int(shift_right(high, 16), 0xF000))
    return multiply(half_to_float(or_int(first, second)), EIGHTH)


@device
def factors(w, part):
    d = scale_of_block(load_i32(w + 768), load_i32(w + 832))
    scales = shift_right(
        load_i32(w + 768 + 64 * (part // 4)), 16 * (part // 2 % 2) + 6 * (part % 2)
    )
    first = multiply(d, odd_number(scales, 0))
    second = multiply(d, odd_number(scales, 3))
    return first, second, first, second


KERNELS = Quantized(
    FORMATS["IQ1_M"],
    dequantize,
    levels,
    factors,
    offset=4,
    scales=2,
)
