"""Levels that nibbles choose from a table: of IQ4_NL and IQ4_XS, and what MXFP4 shares."""

import numpy as np

from ops.cpu.kernels.formats.arithmetic import bits_of, offset_sums
from ops.cpu.kernels.simd.compiler import device, inlined
from ops.cpu.kernels.simd.dots import dot, lookup
from ops.cpu.kernels.simd.memory import load_u8 as one_u8
from ops.cpu.kernels.simd.memory import store_f32
from ops.cpu.kernels.simd.operations import (
    broadcast_i32,
    high_nibbles,
    load_bytes,
    load_i32,
    low_nibbles,
)
from ops.cpu.layout import MINUS_SUM
from quant.iquants import LEVELS


def spread_by(levels, count=16):
    """spread(source, out, d): weights d · levels[nibble] of `count` bytes, low nibbles first."""
    table = np.array(levels, np.float32)

    @device
    def spread(source, out, d):
        for i in range(count):
            byte = one_u8(source, i)
            store_f32(out, i, d * table[byte & 15])
            store_f32(out, i + count, d * table[byte >> 4])

    return spread


spread_iq4 = spread_by(LEVELS)
iq4_levels = lookup([level + 128 for level in LEVELS])  # moved up to be unsigned


@device
def table_levels(w, g):
    """Columns 4g .. 4g + 3 as bytes; w is where the 16 bytes begin."""
    return iq4_levels(bits_of(load_i32(w + 64 * (g % 4)), g // 4 * 4, 0x0F0F0F0F, 0))


@inlined
def table_sums(w, x, offset):
    """The sums of products of 16 bytes a row."""
    sums = offset_sums(w, x, offset + MINUS_SUM, 7)
    for g in range(4):
        packed = load_bytes(w + 64 * g)
        sums = dot(sums, iq4_levels(low_nibbles(packed)), broadcast_i32(x, offset + 4 * g))
        sums = dot(sums, iq4_levels(high_nibbles(packed)), broadcast_i32(x, offset + 16 + 4 * g))
    return sums
