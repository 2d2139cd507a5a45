"""Q6_K: | nibbles 128 | upper bits 64 | scales 16 | d f16 |; a scale per 16 columns.

Levels are stored by halves of 128 columns, each in four quarters.
"""

import numpy as np

from ops.cpu.kernels.formats.arithmetic import bits_of
from ops.cpu.kernels.formats.records import Quantized
from ops.cpu.kernels.simd.compiler import device
from ops.cpu.kernels.simd.memory import load_f16 as one_f16
from ops.cpu.kernels.simd.memory import load_i8, spread_bits
from ops.cpu.kernels.simd.operations import (
    load_f16,
    load_i32,
    multiply,
    or_bytes,
    shift_left,
    shift_right,
    shift_right_signed,
    to_float,
)
from quant.format import FORMATS


@device
def dequantize(block, out):
    d = one_f16(block + 208, 0)
    for group in range(16):  # of 16 weights, in eight parts of 32
        half, k, odd = group // 8, group // 2 % 4, group % 2
        s = d * np.float32(load_i8(block + 192, group))
        low = block + 64 * half + 32 * (k % 2) + 16 * odd
        high, target = block + 128 + 32 * half + 16 * odd, out + 64 * group
        spread_bits(low, 4 * (k // 2), 4, high, 2 * k, 3, target, s, np.float32(-32) * s)


@device
def signed_byte_of(words, number):
    return shift_right_signed(shift_left(words, 24 - 8 * number), 24)


@device
def levels(w, part, g):
    n, quarter = part // 4, part % 4
    low = load_i32(w + 1024 * n + 512 * (quarter % 2) + 64 * g)
    high = load_i32(w + 16 * 128 + 512 * n + 64 * g)
    upper = bits_of(high, 2 * quarter, 0x03030303, 4)
    return or_bytes(bits_of(low, quarter // 2 * 4, 0x0F0F0F0F, 0), upper)


@device
def factors(w, part):
    d = load_f16(w + 16 * 208)
    scales = shift_right(load_i32(w + 16 * 192 + 64 * (part // 2)), 16 * (part % 2))
    first = multiply(d, to_float(signed_byte_of(scales, 0)))
    second = multiply(d, to_float(signed_byte_of(scales, 1)))
    return first, second, d, d


KERNELS = Quantized(
    FORMATS["Q6_K"],
    dequantize,
    levels,
    factors,
    offset=5,
    scales=2,
)
