"""Quantized weights on the card: panels of 32 rows, and how kernels unpack them.

A panel is a row of units, a unit holds `blocks` blocks of 32 weights of each of the panel's rows:
first all levels, then the scales (the head). A lane reads its row, so a warp that reads a block
reads whole cache lines. Panels take as many bytes as the file.

levels of a block  | lane 0: 16 bytes | lane 1 | ... | lane 31 |    (Q8_0: twice, 16 weights each)
    Byte b of word i holds weight 8i + b in its lower half and weight 8i + 4 + b in its upper one:
    one mask, or a shift and a mask, gives four signed or unsigned bytes in their order, and the
    pair of words that a lane of a matrix fragment wants comes from one word. (Q6_K, whose halves
    are summed apart: weight 4i + b and weight 16 + 4i + b.)
Q5_K behind them   a word a lane and block: bit i of byte b belongs to weight 4i + b
Q6_K behind them   two words: the bits 2i, 2i + 1 of byte b of word w belong to weight 16w + 4i + b
head               Q4_0, Q8_0, IQ4_NL: | lane 0: 4 scales f16 | lane 1 | ...
                   MXFP4: | lane 0: 4 exponents of 8 bits | ... IQ4_XS: | lane 0: 8 bytes | ...
                   Q4_K, Q5_K: | lane 0: d f16, dmin f16, 12 bytes of scales as in the file | ...
                   Q6_K:       | lane 0: 16 scales i8 | ... | lane 31 |, | lane 0: d f16 | ...

Levels of Q4_0 and Q6_K are two's complements, so they lie in the upper bits of a byte times 16
or 4, which their scale takes back.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ops.cuda.kernels.formats import tables
from ops.cuda.kernels.formats.tables import Scales
from ops.cuda.kernels.intrinsics.arithmetic import (
    as_float,
    bits,
    high_half,
    low_half,
    shift_left,
    shift_right,
    signed_bits,
    times,
)
from ops.cuda.kernels.intrinsics.memory import (
    load_int,
    load_int2,
    load_int4,
    load_short,
    stream_int4,
)
from ops.cuda.kernels.intrinsics.primitives import Address, Float, Int, f32, i32
from quant import iquants, microscaling

PANEL_ROWS = 32
BLOCK = 32

Words = tuple[int, int, int, int, int, int, int, int]  # four levels each, in their order
Pair = tuple[int, int]  # words 2t and 2t + 1, of halves: t and 4 + t
Head = Any
"""A row's scales of a unit as they are packed, in registers."""

UPPER, LOWER = -0x0F0F0F10, 0x0F0F0F0F


@dataclass(frozen=True, slots=True)
class Panels:
    """A format: the size of its units, and device functions that unpack them.

    words(unit, n, lane), pair(unit, n, row, t), head(unit, row), scales(head, n) where `unit` is
    an address and n a block of it. `indexed`: levels are indices into a table (see
    tables.py). `minimum`: weights are factor · level - minimum. `halves`: the
    two halves of a block have scales of their own.
    """

    blocks: int
    unit_bytes: int
    words: Callable[[int, int, int], Words]
    pair: Callable[[int, int, int, int], Pair]
    head: Callable[[int, int], Head]
    scales: Callable[[Head, int], Scales]
    minimum: bool = False
    halves: bool = False
    indexed: bool = False


# --- formats of four bits a level, and bits that are added to them


def make_levels(
    low: Callable[[int], int], high: Callable[[int], int]
) -> tuple[Callable[..., Words], Callable[..., Pair]]:
    """Makes `words` and `pair`, where `low` and `high` unpack four levels of a word each."""

    def words(unit: Address, n: Int, lane: Int) -> Words:
        a, b, c, d = stream_int4(unit + n * 512 + lane * 16)
        return low(a), high(a), low(b), high(b), low(c), high(c), low(d), high(d)

    def pair(unit: Address, n: Int, row: Int, t: Int) -> Pair:
        word = load_int(unit + n * 512 + row * 16 + t * 4)
        return low(word), high(word)

    return words, pair


