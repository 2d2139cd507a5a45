"""Formats whose four bits index a table of levels: IQ4_NL, IQ4_XS and MXFP4.

A word holds eight indices in order, those of weights 8i .. 8i + 3 in its lower half.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

from ops.cuda.kernels.intrinsics.arithmetic import (
    as_float,
    bits,
    float_of,
    low_half,
    permute,
    shift_left,
    shift_right,
    times,
)
from ops.cuda.kernels.intrinsics.memory import load_int, load_int2
from ops.cuda.kernels.intrinsics.primitives import Address, Float, Int, f32, i32, wrapped

LOWER_BITS, UPPER_BITS = 0x7777, 0x8888
IN_ORDER = 0x3210  # the selector of `permute` that keeps four bytes


class Scales(NamedTuple):
    """The factors of a block's integer sums."""

    factor: Float
    minimum: Float  # weights are factor · level - minimum
    low: Int  # further factors of the two halves' sums
    high: Int


def word_of(levels: Sequence[int]) -> int:
    """Four signed bytes."""
    return wrapped(sum((level & 0xFF) << 8 * n for n, level in enumerate(levels)))


def make_lookup(levels: Sequence[int]) -> Callable[[int], int]:
    """Looks up four indices of four bits in a table of sixteen signed bytes."""
    a, b, c, d = (word_of(levels[4 * n : 4 * n + 4]) for n in range(4))

    def lookup(indices: Int) -> Int:
        place = i32(indices & LOWER_BITS)
        lower, upper = permute(a, b, place), permute(c, d, place)
        return permute(lower, upper, i32(IN_ORDER | shift_right(i32(indices & UPPER_BITS), 1)))

    return lookup


def make_lookups(levels: Sequence[int]) -> tuple[Callable[[int], int], Callable[[int], int]]:
    """Lookups of a word's lower four indices, and of its upper four."""
    lookup = make_lookup(levels)

    def lookup_upper(indices: Int) -> Int:
        return lookup(shift_right(indices, 16))

    return lookup, lookup_upper


def iq4_xs_head(unit: Address, row: Int) -> tuple[Int, Int]:
    """| d f16 | scales_h, 16 bits | scales_l, 32 bits |, as in the file."""
    return load_int2(unit + 8 * 512 + row * 8)


def iq4_xs_scales(head: tuple[Int, Int], n: Int) -> Scales:
    a, b = head
    scale = i32(bits(b, 4 * n, 4) | bits(a, 16 + 2 * n, 2) << 4)
    return Scales(times(low_half(a), as_float(i32(scale - 32))), f32(0), i32(1), i32(1))


def mxfp4_head(unit: Address, row: Int) -> Int:
    """The exponents of four blocks."""
    return load_int(unit + 4 * 512 + row * 4)


def mxfp4_scales(exponents: Int, n: Int) -> Scales:
    """2^(exponent - 128); exponents below 2 give subnormal floats."""
    exponent = i32(bits(exponents, 8 * n, 8))
    power = i32(shift_left(i32(exponent - 1), 23))
    if exponent < 2:
        power = i32(shift_left(0x200000, exponent))
    return Scales(float_of(power), f32(0), i32(1), i32(1))
