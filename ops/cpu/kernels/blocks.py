"""One block of each quantized format to float32: the compiled twins of quant's dequantize.

`name(block, out)` reads the block at an address and writes its weights from the address `out` on.
The layouts are drawn in quant/.
"""

import numpy as np

from ops.cpu.kernels.compiler import device
from ops.cpu.kernels.memory import (
    bits_to_f32,
    high_nibble,
    load_f16,
    load_i8,
    load_u8,
    load_u16,
    load_u32,
    low_nibble,
    store_f32,
)
from quant.iquants import LEVELS as IQ4_LEVELS
from quant.microscaling import LEVELS as MXFP4_LEVELS

IQ4_TABLE = np.array(IQ4_LEVELS, np.float32)
MXFP4_TABLE = np.array(MXFP4_LEVELS, np.float32)


@device
def q8_0(block, out):
    d = load_f16(block, 0)
    for i in range(32):
        store_f32(out, i, d * np.float32(load_i8(block + 2, i)))


@device
def q4_0(block, out):
    d = load_f16(block, 0)
    for i in range(16):
        store_f32(out, i, d * (low_nibble(block + 2, i) - np.float32(8)))
        store_f32(out, i + 16, d * (high_nibble(block + 2, i) - np.float32(8)))


@device
def q4_1(block, out):
    d, m = load_f16(block, 0), load_f16(block, 1)
    for i in range(16):
        store_f32(out, i, d * low_nibble(block + 4, i) + m)
        store_f32(out, i + 16, d * high_nibble(block + 4, i) + m)


@device
def q5_0(block, out):
    d, high = load_f16(block, 0), load_u32(block + 2, 0)
    for i in range(16):
        a = low_nibble(block + 6, i) + np.float32(((high >> i) & 1) * 16 - 16)
        b = high_nibble(block + 6, i) + np.float32(((high >> (i + 16)) & 1) * 16 - 16)
        store_f32(out, i, d * a)
        store_f32(out, i + 16, d * b)


@device
def q5_1(block, out):
    d, m, high = load_f16(block, 0), load_f16(block, 1), load_u32(block + 4, 0)
    for i in range(16):
        a = low_nibble(block + 8, i) + np.float32(((high >> i) & 1) * 16)
        b = high_nibble(block + 8, i) + np.float32(((high >> (i + 16)) & 1) * 16)
        store_f32(out, i, d * a + m)
        store_f32(out, i + 16, d * b + m)


@device
def q2_k(block, out):
    d, dmin = load_f16(block + 80, 0), load_f16(block + 82, 0)
    for group in range(16):  # of 16 weights
        scale = load_u8(block, group)
        s, m = d * np.float32(scale & 15), dmin * np.float32(scale >> 4)
        source = block + 16 + 32 * (group // 8) + 16 * (group % 2)
        shift = 2 * (group // 2 % 4)
        for i in range(16):
            q = np.float32((load_u8(source, i) >> shift) & 3)
            store_f32(out, 16 * group + i, s * q - m)


@device
def q3_k(block, out):
    d = load_f16(block + 108, 0)
    for group in range(16):
        low = load_u8(block + 96, group % 8) >> (4 * (group // 8)) & 15
        high = load_u8(block + 104, group % 4) >> (2 * (group // 4)) & 3
        s = d * np.float32((low | high << 4) - 32)
        source = block + 32 + 32 * (group // 8) + 16 * (group % 2)
        mask = block + 16 * (group % 2)
        shift, bit = 2 * (group // 2 % 4), group // 2
        for i in range(16):
            q = load_u8(source, i) >> shift & 3
            missing = 4 - 4 * (load_u8(mask, i) >> bit & 1)
            store_f32(out, 16 * group + i, s * np.float32(q - missing))


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
    for pair in range(4):
        s0, m0 = d * scale_of_group(scales, 2 * pair), dmin * minimum_of_group(scales, 2 * pair)
        s1 = d * scale_of_group(scales, 2 * pair + 1)
        m1 = dmin * minimum_of_group(scales, 2 * pair + 1)
        source, target = block + 16 + 32 * pair, out + 256 * pair
        for i in range(32):
            store_f32(target, i, s0 * low_nibble(source, i) - m0)
            store_f32(target, i + 32, s1 * high_nibble(source, i) - m1)


@device
def q5_k(block, out):
    d, dmin, scales = load_f16(block, 0), load_f16(block, 1), block + 4
    for group in range(8):
        s, m = d * scale_of_group(scales, group), dmin * minimum_of_group(scales, group)
        source, shift = block + 48 + 32 * (group // 2), 4 * (group % 2)
        for i in range(32):
            q = load_u8(source, i) >> shift & 15 | (load_u8(block + 16, i) >> group & 1) << 4
            store_f32(out, 32 * group + i, s * np.float32(q) - m)


@device
def q6_k(block, out):
    d = load_f16(block + 208, 0)
    for part in range(8):  # of 32 weights
        half, k = part // 4, part % 4
        low, shift = block + 64 * half + 32 * (k % 2), 4 * (k // 2)
        high = block + 128 + 32 * half
        for i in range(32):
            s = d * np.float32(load_i8(block + 192, 8 * half + 2 * k + i // 16))
            q = (load_u8(low, i) >> shift & 15 | (load_u8(high, i) >> (2 * k) & 3) << 4) - 32
            store_f32(out, 32 * part + i, s * np.float32(q))


@device
def iq4_nl(block, out):
    d = load_f16(block, 0)
    for i in range(16):
        byte = load_u8(block + 2, i)
        store_f32(out, i, d * IQ4_TABLE[byte & 15])
        store_f32(out, i + 16, d * IQ4_TABLE[byte >> 4])


@device
def iq4_xs(block, out):
    d, high = load_f16(block, 0), load_u16(block + 2, 0)
    for group in range(8):
        low = load_u8(block + 4, group // 2) >> (4 * (group % 2)) & 15
        s = d * np.float32((low | (high >> (2 * group) & 3) << 4) - 32)
        for i in range(16):
            byte = load_u8(block + 8 + 16 * group, i)
            store_f32(out, 32 * group + i, s * IQ4_TABLE[byte & 15])
            store_f32(out, 32 * group + 16 + i, s * IQ4_TABLE[byte >> 4])


@device
def mxfp4(block, out):
    e = load_u8(block, 0)
    # 2^(e - 128); below the normal numbers the exponent field holds one bit of the mantissa
    d = bits_to_f32(e - 1 << 23) if e > 1 else bits_to_f32(0x200000 << e)
    for i in range(16):
        byte = load_u8(block + 1, i)
        store_f32(out, i, d * MXFP4_TABLE[byte & 15])
        store_f32(out, i + 16, d * MXFP4_TABLE[byte >> 4])
