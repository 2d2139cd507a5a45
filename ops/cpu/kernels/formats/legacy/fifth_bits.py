"""Levels of five bits: four in nibbles, the fifth of all columns in one word."""

from ops.cpu.kernels.simd.compiler import device
from ops.cpu.kernels.simd.operations import (
    and_int,
    as_bytes,
    load_i32,
    multiply_int,
    or_bytes,
    shift_right,
)


@device
def spread_fifth_bits(bits):
    """Four neighbouring bits of each lane to bit 4 of its four bytes."""
    moved = multiply_int(and_int(bits, 15), 0x02040810)
    return as_bytes(and_int(moved, 0x10101010))


def fifth_bit_levels(start):
    """levels(w, part, g): bit c of the word at `start` is the fifth bit of column c."""

    @device
    def levels(w, part, g):
        fifths = spread_fifth_bits(shift_right(load_i32(w + start), 4 * g))
        raw = shift_right(load_i32(w + start + 64 + 64 * (g % 4)), g // 4 * 4)
        return or_bytes(as_bytes(and_int(raw, 0x0F0F0F0F)), fifths)

    return levels
