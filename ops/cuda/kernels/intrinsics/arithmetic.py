"""Arithmetic on a thread's registers."""

import math
import struct
from typing import Any

import numpy as np

from ops.cuda.kernels.intrinsics.primitives import (
    Float,
    Int,
    as_bytes,
    as_halves,
    intrinsic,
    wrapped,
)


def _saturated(a: float) -> int:
    """Saturating conversion to int32; NaN gives 0."""
    return 0 if a != a else int(np.rint(np.clip(float(a), -0x80000000, 0x7FFFFFFF)))


@intrinsic("dp4a.s32.s32 $0, $1, $2, $3;", "i:iii")
def dp4a(a: int, b: int, c: int) -> Any:
    """c + Σ of the products of four signed bytes."""
    return wrapped(c + sum(x * y for x, y in zip(as_bytes(a), as_bytes(b), strict=True)))


@intrinsic("bfe.s32 $0, $1, $2, $3;", "i:iii")
def signed_bits(word: int, start: int, length: int) -> Any:
    """`length` bits of a word from bit `start`, sign-extended."""
    bits = (word >> start) & ((1 << length) - 1)
    return bits - (1 << length) if bits >> (length - 1) else bits


@intrinsic("bfe.u32 $0, $1, $2, $3;", "i:iii")
def bits(word: int, start: int, length: int) -> Any:
    """`length` bits of a word from bit `start`."""
    return (word >> start) & ((1 << length) - 1)


@intrinsic("shr.u32 $0, $1, $2;", "i:ii")
def shift_right(word: int, count: int) -> Any:
    """Logical: zeros are shifted in."""
    return wrapped((word & 0xFFFFFFFF) >> count)


@intrinsic("shl.b32 $0, $1, $2;", "i:ii")
def shift_left(word: int, count: int) -> Any:
    return wrapped(word << count)


@intrinsic("prmt.b32 $0, $1, $2, $3;", "i:iii")
def permute(a: int, b: int, selector: int) -> Any:
    """Byte n of the result is byte 0-3 of a or 4-7 of b, selected by the n-th four bits."""
    pool = struct.pack("<ii", wrapped(a), wrapped(b))
    chosen = bytes(pool[(selector >> 4 * n) & 7] for n in range(4))
    return struct.unpack("<i", chosen)[0]


@intrinsic("div.u32 $0, $1, $2;", "i:ii")
def quotient(a: int, b: int) -> Any:
    """Unsigned division in 32 bits, where `//` takes 64."""
    return a // b


@intrinsic("rem.u32 $0, $1, $2;", "i:ii")
def remainder(a: int, b: int) -> Any:
    return a % b


@intrinsic("fma.rn.f32 $0, $1, $2, $3;", "f:fff")
def fma(a: float, b: float, c: float) -> Any:
    """a·b + c, rounded once."""
    return np.float32(np.float64(a) * np.float64(b) + np.float64(c))


@intrinsic("add.rn.f32 $0, $1, $2;", "f:ff")
def plus(a: float, b: float) -> Any:
    """a + b, never contracted with a product."""
    with np.errstate(all="ignore"):
        return np.float32(a) + np.float32(b)


@intrinsic("mul.rn.f32 $0, $1, $2;", "f:ff")
def times(a: float, b: float) -> Any:
    with np.errstate(all="ignore"):
        return np.float32(a) * np.float32(b)


@intrinsic("div.rn.f32 $0, $1, $2;", "f:ff")
def divided(a: float, b: float) -> Any:
    with np.errstate(all="ignore"):
        return np.float32(a) / np.float32(b)


@intrinsic("rcp.approx.ftz.f32 $0, $1;", "f:f")
def reciprocal(a: float) -> Any:
    """1 / a within one unit in the last place: one instruction, where `divided` takes many."""
    with np.errstate(all="ignore"):
        return np.float32(1) / np.float32(a)


@intrinsic("sqrt.rn.f32 $0, $1;", "f:f")
def root(a: float) -> Any:
    return np.sqrt(np.float32(a))


@intrinsic("min.f32 $0, $1, $2;", "f:ff")
def lesser(a: float, b: float) -> Any:
    return np.float32(np.fmin(a, b))


@intrinsic("max.f32 $0, $1, $2;", "f:ff")
def greater(a: float, b: float) -> Any:
    return np.float32(np.fmax(a, b))


@intrinsic("abs.f32 $0, $1;", "f:f")
def magnitude(a: float) -> Any:
    return np.float32(abs(a))


@intrinsic("cvt.rni.s32.f32 $0, $1;", "i:f")
def nearest(a: float) -> Any:
    """Rounds to the nearest int32, ties to even; saturates, NaN gives 0."""
    return _saturated(a)


@intrinsic("cvt.rn.f32.s32 $0, $1;", "f:i")
def as_float(a: int) -> Any:
    return np.float32(a)


@intrinsic("mov.b32 $0, $1;", "i:f")
def bits_of(a: float) -> Any:
    """The bits of a float."""
    return int(np.float32(a).view(np.int32))


@intrinsic("mov.b32 $0, $1;", "f:i")
def float_of(a: int) -> Any:
    """The float with these bits."""
    return np.int32(wrapped(a)).view(np.float32)


