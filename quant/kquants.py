"""The K-quants: super-blocks of 256 weights, in sub-blocks with an integer scale each.

`d` and `dmin` are f16. Sub-blocks follow each other in the order of the weights.

Q2_K    84 bytes  | scales 16 | qs 64 | d 2 | dmin 2 |           16 sub-blocks of 16
Q3_K   110 bytes  | hmask 32 | qs 64 | scales 12 | d 2 |         16 sub-blocks of 16
Q4_K   144 bytes  | d 2 | dmin 2 | scales 12 | qs 128 |           8 sub-blocks of 32
Q5_K   176 bytes  | d 2 | dmin 2 | scales 12 | qh 32 | qs 128 |   8 sub-blocks of 32
Q6_K   210 bytes  | ql 128 | qh 64 | scales 16 signed | d 2 |    16 sub-blocks of 16

Q2_K, Q4_K, Q5_K   w = d scale q - dmin min
Q3_K               w = d (scale - 32) (q - 4)
Q6_K               w = d scale (q - 32)
"""

import numpy as np

from quant.bits import Blocks, Bytes, Floats, half, planes

Q2_K = np.dtype([("scales", "u1", 16), ("qs", "u1", 64), ("d", "<u2"), ("dmin", "<u2")])
Q3_K = np.dtype([("hmask", "u1", 32), ("qs", "u1", 64), ("scales", "u1", 12), ("d", "<u2")])
Q4_K = np.dtype([("d", "<u2"), ("dmin", "<u2"), ("scales", "u1", 12), ("qs", "u1", 128)])
Q5_K = np.dtype(
    [("d", "<u2"), ("dmin", "<u2"), ("scales", "u1", 12), ("qh", "u1", 32), ("qs", "u1", 128)]
)
Q6_K = np.dtype([("ql", "u1", 128), ("qh", "u1", 64), ("scales", "i1", 16), ("d", "<u2")])


def dequantize_q2_k(blocks: Blocks) -> Floats:  # (n,) -> (n, 256)
    """Each byte of `scales` is one sub-block: min in the high nibble, scale in the low one."""
    scale = half(blocks["d"]) * (blocks["scales"] & np.uint8(15)).astype(np.float32)  # (n, 16)
    lowest = half(blocks["dmin"]) * (blocks["scales"] >> np.uint8(4)).astype(np.float32)
    return _affine(_crumbs(blocks).reshape(-1, 16, 16), scale, lowest)


def dequantize_q3_k(blocks: Blocks) -> Floats:  # (n,) -> (n, 256)
    """The third bit of weight 32g + l is bit g of hmask[l]. The 16 six-bit scales:

    bytes 0-7    |j+8 : j|  low nibble of scale j in the low half, of scale j+8 in the high half
    bytes 8-11   |j+12 : j+8 : j+4 : j|  upper two bits of four scales
    """
    third = planes(blocks["hmask"], 1).reshape(-1, 256) << np.uint8(2)
    q = (_crumbs(blocks) | third).view(np.int8) - np.int8(4)
    low = planes(blocks["scales"][:, :8], 4).reshape(-1, 16)
    high = planes(blocks["scales"][:, 8:], 2).reshape(-1, 16)
    scale = (low | high << np.uint8(4)).view(np.int8) - np.int8(32)
    return _symmetric(q, half(blocks["d"]) * scale.astype(np.float32))


def dequantize_q4_k(blocks: Blocks) -> Floats:  # (n,) -> (n, 256)
    return _affine(_nibbles(blocks), *_scales_and_minima(blocks))


def dequantize_q5_k(blocks: Blocks) -> Floats:  # (n,) -> (n, 256)
    """The fifth bit of weight 32g + l is bit g of qh[l]."""
    q = _nibbles(blocks) | planes(blocks["qh"], 1) << np.uint8(4)
    return _affine(q, *_scales_and_minima(blocks))


def dequantize_q6_k(blocks: Blocks) -> Floats:  # (n,) -> (n, 256)
    """Each half of 128 weights: 64 bytes of low nibbles, 32 bytes with the upper two bits."""
    low = planes(blocks["ql"].reshape(-1, 2, 64), 4).reshape(-1, 256)
    high = planes(blocks["qh"].reshape(-1, 2, 32), 2).reshape(-1, 256)
    q = (low | high << np.uint8(4)).view(np.int8) - np.int8(32)
    return _symmetric(q, half(blocks["d"]) * blocks["scales"].astype(np.float32))


def _crumbs(blocks: Blocks) -> Bytes:  # (n,) -> (n, 256)
    """Two-bit levels: 32 bytes hold 128 weights, the first 32 in their lowest bits."""
    return planes(blocks["qs"].reshape(-1, 2, 32), 2).reshape(-1, 256)


def _nibbles(blocks: Blocks) -> Bytes:  # (n,) -> (n, 8, 32)
    """Four-bit levels: 32 bytes hold two sub-blocks, the first in their low nibbles."""
    return planes(blocks["qs"].reshape(-1, 4, 32), 4).reshape(-1, 8, 32)


def _scales_and_minima(blocks: Blocks) -> tuple[Floats, Floats]:  # (n,) -> (n, 8), (n, 8)
    """The scale (times d) and the minimum (times dmin) of each sub-block, stored in 6 bits each.

    bytes 0-3    |scale j+4, bits 5-4 : scale j|
    bytes 4-7    |min j+4,   bits 5-4 : min j  |
    bytes 8-11   |min j+4, bits 3-0 : scale j+4, bits 3-0|
    """
    scale, lowest, rest = np.split(blocks["scales"], 3, axis=1)  # each (n, 4)
    scales = np.hstack([scale & np.uint8(63), rest & np.uint8(15) | (scale >> 2) & np.uint8(48)])
    minima = np.hstack([lowest & np.uint8(63), rest >> 4 | (lowest >> 2) & np.uint8(48)])
    return (
        half(blocks["d"]) * scales.astype(np.float32),
        half(blocks["dmin"]) * minima.astype(np.float32),
    )


def _symmetric(q: Blocks, scale: Floats) -> Floats:  # (n, 256), (n, 16) -> (n, 256)
    weights = scale[:, :, None] * q.astype(np.float32).reshape(-1, 16, 16)
    return weights.reshape(-1, 256)


def _affine(q: Bytes, scale: Floats, lowest: Floats) -> Floats:  # (n, s, w), 2 (n, s) -> (n, 256)
    weights = scale[:, :, None] * q.astype(np.float32)
    weights -= lowest[:, :, None]
    return weights.reshape(-1, 256)
