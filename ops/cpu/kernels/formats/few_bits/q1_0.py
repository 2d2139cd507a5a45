"""Q1_0: | d f16 | signs 16 |, levels -1 and 1; 128 columns."""

import numpy as np

from ops.cpu.kernels.formats.records import Quantized
from ops.cpu.kernels.simd.compiler import device
from ops.cpu.kernels.simd.memory import load_f16 as one_f16
from ops.cpu.kernels.simd.memory import load_u8 as one_u8
from ops.cpu.kernels.simd.memory import store_f32
from ops.cpu.kernels.simd.operations import (
    and_int,
    as_bytes,
    load_f16,
    load_i32,
    multiply_int,
    shift_right,
)
from quant.format import FORMATS

SPREAD = 1 << 1 | 1 << 8 | 1 << 15 | 1 << 22  # bit i goes to bit 1 of byte i


@device
def dequantize(block, out):
    d = one_f16(block, 0)
    for j in range(128):
        bit = one_u8(block + 2, j // 8) >> (j % 8) & 1
        store_f32(out, j, d * np.float32(2 * bit - 1))


@device
def levels(w, part, g):
    four = and_int(shift_right(load_i32(w + 32 + 64 * part), 4 * g), 15)
    return as_bytes(and_int(multiply_int(four, SPREAD), 0x02020202))


@device
def factors(w, part):
    d = load_f16(w)
    return d, d, d, d


KERNELS = Quantized(
    FORMATS["Q1_0"],
    dequantize,
    levels,
    factors,
    offset=0,
)
