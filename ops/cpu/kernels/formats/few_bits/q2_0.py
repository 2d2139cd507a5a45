"""Q2_0: | d f16 | levels 16 |, levels -1 to 2 in two bits, four a byte; 64 columns."""

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
    or_int,
    shift_left,
    shift_right,
)
from quant.format import FORMATS


@device
def dequantize(block, out):
    d = one_f16(block, 0)
    for j in range(64):
        q = one_u8(block + 2, j // 4) >> (2 * (j % 4)) & 3
        store_f32(out, j, d * np.float32(q - 1))


@device
def levels(w, part, g):
    """A byte's four fields go to a byte each."""
    packed = load_i32(w + 32 + 64 * (2 * part + g // 4))
    byte = and_int(shift_right(packed, 8 * (g % 4)), 255)
    pairs = and_int(or_int(byte, shift_left(byte, 12)), 0x000F000F)
    return as_bytes(and_int(or_int(pairs, shift_left(pairs, 6)), 0x03030303))


@device
def factors(w, part):
    d = load_f16(w)
    return d, d, d, d


KERNELS = Quantized(
    FORMATS["Q2_0"],
    dequantize,
    levels,
    factors,
    offset=0,
)
