"""IQ3_XXS: | d f16 | entries u8 64 | 8 x scale and signs u32 |, entries of 4 columns."""

import numpy as np

from ops.cpu.kernels.formats.codebooks.entries import (
    even_bytes,
    fourth_bits,
    levels_of_four,
    lookup_entries,
    sign_byte,
    sign_bytes,
    spread_signed,
)
from ops.cpu.kernels.formats.codebooks.iq2_xs import HALF
from ops.cpu.kernels.formats.records import Quantized
from ops.cpu.kernels.simd.compiler import device
from ops.cpu.kernels.simd.memory import load_f16 as one_f16
from ops.cpu.kernels.simd.memory import load_u8 as one_u8
from ops.cpu.kernels.simd.memory import load_u16 as one_u16
from ops.cpu.kernels.simd.operations import add, load_f16, load_i32, multiply, shift_right, to_float
from quant.format import FORMATS

spread = spread_signed("IQ3_XXS")
entries, entry_levels = lookup_entries("IQ3_XXS"), levels_of_four("IQ3_XXS", 6)


@device
def dequantize(block, out):
    d = one_f16(block, 0)
    for group in range(8):
        word = one_u16(block + 66, 2 * group) | one_u16(block + 66, 2 * group + 1) << 16
        s = d * (HALF + np.float32(word >> 28)) * HALF
        for i in range(8):
            signs = sign_byte(word >> (7 * (i // 2)) & 127) >> (4 * (i % 2))
            spread(one_u8(block + 2, 8 * group + i), signs, out + 128 * group + 16 * i, s)


@device
def levels(w, part, g):
    signs = sign_bytes(load_i32(w + 1056 + 64 * part))
    words = entries(even_bytes(load_i32(w + 32 + 64 * (2 * part + g // 4)), g % 2))
    return entry_levels(words, g // 2 % 2, fourth_bits(signs, g))


@device
def factors(w, part):
    scale = to_float(shift_right(load_i32(w + 1056 + 64 * part), 28))
    scale = multiply(multiply(load_f16(w), add(scale, HALF)), HALF)
    return scale, scale, scale, scale


KERNELS = Quantized(
    FORMATS["IQ3_XXS"],
    dequantize,
    levels,
    factors,
    offset=6,
)
