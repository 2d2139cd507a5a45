"""Four-bit formats whose levels are not evenly spaced: IQ4_NL and IQ4_XS.

IQ4_NL    18 bytes   | d 2 | qs 16 |                               32 weights, w = d K[q]
IQ4_XS   136 bytes   | d 2 | scales_h 2 | scales_l 4 | qs 128 |    256 weights in 8 sub-blocks
                                                                   of 32, w = d (scale - 32) K[q]

`d` is f16; 16 bytes of `qs` are 32 weights, the first half in the low nibbles. Scale g of IQ4_XS:
low four bits in nibble g of `scales_l` (low nibble first), upper two in bits 2g of `scales_h`.
"""

from itertools import pairwise

import numpy as np

from quant.bits import Blocks, Floats, half, half_bits, pack_nibbles, planes

IQ4_NL = np.dtype([("d", "<u2"), ("qs", "u1", 16)])
IQ4_XS = np.dtype([("d", "<u2"), ("scales_h", "<u2"), ("scales_l", "u1", 4), ("qs", "u1", 128)])

LEVELS = (-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113)
"""K: denser near zero, like the distribution of trained weights."""

MIDPOINTS = tuple((low + high) / 2 for low, high in pairwise(LEVELS))
"""Rounding thresholds between adjacent levels."""


def dequantize_iq4_nl(blocks: Blocks) -> Floats:  # (n,) -> (n, 32)
    q = planes(blocks["qs"], 4).reshape(-1, 32)
    return half(blocks["d"]) * np.take(np.array(LEVELS, np.float32), q)


def quantize_iq4_nl(x: Floats) -> Blocks:  # (n, 32) -> (n,)
    """The weight of largest magnitude gets level 0; then the scale is fitted to all levels.

    Large weights count more: by their squares.
    """
    blocks = np.empty(len(x), IQ4_NL)
    largest = np.take_along_axis(x, np.abs(x).argmax(axis=1, keepdims=True), axis=1)
    first = largest / np.float32(LEVELS[0])
    inverse = np.divide(np.float32(1), first, out=np.zeros_like(first), where=first != 0)
    level = np.searchsorted(np.array(MIDPOINTS, np.float32), x * inverse, "right").astype(np.uint8)
    q = np.take(np.array(LEVELS, np.float32), level)
    products, squares = (np.sum(x * x * q * y, axis=1, keepdims=True) for y in (x, q))
    d = np.divide(products, squares, out=np.zeros_like(products), where=first != 0)
    blocks["d"], blocks["qs"] = half_bits(d), pack_nibbles(level)
    return blocks


def dequantize_iq4_xs(blocks: Blocks) -> Floats:  # (n,) -> (n, 256)
    low = planes(blocks["scales_l"], 4).swapaxes(1, 2).reshape(-1, 8)
    high = blocks["scales_h"][:, None] >> np.arange(0, 16, 2, dtype=np.uint16) & np.uint16(3)
    scale = (low | high << np.uint16(4)).astype(np.float32) - np.float32(32)
    q = planes(blocks["qs"].reshape(-1, 8, 16), 4).reshape(-1, 8, 32)
    weights = (half(blocks["d"]) * scale)[:, :, None] * np.take(np.array(LEVELS, np.float32), q)
    return weights.reshape(-1, 256)
