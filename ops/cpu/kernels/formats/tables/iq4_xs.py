"""IQ4_XS: | d f16 | scales: upper bits u16, nibbles 4 | nibbles 128 |, levels by a table."""

import numpy as np

from ops.cpu.kernels.formats.records import Quantized
from ops.cpu.kernels.formats.tables.nibble_table import spread_iq4, table_levels
from ops.cpu.kernels.simd.compiler import device
from ops.cpu.kernels.simd.memory import load_f16 as one_f16
from ops.cpu.kernels.simd.memory import load_u8 as one_u8
from ops.cpu.kernels.simd.memory import load_u16 as one_u16
from ops.cpu.kernels.simd.operations import (
    and_int,
    load_f16,
    load_i32,
    load_u16,
    multiply,
    or_int,
    shift_left,
    shift_right,
    subtract_int,
    to_float,
)
from quant.format import FORMATS


@device
def dequantize(block, out):
    d, high = one_f16(block, 0), one_u16(block + 2, 0)
    for group in range(8):
        low = one_u8(block + 4, group // 2) >> (4 * (group % 2)) & 15
        s = d * np.float32((low | (high >> (2 * group) & 3) << 4) - 32)
        spread_iq4(block + 8 + 16 * group, out + 128 * group, s)


@device
def scale_of_part(low, high, number):
    fine = and_int(shift_right(low, 4 * number), 15)
    coarse = shift_left(and_int(shift_right(high, 2 * number), 3), 4)
    return subtract_int(or_int(fine, coarse), 32)


@device
def levels(w, part, g):
    return table_levels(w + 128 + 256 * part, g)


@device
def factors(w, part):
    low, high = load_i32(w + 64), load_u16(w + 32)
    scale = multiply(load_f16(w), to_float(scale_of_part(low, high, part)))
    return scale, scale, scale, scale


KERNELS = Quantized(
    FORMATS["IQ4_XS"],
    dequantize,
    levels,
    factors,
    offset=7,
)
