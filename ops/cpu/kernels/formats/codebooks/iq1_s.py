"""IQ1_S: | d f16 | entries 32 | 8 x (sign of 1/8, scale, upper bits) u16 |, entries of 8 columns.

Levels are eight times as high: 8 l + 1 or 8 l - 1.
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
from ops.cpu.kernels.formats.records import Quantized
from ops.cpu.kernels.simd.compiler import device
from ops.cpu.kernels.simd.memory import load_f16 as one_f16
from ops.cpu.kernels.simd.memory import load_u8 as one_u8
from ops.cpu.kernels.simd.memory import load_u16 as one_u16
from ops.cpu.kernels.simd.operations import (
    add_int,
    and_int,
    load_f16,
    load_i32,
    multiply,
    multiply_int,
    or_int,
    shift_left,
    shift_right,
    to_float,
)
from quant.format import FORMATS

EIGHTH = np.float32(0.125)

entries, entry_levels = lookup_entries("IQ1_S"), levels_of_moved()


@device
def dequantize(block, out):
    d = one_f16(block, 0)
    for n in range(32):  # of 8 weights
        rest = one_u16(block + 34, n // 4)
        number = one_u8(block + 2, n) | (rest >> (3 * (n % 4)) & 7) << 8
        shift = -EIGHTH if rest >> 15 else EIGHTH
        spread_moved(out + 32 * n, number, shift, d * np.float32((rest >> 12 & 7) * 2 + 1))


@device
def rest_of(w, part):
    return shift_right(load_i32(w + 544 + 64 * (part // 2)), 16 * (part % 2))


@device
def levels(w, part, g):
    rest, odd = rest_of(w, part), g // 2 % 2
    low = even_bytes(load_i32(w + 32 + 64 * part), odd)
    words = entries(or_int(low, upper_bits(rest, 3 * odd, 3 * odd + 6, 7)))
    negative = multiply_int(and_int(shift_right(rest, 15), 1), FOURTH_BITS)
    return entry_levels(words, g // 4, g, negative)


@device
def odd_number(words, first):
    """2 s + 1, for three bits s."""
    return to_float(add_int(shift_left(and_int(shift_right(words, first), 7), 1), 1))


@device
def factors(w, part):
    scale = multiply(multiply(load_f16(w), odd_number(rest_of(w, part), 12)), EIGHTH)
    return scale, scale, scale, scale


KERNELS = Quantized(
    FORMATS["IQ1_S"],
    dequantize,
    levels,
    factors,
    offset=4,
)
