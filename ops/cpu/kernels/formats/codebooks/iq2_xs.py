"""IQ2_XS: | d f16 | 32 x (entry 9 bits, signs 7 bits) | scales 8 |, entries of 8 columns."""

import numpy as np

from ops.cpu.kernels.formats.codebooks.entries import (
    fourth_bits,
    levels_of_eight,
    lookup_entries,
    sign_byte,
    spread_signed,
    with_parity,
)
from ops.cpu.kernels.formats.records import Quantized
from ops.cpu.kernels.simd.compiler import device
from ops.cpu.kernels.simd.memory import load_f16 as one_f16
from ops.cpu.kernels.simd.memory import load_u8 as one_u8
from ops.cpu.kernels.simd.memory import load_u16 as one_u16
from ops.cpu.kernels.simd.operations import (
    add,
    and_int,
    load_f16,
    load_i32,
    multiply,
    shift_right,
    to_float,
)
from quant.format import FORMATS

HALF, QUARTER = np.float32(0.5), np.float32(0.25)

spread = spread_signed("IQ2_XS")
entries, entry_levels = lookup_entries("IQ2_XS"), levels_of_eight("IQ2_XS", 6)


@device
def dequantize(block, out):
    d = one_f16(block, 0)
    for n in range(32):  # of 8 weights
        scale = one_u8(block + 66, n // 4) >> (4 * (n // 2 % 2)) & 15
        number = one_u16(block + 2, n)
        s = d * (HALF + np.float32(scale)) * QUARTER
        spread(number & 511, sign_byte(number >> 9), out + 32 * n, s)


@device
def levels(w, part, g):
    """Two numbers, for 16 columns, are a word."""
    words = load_i32(w + 32 + 64 * (2 * part + g // 4))
    signs = with_parity(and_int(shift_right(words, 9), 0x007F007F))
    fourth = fourth_bits(signs, g // 2 % 2 * 4 + g % 2)
    return entry_levels(entries(and_int(words, 0x01FF01FF)), g // 2 % 2, g, fourth)


@device
def factors(w, part):
    return nibble_scales(w, w + 1056, part)


@device
def nibble_scales(w, scales, part):
    """Byte `part` of the scales: the low nibble is that of the first 16 columns."""
    d, both = load_f16(w), shift_right(load_i32(scales + 64 * (part // 4)), 8 * (part % 4))
    first = multiply(multiply(d, add(to_float(and_int(both, 15)), HALF)), QUARTER)
    upper = to_float(and_int(shift_right(both, 4), 15))
    second = multiply(multiply(d, add(upper, HALF)), QUARTER)
    return first, second, first, second


KERNELS = Quantized(
    FORMATS["IQ2_XS"],
    dequantize,
    levels,
    factors,
    offset=6,
    scales=2,
)
