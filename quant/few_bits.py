"""Formats of at most two bits a weight with one f16 scale: Q1_0, Q2_0, TQ1_0, TQ2_0.

Q1_0    18 bytes   | d 2 | qs 16 |    128 weights, w = d (2 q - 1), weight j is bit j
Q2_0    18 bytes   | d 2 | qs 16 |     64 weights, w = d (q - 1), four in a byte, lowest bits first
TQ1_0   54 bytes   | qs 48 | qh 4 | d 2 |    256 weights, w = d (t - 1), five trits per byte
                                             (four in qh)
TQ2_0   66 bytes   | qs 64 | d 2 |           256 weights, w = d (t - 1), two bits each

A byte of TQ1_0 is the fraction 0.t0 t1 t2 t3 t4 in base three, scaled to 256 and rounded up: times
three, the carry out of the byte is the next trit. First come the 32 first trits of qs[0..31], then
their 32 second trits and so on, then the same for qs[32..47], then for qh.
"""

import numpy as np

from quant.bits import Blocks, Bytes, Floats, half, planes

Q1_0 = np.dtype([("d", "<u2"), ("qs", "u1", 16)])
Q2_0 = np.dtype([("d", "<u2"), ("qs", "u1", 16)])
TQ1_0 = np.dtype([("qs", "u1", 48), ("qh", "u1", 4), ("d", "<u2")])
TQ2_0 = np.dtype([("qs", "u1", 64), ("d", "<u2")])


def dequantize_q1_0(blocks: Blocks) -> Floats:  # (n,) -> (n, 128)
    return half(blocks["d"]) * _in_order(blocks, 1, 2)


def dequantize_q2_0(blocks: Blocks) -> Floats:  # (n,) -> (n, 64)
    return half(blocks["d"]) * _in_order(blocks, 2, 1)


def dequantize_tq1_0(blocks: Blocks) -> Floats:  # (n,) -> (n, 256)
    qs, qh = blocks["qs"], blocks["qh"]
    trits = np.hstack([_trits(qs[:, :32], 5), _trits(qs[:, 32:], 5), _trits(qh, 4)])
    return half(blocks["d"]) * (trits.view(np.int8) - np.int8(1)).astype(np.float32)


def dequantize_tq2_0(blocks: Blocks) -> Floats:  # (n,) -> (n, 256)
    """Each half: 32 bytes hold 128 weights, the first 32 in their lowest bits."""
    trits = planes(blocks["qs"].reshape(-1, 2, 32), 2).reshape(-1, 256)
    return half(blocks["d"]) * (trits.view(np.int8) - np.int8(1)).astype(np.float32)


def _in_order(blocks: Blocks, width: int, step: int) -> Floats:
    """step · q - 1, for the `width`-bit fields of every byte in turn."""
    q = planes(blocks["qs"], width).swapaxes(1, 2).reshape(len(blocks), -1)
    return (np.int8(step) * q.view(np.int8) - np.int8(1)).astype(np.float32)


def _trits(packed: Bytes, count: int) -> Bytes:  # (n, w) -> (n, count * w)
    powers = np.uint8(3) ** np.arange(count, dtype=np.uint8)
    fraction = packed[:, None, :] * powers[:, None]  # drops the trits already read
    carry = fraction.astype(np.uint16) * np.uint16(3) >> np.uint16(8)
    return carry.astype(np.uint8).reshape(len(packed), -1)
