"""IQ2_S: | d f16 | entries 32 | signs 32 | upper bits 8 | scales 8 |, entries of 8 columns."""

import numpy as np

from ops.cpu.kernels.formats.codebooks.entries import (
    even_bytes,
    fourth_bits,
    levels_of_eight,
    lookup_entries,
    spread_signed,
    upper_bits,
)
from ops.cpu.kernels.formats.codebooks.iq2_xs import HALF, QUARTER, nibble_scales
from ops.cpu.kernels.formats.records import Quantized
from ops.cpu.kernels.simd.compiler import device
from ops.cpu.kernels.simd.memory import load_f16 as one_f16
from ops.cpu.kernels.simd.memory import load_u8 as one_u8
from ops.cpu.kernels.simd.operations import load_i32, or_int, shift_right
from quant.format import FORMATS

spread = spread_signed("IQ2_S")
entries, entry_levels = lookup_entries("IQ2_S"), levels_of_eight("IQ2_S", 6)


@device
def dequantize(block, out):
    d = one_f16(block, 0)
    for n in range(32):  # of 8 weights
        scale = one_u8(block + 74, n // 4) >> (4 * (n // 2 % 2)) & 15
        upper = one_u8(block + 66, n // 4) >> (2 * (n % 4)) & 3
        s = d * (HALF + np.float32(scale)) * QUARTER
        spread(one_u8(block + 2, n) | upper << 8, one_u8(block + 34, n), out + 32 * n, s)


@device
def levels(w, part, g):
    """A byte of upper bits has two for each of a part's four entries."""
    odd = g // 2 % 2
    upper = shift_right(load_i32(w + 1056 + 64 * (part // 4)), 8 * (part % 4))
    low = even_bytes(load_i32(w + 32 + 64 * part), odd)
    words = entries(or_int(low, upper_bits(upper, 2 * odd, 2 * odd + 4, 3)))
    return entry_levels(words, g // 4, g, fourth_bits(load_i32(w + 544 + 64 * part), g))


@device
def factors(w, part):
    return nibble_scales(w, w + 1184, part)


KERNELS = Quantized(
    FORMATS["IQ2_S"],
    dequantize,
    levels,
    factors,
    offset=6,
    scales=2,
)
