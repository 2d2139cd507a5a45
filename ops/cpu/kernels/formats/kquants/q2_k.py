"""Q2_K: | scales 16 | levels 64 | d f16 | dmin f16 |; a scale and a minimum per 16 columns."""

import numpy as np

from ops.cpu.kernels.formats.arithmetic import bits_of
from ops.cpu.kernels.formats.records import Quantized
from ops.cpu.kernels.simd.compiler import device
from ops.cpu.kernels.simd.memory import load_f16 as one_f16
from ops.cpu.kernels.simd.memory import load_u8 as one_u8
from ops.cpu.kernels.simd.memory import spread_bits
from ops.cpu.kernels.simd.operations import (
    and_int,
    load_f16,
    load_i32,
    multiply,
    shift_right,
    to_float,
)
from quant.format import FORMATS


@device
def dequantize(block, out):
    d, dmin = one_f16(block + 80, 0), one_f16(block + 82, 0)
    for group in range(16):  # of 16 weights
        scale = one_u8(block, group)
        s, m = d * np.float32(scale & 15), -dmin * np.float32(scale >> 4)
        source = block + 16 + 32 * (group // 8) + 16 * (group % 2)
        spread_bits(source, 2 * (group // 2 % 4), 2, source, 0, 0, out + 64 * group, s, m)


@device
def levels(w, part, g):
    raw = load_i32(w + 16 * 16 + 512 * (part // 4) + 64 * g)
    return bits_of(raw, 2 * (part % 4), 0x03030303, 0)


@device
def factors(w, part):
    """A byte of scales holds a scale and a minimum."""
    d, dmin = load_f16(w + 16 * 80), load_f16(w + 16 * 82)
    both = shift_right(load_i32(w + 64 * (part // 2)), 16 * (part % 2))
    first = multiply(d, to_float(and_int(both, 15)))
    second = multiply(d, to_float(and_int(shift_right(both, 8), 15)))
    minimum_1 = multiply(dmin, to_float(and_int(shift_right(both, 4), 15)))
    minimum_2 = multiply(dmin, to_float(and_int(shift_right(both, 12), 15)))
    return first, second, minimum_1, minimum_2


KERNELS = Quantized(
    FORMATS["Q2_K"],
    dequantize,
    levels,
    factors,
    offset=None,
    scales=2,
)
