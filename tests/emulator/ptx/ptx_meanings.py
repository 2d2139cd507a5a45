"""What instructions of PTX do to a vector of threads: written from the manual of the language.

It shares nothing with the words of kernels nor with their emulator, whose work it judges. What a
card may round in its own way is in ptx_rounding.py. Not modelled: that +0 is greater than -0.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy import ndarray

WARP = 32
DTYPES: dict[str, Any] = {
    "pred": np.bool_, "u8": np.uint8, "b16": np.uint16, "u16": np.uint16, "b32": np.uint32,
    "u32": np.uint32, "s32": np.int32, "b64": np.uint64, "u64": np.uint64, "s64": np.int64,
    "f32": np.float32, "f64": np.float64,
}  # fmt: skip
Function = Callable[..., Any]
KNOWN = re.compile(
    r"""(add|sub|min|max|neg|div|rem)\.[su](32|64) | (min|max|neg|abs)\.f(32|64)
    | (add|mul)\.rn\.(f32|f64|f16x2) | (div|fma)\.rn\.f(32|64) | sqrt\.rn\.f32
    | mul\.lo\.[su](32|64) | mul\.wide\.[su]32 | mad\.lo\.[su]32
    | (and|or|xor|not)\.(b32|b64|pred) | shl\.b(32|64) | shr\.[su](32|64)
    | setp\.(eq|ne|lt|le|gt|ge)\.[bsu](32|64) | selp\.[bsuf](32|64)
    | setp\.(eq|lt|le|gt|ge|equ|neu|ltu|leu|gtu|geu|nan)\.f(32|64)
    | bfe\.[su]32 | bfi\.b(32|64) | prmt\.b32 | dp4a\.s32\.s32
    | (ex2|rcp|lg2)\.approx\.ftz\.f32 | (sin|cos)\.approx\.f32
    | cvt\.(u16\.u32|u32\.u16|u32\.u64|u64\.u32|s64\.s32|f64\.f32|f32\.f16)
    | cvt\.rn\.(f32\.s32|f32\.s64|f64\.s32|f32\.f64|f16\.f32)
    | cvt\.rni\.(s32\.f32|s32\.f64|f64\.f64)
    """,
    re.VERBOSE,
)
"""Whole instructions: a modifier may change what one does."""


@dataclass(frozen=True, slots=True)
class Meaning:
    """Kinds of operands, the kind of the results, and the function between."""

    operands: tuple[str, ...]
    result: str
    function: Function


# --- numbers of one thread


def _toward_zero(a: Any, b: Any) -> Any:
    quotient = a // b
    return quotient + ((quotient * b != a) & ((a < 0) != (b < 0))).astype(a.dtype)


def _rest(a: Any, b: Any) -> Any:
    return a - _toward_zero(a, b) * b


def _shifted(left: bool) -> Function:
    def shift(a: Any, count: Any) -> Any:
        bits = a.dtype.itemsize * 8
        most = np.minimum(count, bits - 1).astype(a.dtype)
        moved = a << most if left else a >> most
        signed = a.dtype.kind == "i"
        return moved if signed else np.where(count >= bits, a.dtype.type(0), moved)

    return shift


def _field(word: Any, start: Any, length: Any) -> Any:
    """bfe: beyond the word are copies of its sign, or zeros."""
    start = np.minimum(start & np.uint32(255), 63).astype(np.int64)
    length = np.minimum(length & np.uint32(255), 63).astype(np.int64)
    moved = word.astype(np.int64) >> start
    ones = (np.int64(1) << length) - 1
    if word.dtype.kind == "u":
        return (moved & ones).astype(word.dtype)
    negative = (moved >> np.maximum(length - 1, 0) & 1).astype(bool) & (length > 0)
    return np.where(negative, moved | ~ones, moved & ones).astype(word.dtype)


def _inserted(field: Any, word: Any, start: Any, length: Any) -> Any:
    one = word.dtype.type(1)
    start, length = start & np.uint32(255), length & np.uint32(255)
    mask = ((one << length.astype(word.dtype)) - one) << start.astype(word.dtype)
    return (field << start.astype(word.dtype) & mask) | (word & ~mask)


def _permuted(a: Any, b: Any, selector: Any) -> Any:
    pool = a.astype(np.uint64) | b.astype(np.uint64) << np.uint64(32)
    made = np.zeros(len(a), np.uint32)
    for n in range(4):
        nibble = selector >> np.uint32(4 * n) & np.uint32(15)
        byte = pool >> (nibble & np.uint32(7)).astype(np.uint64) * np.uint64(8) & np.uint64(255)
        sign = np.where(byte & np.uint64(128), np.uint64(255), np.uint64(0))
        chosen = np.where(nibble & np.uint32(8), sign, byte)
        made |= chosen.astype(np.uint32) << np.uint32(8 * n)
    return made


def _dot(a: Any, b: Any, c: Any) -> Any:
    bytes_of = [one.view(np.int8).reshape(-1, 4).astype(np.int32) for one in (a, b)]
    return (bytes_of[0] * bytes_of[1]).sum(1, dtype=np.int32) + c


def _of_halves(function: Function) -> Function:
    def both(a: Any, b: Any) -> Any:
        return function(a.view(np.float16), b.view(np.float16)).view(np.uint32)

    return both


def _as_whole(a: Any) -> Any:
    """What is no number becomes 0, of a float64 the least number."""
    lost = 0.0 if a.dtype == np.float32 else -(2.0**31)
    wide = np.where(np.isnan(a), lost, a.astype(np.float64))
    return np.clip(np.rint(wide), -(2.0**31), 2.0**31 - 1).astype(np.int32)


def _unordered(compare: Function) -> Function:
    return lambda a, b: compare(a, b) | np.isnan(a) | np.isnan(b)


def _product(a: Any, b: Any) -> Any:
    return a.astype(np.int64) * b.astype(np.int64)


def _fma(a: Any, b: Any, c: Any) -> Any:
    """Through float64: rounded once more than on a card."""
    return (a.astype(np.float64) * b.astype(np.float64) + c).astype(a.dtype)


TWO: dict[str, Function] = {
    "add": np.add, "sub": np.subtract, "mul": np.multiply, "and": np.bitwise_and,
    "or": np.bitwise_or, "xor": np.bitwise_xor, "min": np.fmin, "max": np.fmax, "rem": _rest,
    "div": lambda a, b: a / b if a.dtype.kind == "f" else _toward_zero(a, b),
}  # fmt: skip
ONE: dict[str, Function] = {
    "neg": np.negative, "not": np.invert, "abs": np.abs, "sqrt": np.sqrt,
}  # fmt: skip
COMPARED: dict[str, Function] = {
    "eq": np.equal, "ne": np.not_equal, "lt": np.less, "le": np.less_equal, "gt": np.greater,
    "ge": np.greater_equal, "nan": lambda a, b: np.isnan(a) | np.isnan(b),
}  # fmt: skip


def meaning_of(opcode: str, approximate: Mapping[str, Function]) -> Meaning:
    """Of what only computes with a thread's own registers. Raises KeyError."""
    if not KNOWN.fullmatch(opcode):
        raise KeyError(f"{opcode} is not known")
    head, *rest = opcode.split(".")
    kind = rest[-1]
    if "approx" in rest:
        return Meaning((kind,), kind, approximate[head])
    if kind == "f16x2":
        return Meaning(("b32",) * 2, "b32", _of_halves(TWO[head]))
    if opcode.startswith("mul.wide"):
        return Meaning((kind,) * 2, "s64", _product)
    if head in TWO:
        return Meaning((kind,) * 2, kind, TWO[head])
    if head in ONE:
        return Meaning((kind,), kind, ONE[head])
    if head in ("fma", "mad"):
        whole = head == "mad"
        return Meaning((kind,) * 3, kind, (lambda a, b, c: a * b + c) if whole else _fma)
    if head == "setp":
        name = rest[0]
        return Meaning((kind,) * 2, "pred", COMPARED.get(name) or _unordered(COMPARED[name[:-1]]))
    if head == "selp":
        return Meaning((kind, kind, "pred"), kind, lambda a, b, p: np.where(p, a, b))
    if head in ("shl", "shr"):
        return Meaning((kind, "u32"), kind, _shifted(head == "shl"))
    if head == "cvt":
        return _converted(rest)
    return {
        "bfe": Meaning((kind, "u32", "u32"), kind, _field),
        "bfi": Meaning((kind, kind, "u32", "u32"), kind, _inserted),
        "prmt": Meaning(("b32",) * 3, "b32", _permuted),
        "dp4a": Meaning(("b32", "b32", "s32"), "s32", _dot),
    }[head]


