"""One block of each quantized format to float32: the compiled twins of quant's dequantize.

`name(block, out)` reads the block at an address and writes its weights from the address `out` on.
The layouts are drawn in quant/.
"""

import numpy as np

from ops.cpu.kernels.simd.compiler import device
from ops.cpu.kernels.simd.memory import (
    bits_to_f32,
    load_f16,
    load_i8,
    load_u8,
    load_u16,
    load_u32,
    spread_bits,
    spread_fifths,
    spread_high,
    spread_i8,
    spread_low,
    store_f32,
)
from quant.iquants import LEVELS as IQ4_LEVELS
from quant.microscaling import LEVELS as MXFP4_LEVELS


@device
def q8_0(block, out):
    d, none = load_f16(block, 0), np.float32(0)
    spread_i8(block + 2, out, d, none)
    spread_i8(block + 18, out + 64, d, none)


@device
def q4_0(block, out):
    d = load_f16(block, 0)
    spread_low(block + 2, out, d, np.float32(-8) * d)
    spread_high(block + 2, out + 64, d, np.float32(-8) * d)


@device
def q4_1(block, out):
    d, m = load_f16(block, 0), load_f16(block, 1)
    spread_low(block + 4, out, d, m)
    spread_high(block + 4, out + 64, d, m)


@device
def q5_0(block, out):
    d, fifths = load_f16(block, 0), load_u32(block + 2, 0)
    spread_fifths(block + 6, 0, fifths, out, d, np.float32(-16) * d)
    spread_fifths(block + 6, 4, fifths >> 16, out + 64, d, np.float32(-16) * d)


@device
def q5_1(block, out):
    d, m, fifths = load_f16(block, 0), load_f16(block, 1), load_u32(block + 4, 0)
    spread_fifths(block + 8, 0, fifths, out, d, m)
    spread_fifths(block + 8, 4, fifths >> 16, out + 64, d, m)


@device
def q2_k(block, out):
    d, dmin = load_f16(block + 80, 0), load_f16(block + 82, 0)
    for group in range(16):  # of 16 weights
        scale = load_u8(block, group)
        s, m = d * np.float32(scale & 15), -dmin * np.float32(scale >> 4)
        source = block + 16 + 32 * (group // 8) + 16 * (group % 2)
        spread_bits(source, 2 * (group // 2 % 4), 2, source, 0, 0, out + 64 * group, s, m)


@device
def q3_k(block, out):
    d = load_f16(block + 108, 0)
    for group in range(16):
        low = load_u8(block + 96, group % 8) >> (4 * (group // 8)) & 15
        high = load_u8(block + 104, group % 4) >> (2 * (group // 4)) & 3
        s = d * np.float32((low | high << 4) - 32)
        source = block + 32 + 32 * (group // 8) + 16 * (group % 2)
        mask, shift = block + 16 * (group % 2), 2 * (group // 2 % 4)
        spread_bits(source, shift, 2, mask, group // 2, 1, out + 64 * group, s, np.float32(-4) * s)


@device
def scale_of_group(scales, group):
    """Q4_K and Q5_K: the six-bit scale of a group of 32."""
    if group < 4:
        return np.float32(load_u8(scales, group) & 63)
    low, high = load_u8(scales, group + 4) & 15, load_u8(scales, group - 4) >> 6
    return np.float32(low | high << 4)


@device
def minimum_of_group(scales, group):
    if group < 4:
        return np.float32(load_u8(scales, group + 4) & 63)
    low, high = load_u8(scales, group + 4) >> 4, load_u8(scales, group) >> 6
    return np.float32(low | high << 4)


@device
def q4_k(block, out):
    d, dmin, scales = load_f16(block, 0), load_f16(block, 1), block + 4
    for group in range(8):  # of 32 weights; two share their bytes
        s, m = d * scale_of_group(scales, group), -dmin * minimum_of_group(scales, group)
        source, target = block + 16 + 32 * (group // 2), out + 128 * group
        for half in range(2):
            if group % 2 == 0:
                spread_low(source + 16 * half, target + 64 * half, s, m)
            else:
                spread_high(source + 16 * half, target + 64 * half, s, m)


@device
def q5_k(block, out):
    d, dmin, scales = load_f16(block, 0), load_f16(block, 1), block + 4
    for group in range(8):
        s, m = d * scale_of_group(scales, group), -dmin * minimum_of_group(scales, group)
        for half in range(2):
            source, high = block + 48 + 32 * (group // 2) + 16 * half, block + 16 + 16 * half
            target = out + 128 * group + 64 * half
            spread_bits(source, 4 * (group % 2), 4, high, group, 1, target, s, m)


@device
def q6_k(block, out):
    d = load_f16(block + 208, 0)
    for group in range(16):  # of 16 weights, in eight parts of 32
        half, k, odd = group // 8, group // 2 % 4, group % 2
        s = d * np.float32(load_i8(block + 192, group))
        low = block + 64 * half + 32 * (k % 2) + 16 * odd
        high, target = block + 128 + 32 * half + 16 * odd, out + 64 * group
        spread_bits(low, 4 * (k // 2), 4, high, 2 * k, 3, target, s, np.float32(-32) * s)


def _spread_levels(table):
    """32 weights d · table[nibble]: 16 of the bytes' low nibbles, then 16 of the high ones."""

    @device
    def spread(source, out, d):
        for i in range(16):
            byte = load_u8(source, i)
            store_f32(out, i, d * table[byte & 15])
            store_f32(out, i + 16, d * table[byte >> 4])

    return spread


spread_iq4 = _spread_levels(np.array(IQ4_LEVELS, np.float32))
spread_mxfp4 = _spread_levels(np.array(MXFP4_LEVELS, np.float32))


@device
def iq4_nl(block, out):
    spread_iq4(block + 2, out, load_f16(block, 0))


@device
def iq4_xs(block, out):
    d, high = load_f16(block, 0), load_u16(block + 2, 0)
    for group in range(8):
        low = load_u8(block + 4, group // 2) >> (4 * (group % 2)) & 15
        s = d * np.float32((low | (high >> (2 * group) & 3) << 4) - 32)
        spread_iq4(block + 8 + 16 * group, out + 128 * group, s)


@device
def mxfp4(block, out):
    e = load_u8(block, 0)
    # 2^(e - 128); below the normal numbers the exponent field holds one bit of the mantissa
    d = bits_to_f32(e - 1 << 23) if e > 1 else bits_to_f32(0x200000 << e)
    spread_mxfp4(block + 1, out, d)
