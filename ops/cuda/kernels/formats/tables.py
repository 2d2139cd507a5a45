"""Weights whose four bits name a level of a table: IQ4_NL, IQ4_XS and MXFP4.

A word of levels holds eight names in their order, those of weights 8i .. 8i + 3 in its lower half.
"""

from collections.abc import Callable, Sequence

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
from ops.cuda.kernels.intrinsics.memory import load_int, load_int2, stream_int4
from ops.cuda.kernels.intrinsics.primitives import Address, Int, f32, i32, wrapped

LOWER_NAMES, UPPER_NAMES = 0x7777, 0x8888
IN_ORDER = 0x3210  # the selector of four bytes as they are

Words = tuple[int, int, int, int, int, int, int, int]
Head = tuple[int, int, int, int, int]
Scales = tuple[float, float, int, int]


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


def make_words(levels: Sequence[int]) -> Callable[[int, int, int], Words]:
    lookup = make_lookup(levels)

    def words(unit: Address, n: Int, lane: Int) -> Words:
        a, b, c, d = stream_int4(unit + n * 512 + lane * 16)
        return (
            lookup(a),
            lookup(shift_right(a, 16)),
            lookup(b),
            lookup(shift_right(b, 16)),
            lookup(c),
            lookup(shift_right(c, 16)),
            lookup(d),
            lookup(shift_right(d, 16)),
        )

    return words


def make_pair(levels: Sequence[int]) -> Callable[[int, int, int, int], tuple[int, int]]:
    lookup = make_lookup(levels)

    def pair(unit: Address, n: Int, row: Int, t: Int) -> tuple[int, int]:
        word = load_int(unit + n * 512 + row * 16 + t * 4)
        return lookup(word), lookup(shift_right(word, 16))

    return pair


def iq4_xs_head(unit: Address, row: Int) -> Head:
    """| d f16 | scales_h, 16 bits | scales_l, 32 bits |, as in the file."""
    a, b = load_int2(unit + 8 * 512 + row * 8)
    return a, b, i32(0), i32(0), i32(0)


def iq4_xs_scales(a: Int, b: Int, c: Int, d: Int, e: Int, n: Int) -> Scales:
    scale = i32(bits(b, 4 * n, 4) | bits(a, 16 + 2 * n, 2) << 4)
    return times(low_half(a), as_float(i32(scale - 32))), f32(0), i32(1), i32(1)


def mxfp4_head(unit: Address, row: Int) -> Head:
    """The exponents of four blocks."""
    return load_int(unit + 4 * 512 + row * 4), i32(0), i32(0), i32(0), i32(0)


def mxfp4_scales(a: Int, b: Int, c: Int, d: Int, e: Int, n: Int) -> Scales:
    """2^(exponent - 128), below 2^-126 without the implicit one."""
    exponent = i32(bits(a, 8 * n, 8))
    power = i32(shift_left(i32(exponent - 1), 23))
    if exponent < 2:
        power = i32(shift_left(0x200000, exponent))
    return float_of(power), f32(0), i32(1), i32(1)
