"""Weights whose four bits name a level of a table: IQ4_NL, IQ4_XS and MXFP4.

A word of levels holds eight names in their order, those of weights 8i .. 8i + 3 in its lower half.
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

LOWER_NAMES, UPPER_NAMES = 0x7777, 0x8888
IN_ORDER = 0x3210  # the selector of four bytes as they are


class Scales(NamedTuple):
    """What a block's sums of products are multiplied with."""

    factor: Float
    minimum: Float  # of formats whose weights are factor · level - minimum
    low: Int  # further factors of the sums of the block's two halves
    high: Int


def word_of(levels: Sequence[int]) -> int:
    """Four signed bytes."""
    return wrapped(sum((level & 0xFF) << 8 * n for n, level in enumerate(levels)))


def make_lookup(levels: Sequence[int]) -> Callable[[int], int]:
    """Four names, four bits each, become four signed bytes of a table of sixteen."""
    a, b, c, d = (word_of(levels[4 * n : 4 * n + 4]) for n in range(4))

    def lookup(names: Int) -> Int:
        place = i32(names & LOWER_NAMES)
        lower, upper = permute(a, b, place), permute(c, d, place)
        return permute(lower, upper, i32(IN_ORDER | shift_right(i32(names & UPPER_NAMES), 1)))

    return lookup


def make_lookups(levels: Sequence[int]) -> tuple[Callable[[int], int], Callable[[int], int]]:
    """Those of a word's lower four names and of its upper four."""
    lookup = make_lookup(levels)

    def lookup_upper(names: Int) -> Int:
        return lookup(shift_right(names, 16))

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
    """2^(exponent - 128), below 2^-126 without the implicit one."""
    exponent = i32(bits(exponents, 8 * n, 8))
    power = i32(shift_left(i32(exponent - 1), 23))
    if exponent < 2:
        power = i32(shift_left(0x200000, exponent))
    return Scales(float_of(power), f32(0), i32(1), i32(1))
