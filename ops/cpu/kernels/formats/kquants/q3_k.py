"""Q3_K: | third bits 32 | levels 64 | scales 12 | d f16 |; a scale per 16 columns."""

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
    or_bytes,
    or_int,
    shift_left,
    shift_right,
    subtract_int,
    to_float,
)
from quant.format import FORMATS


@device
def dequantize(block, out):
    d = one_f16(block + 108, 0)
    for group in range(16):
        low = one_u8(block + 96, group % 8) >> (4 * (group // 8)) & 15
        high = one_u8(block + 104, group % 4) >> (2 * (group // 4)) & 3
        s = d * np.float32((low | high << 4) - 32)
        source = block + 32 + 32 * (group // 8) + 16 * (group % 2)
        mask, shift = block + 16 * (group % 2), 2 * (group // 2 % 4)
        spread_bits(source, shift, 2, mask, group // 2, 1, out + 64 * group, s, np.float32(-4) * s)


@device
def levels(w, part, g):
    """Bit `part` of the mask is the third."""
    raw = load_i32(w + 16 * 32 + 512 * (part // 4) + 64 * g)
    third = bits_of(load_i32(w + 64 * g), part, 0x01010101, 2)
    return or_bytes(bits_of(raw, 2 * (part % 4), 0x03030303, 0), third)


@device
def factors(w, part):
    """Six-bit scales: low bits in nibbles, the upper two in crumbs of the last word."""
    d, place, pair = load_f16(w + 16 * 108), w + 16 * 96, 16 * (part % 2)
    low = shift_right(load_i32(place + 64 * (part // 2 % 2)), 4 * (part // 4) + pair)
    high = shift_right(load_i32(place + 128), 2 * (part // 2) + pair)
    scales = or_int(and_int(low, 0x0F0F), shift_left(and_int(high, 0x0303), 4))
    first = multiply(d, to_float(subtract_int(and_int(scales, 255), 32)))
    second = multiply(d, to_float(subtract_int(shift_right(scales, 8), 32)))
    return first, second, d, d


KERNELS = Quantized(
    FORMATS["Q3_K"],
    dequantize,
    levels,
    factors,
    offset=2,
    scales=2,
)
