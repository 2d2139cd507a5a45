"""Microscaling floats: MXFP4, 32 four-bit floats (E2M1) that share a power-of-two scale (E8M0).

MXFP4   17 bytes   | e 1 | qs 16 |      w = 2**(e - 128) T[q]

T holds twice the E2M1 values, hence 128 and not 127. 16 bytes of `qs` are 32 weights, the first
half in the low nibbles; the highest bit of a nibble is the sign. Exponents 0 and 1 give subnormal
scales. (OCP Microscaling Formats Specification 1.0, sections 5.3.3 and 5.4.1)
"""

import numpy as np

from quant.bits import Blocks, Floats, pack_nibbles, planes

MXFP4 = np.dtype([("e", "u1"), ("qs", "u1", 16)])

LEVELS = (0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12)
"""T: twice the E2M1 value of each nibble; minus zero is read as zero."""

MIDPOINTS = (0.5, 1.5, 2.5, 3.5, 5, 7, 10)
"""Rounding thresholds between adjacent magnitudes."""


def dequantize_mxfp4(blocks: Blocks) -> Floats:  # (n,) -> (n, 32)
    exponent = blocks["e"].astype(np.int32).reshape(-1, 1) - 128
    q = planes(blocks["qs"], 4).reshape(-1, 32)
    return np.ldexp(np.float32(1), exponent) * np.take(np.array(LEVELS, np.float32), q)


def quantize_mxfp4(x: Floats) -> Blocks:  # (n, 32) -> (n,)
    """Scales the largest weight to between 8 and 16; ties round to the smaller magnitude."""
    blocks = np.empty(len(x), MXFP4)
    largest = np.abs(x).max(axis=1, keepdims=True)
    log2 = np.log2(largest, out=np.full_like(largest, -125), where=largest > 0)
    exponent = np.maximum(np.floor(log2) + 125, 0).astype(np.int32)
    magnitude = np.ldexp(np.abs(x), 128 - exponent)
    level = np.searchsorted(np.array(MIDPOINTS, np.float32), magnitude).astype(np.uint8)
    sign = ((x < 0) & (level > 0)).astype(np.uint8) << np.uint8(3)
    blocks["e"], blocks["qs"] = exponent.reshape(-1), pack_nibbles(level | sign)
    return blocks
