"""Microscaling floats: four-bit floats (E2M1) that share a scale.

MXFP4   17 bytes   | e 1 | qs 16 |         32 weights, w = 2**(e - 128) T[q]
NVFP4   36 bytes   | scales 4 | qs 32 |    64 weights in 4 sub-blocks of 16, w = U(scale) / 2 · T[q]

T holds twice the E2M1 values, hence 128 and not 127. 16 bytes of `qs` in MXFP4 are 32 weights, 8 in
NVFP4 are 16, the first half in the low nibbles; the highest bit of a nibble is the sign. Exponents
0 and 1 of MXFP4 give subnormal scales. (OCP Microscaling Formats Specification 1.0, sections 5.3.3
and 5.4.1)

U is E4M3 without its sign, which is ignored; 127, elsewhere no number, is 0.
"""

import numpy as np

from quant.bits import Blocks, Bytes, Floats, pack_nibbles, planes

MXFP4 = np.dtype([("e", "u1"), ("qs", "u1", 16)])
NVFP4 = np.dtype([("scales", "u1", 4), ("qs", "u1", 32)])

LEVELS = (0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12)
"""T: twice the E2M1 value of each nibble; minus zero is read as zero."""

MIDPOINTS = (0.5, 1.5, 2.5, 3.5, 5, 7, 10)
"""Rounding thresholds between adjacent magnitudes."""


def dequantize_mxfp4(blocks: Blocks) -> Floats:  # (n,) -> (n, 32)
    exponent = blocks["e"].astype(np.int32).reshape(-1, 1) - 128
    q = planes(blocks["qs"], 4).reshape(-1, 32)
    return np.ldexp(np.float32(1), exponent) * np.take(np.array(LEVELS, np.float32), q)


def dequantize_nvfp4(blocks: Blocks) -> Floats:  # (n,) -> (n, 64)
    q = planes(blocks["qs"].reshape(-1, 4, 8), 4).reshape(-1, 4, 16)
    scale = np.float32(0.5) * _from_e4m3(blocks["scales"])
    return (scale[:, :, None] * np.take(np.array(LEVELS, np.float32), q)).reshape(-1, 64)


def _from_e4m3(bits: Bytes) -> Floats:
    """An f16 with these seven bits has the same meaning but for a factor of 2^8."""
    value = np.float32(256) * (bits.astype(np.uint16) << np.uint16(9) >> np.uint16(2)).view(
        np.float16
    ).astype(np.float32)
    return np.where(bits == 127, np.float32(0), value)


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