def _converted(parts: list[str]) -> Meaning:
    *how, to, kind = parts
    if to == "f16":
        halved = lambda a: a.astype(np.float16).view(np.uint16)  # noqa: E731
        return Meaning((kind,), "b16", halved)
    if kind == "f16":
        return Meaning(("b16",), to, lambda a: a.view(np.float16).astype(DTYPES[to]))
    if how == ["rni"]:
        return Meaning((kind,), to, _as_whole if to == "s32" else np.rint)
    return Meaning((kind,), to, lambda a: a.astype(DTYPES[to]))


# --- what a warp does together: vectors of whole warps


def shuffled(mode: str, a: ndarray, b: ndarray) -> ndarray:
    place = np.arange(len(a), dtype=np.uint32)
    lane = place & np.uint32(31)
    source = (lane ^ b if mode == "bfly" else b) & np.uint32(31)
    return a[place - lane + source]


@dataclass(frozen=True, slots=True)
class Tile:
    """The shape of an `mma`: m x n x k elements of a type."""

    m: int
    n: int
    k: int
    kind: str

    @property
    def words(self) -> tuple[int, int, int]:
        """How many registers of A, B and C a lane holds."""
        size = 1 if self.kind == "s8" else 2
        lanes = WARP * 4 // size
        return self.m * self.k // lanes, self.n * self.k // lanes, self.m * self.n // WARP