@intrinsic("ex2.approx.ftz.f32 $0, $1;", "f:f")
def power_of_two(a: float) -> Any:
    """2^a with a relative error of about 2^-22; 2^-inf is 0."""
    with np.errstate(all="ignore"):
        return np.float32(np.exp2(np.float32(a)))


@intrinsic("lg2.approx.ftz.f32 $0, $1;", "f:f")
def logarithm(a: float) -> Any:
    """To the base 2."""
    with np.errstate(all="ignore"):
        return np.float32(np.log2(np.float32(a)))


_COS_SIN = """{ .reg .f64 a, r, t; .reg .f32 s;
cvt.rn.f64.s32 a, $2; cvt.f64.f32 t, $3; mul.rn.f64 a, a, t;
mul.rn.f64 r, a, 0d3FC45F306DC9C883; cvt.rni.f64.f64 r, r;
fma.rn.f64 a, r, 0dC01921FB54442D18, a; cvt.rn.f32.f64 s, a;
cos.approx.f32 $0, s; sin.approx.f32 $1, s; }"""


@intrinsic(_COS_SIN.replace("\n", " "), "ff:if")
def cos_sin(position: int, frequency: float) -> Any:
    """The cosine and sine of position · frequency, reduced to ±π in float64."""
    angle = float(position) * float(np.float32(frequency))
    angle = np.float32(angle - np.rint(angle * (0.5 / math.pi)) * (2 * math.pi))
    return np.float32(np.cos(angle)), np.float32(np.sin(angle))


@intrinsic("{ .reg .b16 l, h; mov.b32 {l, h}, $1; cvt.f32.f16 $0, l; }", "f:i")
def low_half(word: int) -> Any:
    """The lower float16 of a word."""
    return np.float32(as_halves(word)[0])


@intrinsic("{ .reg .b16 l, h; mov.b32 {l, h}, $1; cvt.f32.f16 $0, h; }", "f:i")
def high_half(word: int) -> Any:
    return np.float32(as_halves(word)[1])


_HALVES = """{ .reg .b16 l, h; cvt.rn.f16.f32 l, $1; cvt.rn.f16.f32 h, $2;
mov.b32 $0, {l, h}; }"""


@intrinsic(_HALVES.replace("\n", " "), "i:ff")
def halves(low: float, high: float) -> Any:
    """A word of two float16."""
    with np.errstate(over="ignore"):
        pair = np.array([low, high], np.float32).astype(np.float16)
    return int(pair.view(np.int32)[0])


@intrinsic("mul.rn.f16x2 $0, $1, $2;", "i:ii")
def times_halves(a: int, b: int) -> Any:
    """Two products of float16."""
    pairs = np.array([wrapped(a), wrapped(b)], np.int32).view(np.float16).reshape(2, 2)
    with np.errstate(all="ignore"):
        return int((pairs[0] * pairs[1]).view(np.int32)[0])


@intrinsic("add.rn.f16x2 $0, $1, $2;", "i:ii")
def plus_halves(a: int, b: int) -> Any:
    """Two sums of float16."""
    pairs = np.array([wrapped(a), wrapped(b)], np.int32).view(np.float16).reshape(2, 2)
    with np.errstate(all="ignore"):
        return int((pairs[0] + pairs[1]).view(np.int32)[0])


# --- float64, for results that must agree with the host's


@intrinsic("cvt.f64.f32 $0, $1;", "d:f")
def as_double(a: float) -> Any:
    return float(np.float32(a))


@intrinsic("cvt.rn.f64.s32 $0, $1;", "d:i")
def double_of_int(a: int) -> Any:
    return float(a)


@intrinsic("cvt.rni.s32.f64 $0, $1;", "i:d")
def nearest_to_double(a: float) -> Any:
    """As `nearest`, but NaN gives the least int32."""
    return -0x80000000 if a != a else _saturated(a)


@intrinsic("{ .reg .b32 z; mov.b32 z, 0; mov.b64 $0, {z, $1}; }", "d:i")
def double_of_upper(a: int) -> Any:
    """The float64 with these upper 32 bits and zeros below."""
    return struct.unpack("<d", struct.pack("<ii", 0, wrapped(a)))[0]


@intrinsic("add.rn.f64 $0, $1, $2;", "d:dd")
def plus_double(a: float, b: float) -> Any:
    return float(a) + float(b)


@intrinsic("mul.rn.f64 $0, $1, $2;", "d:dd")
def times_double(a: float, b: float) -> Any:
    return float(a) * float(b)


@intrinsic("div.rn.f64 $0, $1, $2;", "d:dd")
def divided_double(a: float, b: float) -> Any:
    with np.errstate(all="ignore"):
        return float(np.float64(a) / np.float64(b))


@intrinsic("fma.rn.f64 $0, $1, $2, $3;", "d:ddd")
def fma_double(a: float, b: float, c: float) -> Any:
    """Rounded once on a card, twice in this meaning."""
    return float(a) * float(b) + float(c)


# --- functions of several kernels


LOG2_E = np.float32(1.4426950408889634)
MOST_HALF = np.float32(65504.0)


def exponential(a: Float) -> Float:
    """e^a."""
    return power_of_two(times(a, LOG2_E))


def safe_halves(low: Float, high: Float) -> Int:
    """A word of two float16; clamps what exceeds float16."""
    low = greater(lesser(low, MOST_HALF), -MOST_HALF)
    high = greater(lesser(high, MOST_HALF), -MOST_HALF)
    return halves(low, high)
