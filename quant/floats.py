"""Unquantized formats: a block is one weight.

F32    IEEE 754 single
F16    IEEE 754 half: 1 sign, 5 exponent, 10 fraction bits
BF16   the upper half of a single: 1 sign, 8 exponent, 7 fraction bits
"""

import numpy as np

from quant.bits import Blocks, Floats, half, half_bits

F32 = np.dtype("<f4")
F16 = np.dtype("<u2")
BF16 = np.dtype("<u2")


def dequantize_f32(blocks: Blocks) -> Floats:  # (n,) -> (n, 1)
    return blocks.astype(np.float32, copy=False).reshape(-1, 1)


def quantize_f32(x: Floats) -> Blocks:  # (n, 1) -> (n,)
    return x.astype(F32, copy=False).reshape(-1)


def dequantize_f16(blocks: Blocks) -> Floats:  # (n,) -> (n, 1)
    return half(blocks)


def quantize_f16(x: Floats) -> Blocks:  # (n, 1) -> (n,)
    return half_bits(x)


def dequantize_bf16(blocks: Blocks) -> Floats:  # (n,) -> (n, 1)
    return (blocks.astype(np.uint32) << np.uint32(16)).view(np.float32).reshape(-1, 1)


def quantize_bf16(x: Floats) -> Blocks:  # (n, 1) -> (n,)
    """Rounds to nearest, ties to even; a NaN keeps its sign and gets its quiet bit set."""
    bits = x.reshape(-1).view(np.uint32)
    upper = bits >> np.uint32(16)
    rounded = (bits + (np.uint32(0x7FFF) + (upper & np.uint32(1)))) >> np.uint32(16)
    return np.where(np.isnan(x.reshape(-1)), upper | np.uint32(0x40), rounded).astype(BF16)
