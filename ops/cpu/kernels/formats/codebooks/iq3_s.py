"""IQ3_S: | d f16 | entries 64 | upper bits 8 | signs 32 | scales 4 |, entries of 4 columns."""

import numpy as np

from ops.cpu.kernels.formats.codebooks.entries import (
    even_bytes,
    fourth_bits,
    levels_of_four,
    lookup_entries,
    spread_signed,
    upper_bits,
)
from ops.cpu.kernels.formats.records import Quantized
from ops.cpu.kernels.simd.compiler import device
from ops.cpu.kernels.simd.memory import load_f16 as one_f16
from ops.cpu.kernels.simd.memory import load_u8 as one_u8
from ops.cpu.kernels.simd.operations import (
    add_int,
    and_int,
    load_f16,
    load_i32,
    multiply,
    or_int,
    shift_left,
    shift_right,
    to_float,
)
from quant.format import FORMATS

spread = spread_signed("IQ3_S")
entries, entry_levels = lookup_entries("IQ3_S"), levels_of_four("IQ3_S", 4)


@device
def dequantize(block, out):
    d = one_f16(block, 0)
    for n in range(64):  # of 4 weights
        scale = one_u8(block + 106, n // 16) >> (4 * (n // 8 % 2)) & 15
        number = one_u8(block + 2, n) | (one_u8(block + 66, n // 8) >> (n % 8) & 1) << 8
        signs = one_u8(block + 74, n // 2) >> (4 * (n % 2))
        spread(number, signs, out + 16 * n, d * np.float32(1 + 2 * scale))


@device
def levels(w, part, g):
    """A byte of upper bits has one for each of a part's eight entries."""
    upper = shift_right(load_i32(w + 1056 + 64 * (part // 4)), 8 * (part % 4))
    low = even_bytes(load_i32(w + 32 + 64 * (2 * part + g // 4)), g % 2)
    first = g // 4 * 4 + g % 2
    words = entries(or_int(low, upper_bits(upper, first, first + 2, 1)))
    return entry_levels(words, g // 2 % 2, fourth_bits(load_i32(w + 1184 + 64 * part), g))


@device
def factors(w, part):
    scale = and_int(shift_right(load_i32(w + 1696), 4 * part), 15)
    scale = multiply(load_f16(w), to_float(add_int(shift_left(scale, 1), 1)))
    return scale, scale, scale, scale


KERNELS = Quantized(
    FORMATS["IQ3_S"],
    dequantize,
    levels,
    factors,
    offset=4,
)