def make_add_bits(
    add: Callable[[int, int, int], int], step: int, second_start: int
) -> Callable[[Words, int, int], Words]:
    """Adds upper bits to eight words: those of words 0 to 3 are in `first`, `step` bits apart."""
    places = tuple(range(0, 4 * step, step))
    p0, p1, p2, p3 = places
    s0, s1, s2, s3 = (second_start + place for place in places)

    def add_bits(words: Words, first: Int, second: Int) -> Words:
        a, b, c, d, e, f, g, h = words
        a, b, c, d = add(a, first, p0), add(b, first, p1), add(c, first, p2), add(d, first, p3)
        e, f, g, h = add(e, second, s0), add(f, second, s1), add(g, second, s2), add(h, second, s3)
        return a, b, c, d, e, f, g, h

    return add_bits


# --- 4 signed bits: Q4_0


def upper(word: Int) -> Int:
    """The upper halves of four bytes, in place: signed, times 16."""
    return i32(word & UPPER)


def lower(word: Int) -> Int:
    """The lower halves, moved to the upper."""
    return i32(shift_left(word, 4) & UPPER)


q4_0_words, q4_0_pair = make_levels(lower, upper)


def q4_0_head(unit: Address, row: Int) -> Head:
    return load_int2(unit + 4 * 512 + row * 8)


def half_of_four(head: Head, n: Int) -> Float:
    word = head[0] if n < 2 else head[1]
    return low_half(word) if n % 2 == 0 else high_half(word)


def q4_0_scales(head: Head, n: Int) -> Scales:
    return Scales(times(half_of_four(head, n), f32(0.0625)), f32(0), i32(1), i32(1))


# --- 8 bits: Q8_0


def q8_0_words(unit: Address, n: Int, lane: Int) -> Words:
    a, b, c, d = stream_int4(unit + n * 1024 + lane * 16)
    e, f, g, h = stream_int4(unit + n * 1024 + 512 + lane * 16)
    return a, b, c, d, e, f, g, h


