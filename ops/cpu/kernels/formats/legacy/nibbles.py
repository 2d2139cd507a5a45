"""32 columns in 16 bytes: columns 0-15 in low nibbles, 16-31 in high ones."""

from ops.cpu.kernels.formats.arithmetic import bits_of
from ops.cpu.kernels.simd.compiler import device, inlined
from ops.cpu.kernels.simd.dots import dot_small
from ops.cpu.kernels.simd.operations import (
    broadcast_i32,
    high_nibbles,
    load_bytes,
    load_i32,
    low_nibbles,
)


@inlined
def nibble_sums(w, x, offset, sums):
    """Adds the products of 16 bytes a row."""
    for g in range(4):
        packed = load_bytes(w + 64 * g)
        sums = dot_small(sums, low_nibbles(packed), broadcast_i32(x, offset + 4 * g))
        sums = dot_small(sums, high_nibbles(packed), broadcast_i32(x, offset + 16 + 4 * g))
    return sums


@device
def nibble_levels(w, g):
    """Columns 4g .. 4g + 3 as bytes; w is where the 16 bytes begin."""
    return bits_of(load_i32(w + 64 * (g % 4)), g // 4 * 4, 0x0F0F0F0F, 0)
