"""IQ2_XXS: | d f16 | 8 x (entries u8 4, scale and signs u32) |, entries of 8 columns."""

import numpy as np

from ops.cpu.kernels.formats.codebooks.entries import (
    even_bytes,
    fourth_bits,
    levels_of_eight,
    lookup_entries,
    sign_byte,
    sign_bytes,
    spread_signed,
)
from ops.cpu.kernels.formats.codebooks.iq2_xs import HALF, QUARTER
from ops.cpu.kernels.formats.records import Quantized
from ops.cpu.kernels.simd.compiler import device
from ops.cpu.kernels.simd.memory import load_f16 as one_f16
from ops.cpu.kernels.simd.memory import load_u8 as one_u8
from ops.cpu.kernels.simd.memory import load_u32 as one_u32
from ops.cpu.kernels.simd.operations import add, load_f16, load_i32, multiply, shift_right, to_float
from quant.format import FORMATS

spread = spread_signed("IQ2_XXS")
entries, entry_levels = lookup_entries("IQ2_XXS"), levels_of_eight("IQ2_XXS", 6)


@device
def dequantize(block, out):
    d = one_f16(block, 0)
    for group in range(8):
        source = block + 2 + 8 * group
        word = one_u32(source, 1)
        s = d * (HALF + np.float32(word >> 28)) * QUARTER
        for i in range(4):
            signs = sign_byte(word >> (7 * i) & 127)
            spread(one_u8(source, i), signs, out + 128 * group + 32 * i, s)


@device
def levels(w, part, g):
    place = w + 32 + 128 * part
    signs = sign_bytes(load_i32(place + 64))
    words = entries(even_bytes(load_i32(place), g // 2 % 2))
    return entry_levels(words, g // 4, g, fourth_bits(signs, g))


@device
def factors(w, part):
    scale = to_float(shift_right(load_i32(w + 96 + 128 * part), 28))
    scale = multiply(multiply(load_f16(w), add(scale, HALF)), QUARTER)
    return scale, scale, scale, scale


KERNELS = Quantized(
    FORMATS["IQ2_XXS"],
    dequantize,
    levels,
    factors,
    offset=6,
)
