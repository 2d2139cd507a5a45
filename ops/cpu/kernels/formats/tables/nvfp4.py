"""NVFP4: | scales e4m3 4 | nibbles 32 |, levels by a table; 64 columns, a scale per 16."""

import numpy as np

from ops.cpu.kernels.formats.arithmetic import bits_of
from ops.cpu.kernels.formats.records import Quantized
from ops.cpu.kernels.formats.tables.mxfp4 import table
from ops.cpu.kernels.formats.tables.nibble_table import spread_by
from ops.cpu.kernels.simd.compiler import device
from ops.cpu.kernels.simd.memory import bits_to_f32
from ops.cpu.kernels.simd.memory import load_u8 as one_u8
from ops.cpu.kernels.simd.operations import (
    and_int,
    bits_to_float,
    choose,
    less,
    load_i32,
    multiply,
    shift_left,
    shift_right,
)
from quant.format import FORMATS
from quant.microscaling import LEVELS

spread = spread_by(LEVELS, 8)
MOVED = np.float32(2.0**119)  # an f32's exponent is 2^120 times smaller; the levels are doubled
NO_NUMBER = np.float32(240)  # what the bits 127 would be; they count as 0


@device
def dequantize(block, out):
    for sub in range(4):
        bits = one_u8(block, sub)
        d = bits_to_f32((bits & 127) << 20) * MOVED
        if bits == 127:
            d = np.float32(0)
        spread(block + 4 + 8 * sub, out + 64 * sub, d)


@device
def levels(w, part, g):
    word = 4 * part + g // 4 * 2 + g % 2
    return table(bits_of(load_i32(w + 64 + 64 * word), g // 2 % 2 * 4, 0x0F0F0F0F, 0))


@device
def scale_of(scales, number):
    """The bit above the seven of a number is ignored, but not by the comparison."""
    bits = shift_left(and_int(shift_right(scales, 8 * number), 255), 20)
    value = multiply(bits_to_float(and_int(bits, 127 << 20)), MOVED)
    whole = multiply(bits_to_float(bits), MOVED)
    above = choose(less(NO_NUMBER, whole), value, np.float32(0))
    return choose(less(whole, NO_NUMBER), value, above)


@device
def factors(w, part):
    scales = load_i32(w)
    first, second = scale_of(scales, 2 * part), scale_of(scales, 2 * part + 1)
    return first, second, first, second


KERNELS = Quantized(
    FORMATS["NVFP4"],
    dequantize,
    levels,
    factors,
    offset=4,
    scales=2,
)