def q8_0_pair(unit: Address, n: Int, row: Int, t: Int) -> Pair:
    first, second = load_int2(unit + n * 1024 + (t // 2) * 512 + row * 16 + (t % 2) * 8)
    return first, second


def q8_0_head(unit: Address, row: Int) -> Head:
    return load_int2(unit + 4 * 1024 + row * 8)


def q8_0_scales(head: Head, n: Int) -> Scales:
    return Scales(half_of_four(head, n), f32(0), i32(1), i32(1))


# --- 4 and 5 unsigned bits, scales and minima of 6 bits: Q4_K, Q5_K


def low_nibbles(word: Int) -> Int:
    return i32(word & LOWER)


def high_nibbles(word: Int) -> Int:
    return i32(shift_right(word, 4) & LOWER)


q4_k_words, q4_k_pair = make_levels(low_nibbles, high_nibbles)


def q4_k_head(unit: Address, row: Int) -> Head:
    return load_int4(unit + 8 * 512 + row * 16)


def q4_k_scales(head: Head, n: Int) -> Scales:
    """The file's packing: six bits each of the first four blocks, what is left over of the rest."""
    a, b, c, d = head
    scale, minimum = i32(0), i32(0)
    if n < 4:
        scale, minimum = i32(bits(b, 8 * n, 6)), i32(bits(c, 8 * n, 6))
    else:
        place = 8 * (n - 4)
        scale = i32(bits(d, place, 4) | bits(b, place + 6, 2) << 4)
        minimum = i32(bits(d, place + 4, 4) | bits(c, place + 6, 2) << 4)
    factor, offset = times(low_half(a), as_float(scale)), times(high_half(a), as_float(minimum))
    return Scales(factor, offset, i32(1), i32(1))


def fifth_bits(word: Int, high: Int, place: Int) -> Int:
    return i32(word | (shift_right(high, place) & 0x01010101) << 4)


add_fifth_bits = make_add_bits(fifth_bits, step=1, second_start=4)


def q5_k_words(unit: Address, n: Int, lane: Int) -> Words:
    high = load_int(unit + 8 * 512 + n * 128 + lane * 4)
    return add_fifth_bits(q4_k_words(unit, n, lane), high, high)


def q5_k_pair(unit: Address, n: Int, row: Int, t: Int) -> Pair:
    first, second = q4_k_pair(unit, n, row, t)
    high = load_int(unit + 8 * 512 + n * 128 + row * 4)
    return fifth_bits(first, high, 2 * t), fifth_bits(second, high, 2 * t + 1)


def q5_k_head(unit: Address, row: Int) -> Head:
    return load_int4(unit + 8 * 512 + 8 * 128 + row * 16)


# --- 6 signed bits, 16 weights with a scale: Q6_K


def six_bits(nibbles: Int, high: Int, place: Int) -> Int:
    """Four signed levels of six bits, times 4."""
    return i32(shift_left(nibbles, 2) | shift_left(shift_right(high, place) & 0x03030303, 6))


add_upper_bits = make_add_bits(six_bits, step=2, second_start=0)


def q6_k_words(unit: Address, n: Int, lane: Int) -> Words:
    a, e, b, f, c, g, d, h = q4_k_words(unit, n, lane)
    first, second = load_int2(unit + 8 * 512 + n * 256 + lane * 8)
    return add_upper_bits((a, b, c, d, e, f, g, h), first, second)


def q6_k_pair(unit: Address, n: Int, row: Int, t: Int) -> Pair:
    first, second = q4_k_pair(unit, n, row, t)
    high, higher = load_int2(unit + 8 * 512 + n * 256 + row * 8)
    return six_bits(first, high, 2 * t), six_bits(second, higher, 2 * t)


def q6_k_head(unit: Address, row: Int) -> Head:
    a, b, c, d = load_int4(unit + 8 * 512 + 8 * 256 + row * 16)
    return a, b, c, d, load_short(unit + 8 * 512 + 8 * 256 + 512 + row * 2)


def q6_k_scales(head: Head, n: Int) -> Scales:
    a, b, c, d, e = head
    word = a if n < 2 else b if n < 4 else c if n < 6 else d
    place = 16 * (n % 2)
    low, high = signed_bits(word, place, 8), signed_bits(word, place + 8, 8)
    return Scales(times(low_half(e), f32(0.25)), f32(0), low, high)


iq4_words, iq4_pair = make_levels(*tables.make_lookups(iquants.LEVELS))
mxfp4_words, mxfp4_pair = make_levels(*tables.make_lookups(microscaling.LEVELS))

PANELS = {
    "Q4_0": Panels(4, 32 * 4 * 18, q4_0_words, q4_0_pair, q4_0_head, q4_0_scales),
    "Q8_0": Panels(4, 32 * 4 * 34, q8_0_words, q8_0_pair, q8_0_head, q8_0_scales),
    "Q4_K": Panels(8, 32 * 144, q4_k_words, q4_k_pair, q4_k_head, q4_k_scales, minimum=True),
    "Q5_K": Panels(8, 32 * 176, q5_k_words, q5_k_pair, q5_k_head, q4_k_scales, minimum=True),
    "Q6_K": Panels(8, 32 * 210, q6_k_words, q6_k_pair, q6_k_head, q6_k_scales, halves=True),
    "IQ4_NL": Panels(4, 32 * 4 * 18, iq4_words, iq4_pair, q4_0_head, q8_0_scales, indexed=True),
    "IQ4_XS": Panels(
        *(8, 32 * 136, iq4_words, iq4_pair, tables.iq4_xs_head, tables.iq4_xs_scales), indexed=True
    ),
    "MXFP4": Panels(
        *(4, 32 * 4 * 17, mxfp4_words, mxfp4_pair, tables.mxfp4_head, tables.mxfp4_scales),
        indexed=True,
    ),
}