def tile_of(opcode: str) -> Tile:
    _, _, _, shape, _, _, _, kind, *_ = opcode.split(".")
    m, n, k = map(int, shape[1:].replace("n", " ").replace("k", " ").split())
    return Tile(m, n, k, kind)


def multiplied(
    summed: Function, tile: Tile, A: list[ndarray], B: list[ndarray], C: list[ndarray]
) -> list[ndarray]:
    """`summed` of the matrices (warps, m, k), (warps, k, n), (warps, m, n).

    An element's place in the registers of lanes is as the manual's tables have it.
    """
    warps = len(A[0]) // WARP
    lane = np.arange(WARP)
    g, t = lane // 4, lane % 4
    each = 4 if tile.kind == "s8" else 2  # elements a register
    element = np.int8 if tile.kind == "s8" else np.float16
    a = np.zeros((warps, tile.m, tile.k), np.float64)
    b = np.zeros((warps, tile.k, tile.n), np.float64)
    c = np.zeros((warps, tile.m, tile.n), np.float64)
    tall = tile.m // 8
    for n, words in enumerate(A):
        parts = words.view(element).reshape(warps, WARP, each)
        for i in range(each):
            a[:, g + n % tall * 8, n // tall * 4 * each + t * each + i] = parts[:, :, i]
    for n, words in enumerate(B):
        parts = words.view(element).reshape(warps, WARP, each)
        for i in range(each):
            b[:, n * 4 * each + t * each + i, g] = parts[:, :, i]
    for n, numbers in enumerate(C):
        c[:, g + n // 2 * 8, t * 2 + n % 2] = numbers.reshape(warps, WARP)
    result = summed(a, b, c)
    return [
        result[:, g + n // 2 * 8, t * 2 + n % 2].reshape(-1).astype(numbers.dtype)
        for n, numbers in enumerate(C)
    ]
