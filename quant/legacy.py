"""Formats of 32 weights with one scale: Q4_0, Q4_1, Q5_0, Q5_1, Q8_0.

`d` and `m` are f16. Low nibbles are the first half of the block, high nibbles the second:

Q4_0   18 bytes   | d 2 | qs 16 |                 w = d (q - 8)
Q4_1   20 bytes   | d 2 | m 2 | qs 16 |           w = d q + m
Q5_0   22 bytes   | d 2 | qh 4 | qs 16 |          w = d (q - 16)
Q5_1   24 bytes   | d 2 | m 2 | qh 4 | qs 16 |    w = d q + m
Q8_0   34 bytes   | d 2 | qs 32 signed |          w = d q

qs      byte 0    byte 1         byte 15          qh     bit 0 is the fifth bit of weight 0,
       |16 : 0|  |17 : 1|  ...  |31 : 15|                bit 31 that of weight 31
        hi  lo    hi  lo         hi   lo
"""

import numpy as np

from quant.bits import Blocks, Bytes, Floats, half, half_bits, pack_nibbles, planes

Q4_0 = np.dtype([("d", "<u2"), ("qs", "u1", 16)])
Q4_1 = np.dtype([("d", "<u2"), ("m", "<u2"), ("qs", "u1", 16)])
Q5_0 = np.dtype([("d", "<u2"), ("qh", "<u4"), ("qs", "u1", 16)])
Q5_1 = np.dtype([("d", "<u2"), ("m", "<u2"), ("qh", "<u4"), ("qs", "u1", 16)])
Q8_0 = np.dtype([("d", "<u2"), ("qs", "i1", 32)])


def dequantize_q4_0(blocks: Blocks) -> Floats:  # (n,) -> (n, 32)
    q = _levels4(blocks).view(np.int8) - np.int8(8)
    return half(blocks["d"]) * q.astype(np.float32)


def dequantize_q4_1(blocks: Blocks) -> Floats:  # (n,) -> (n, 32)
    return half(blocks["d"]) * _levels4(blocks).astype(np.float32) + half(blocks["m"])


def dequantize_q5_0(blocks: Blocks) -> Floats:  # (n,) -> (n, 32)
    q = _levels5(blocks).view(np.int8) - np.int8(16)
    return half(blocks["d"]) * q.astype(np.float32)


def dequantize_q5_1(blocks: Blocks) -> Floats:  # (n,) -> (n, 32)
    return half(blocks["d"]) * _levels5(blocks).astype(np.float32) + half(blocks["m"])


def dequantize_q8_0(blocks: Blocks) -> Floats:  # (n,) -> (n, 32)
    return half(blocks["d"]) * blocks["qs"].astype(np.float32)


def quantize_q4_0(x: Floats) -> Blocks:  # (n, 32) -> (n,)
    blocks = np.empty(len(x), Q4_0)
    d, q = _symmetric(x, 8)
    blocks["d"], blocks["qs"] = half_bits(d), pack_nibbles(q)
    return blocks


def quantize_q4_1(x: Floats) -> Blocks:  # (n, 32) -> (n,)
    blocks = np.empty(len(x), Q4_1)
    d, m, q = _affine(x, 15)
    blocks["d"], blocks["m"], blocks["qs"] = half_bits(d), half_bits(m), pack_nibbles(q)
    return blocks


def quantize_q5_0(x: Floats) -> Blocks:  # (n, 32) -> (n,)
    blocks = np.empty(len(x), Q5_0)
    d, q = _symmetric(x, 16)
    blocks["d"], blocks["qh"], blocks["qs"] = half_bits(d), *_pack5(q)
    return blocks


def quantize_q5_1(x: Floats) -> Blocks:  # (n, 32) -> (n,)
    blocks = np.empty(len(x), Q5_1)
    d, m, q = _affine(x, 31)
    blocks["d"], blocks["m"] = half_bits(d), half_bits(m)
    blocks["qh"], blocks["qs"] = _pack5(q)
    return blocks


def quantize_q8_0(x: Floats) -> Blocks:  # (n, 32) -> (n,)
    blocks = np.empty(len(x), Q8_0)
    d = np.abs(x).max(axis=1, keepdims=True) / np.float32(127)
    scaled = x * _inverse(d)
    whole = np.trunc(scaled)
    blocks["d"] = half_bits(d)
    blocks["qs"] = whole + np.trunc(2 * (scaled - whole))  # half away from zero
    return blocks


def _levels4(blocks: Blocks) -> Bytes:  # (n,) -> (n, 32)
    return planes(blocks["qs"], 4).reshape(-1, 32)


def _levels5(blocks: Blocks) -> Bytes:  # (n,) -> (n, 32)
    fifth = np.unpackbits(np.ascontiguousarray(blocks["qh"]).view(np.uint8), bitorder="little")
    return _levels4(blocks) | fifth.reshape(-1, 32) << np.uint8(4)


def _pack5(q: Bytes) -> tuple[Blocks, Bytes]:  # (n, 32) -> (n,), (n, 16)
    qh = np.packbits(q >> np.uint8(4), axis=1, bitorder="little").view("<u4").reshape(-1)
    return qh, pack_nibbles(q & np.uint8(15))


def _symmetric(x: Floats, zero: int) -> tuple[Floats, Bytes]:  # (n, 32) -> (n, 1), (n, 32)
    """Scale and levels 0 to 2*zero-1; the weight of largest magnitude gets level 0 exactly."""
    largest = np.take_along_axis(x, np.abs(x).argmax(axis=1, keepdims=True), axis=1)
    d = largest / np.float32(-zero)
    q = np.trunc(x * _inverse(d) + np.float32(zero + 0.5))
    return d, np.minimum(q, np.float32(2 * zero - 1)).astype(np.uint8)


def _affine(x: Floats, top: int) -> tuple[Floats, Floats, Bytes]:
    """Scale, minimum and levels 0 to top: (n, 32) -> (n, 1), (n, 1), (n, 32)."""
    m = x.min(axis=1, keepdims=True)
    d = (x.max(axis=1, keepdims=True) - m) / np.float32(top)
    q = np.trunc((x - m) * _inverse(d) + np.float32(0.5))
    return d, m, np.minimum(q, np.float32(top)).astype(np.uint8)


def _inverse(d: Floats) -> Floats:
    """1/d, and 0 where the whole block is zero."""
    return np.divide(np.float32(1), d, out=np.zeros_like(d), where=d != 0)
