"""One and two bits a weight with one f16 scale: Q1_0 and Q2_0.

Q1_0   18 bytes   | d 2 | qs 16 |    128 weights, w = d (2 q - 1), weight j is bit j
Q2_0   18 bytes   | d 2 | qs 16 |     64 weights, w = d (q - 1), four in a byte, lowest bits first
"""

import numpy as np

from quant.bits import Blocks, Floats, half, planes

Q1_0 = np.dtype([("d", "<u2"), ("qs", "u1", 16)])
Q2_0 = np.dtype([("d", "<u2"), ("qs", "u1", 16)])


def dequantize_q1_0(blocks: Blocks) -> Floats:  # (n,) -> (n, 128)
    return half(blocks["d"]) * _in_order(blocks, 1, 2)


def dequantize_q2_0(blocks: Blocks) -> Floats:  # (n,) -> (n, 64)
    return half(blocks["d"]) * _in_order(blocks, 2, 1)


def _in_order(blocks: Blocks, width: int, step: int) -> Floats:
    """step · q - 1, for the `width`-bit fields of every byte in turn."""
    q = planes(blocks["qs"], width).swapaxes(1, 2).reshape(len(blocks), -1)
    return (np.int8(step) * q.view(np.int8) - np.int8(1)).astype(np.float32)
