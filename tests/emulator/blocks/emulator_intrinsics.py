"""Every intrinsic for a vector of lanes: in each lane what its `meaning` is for one thread.

Those that touch memory are in emulator_memory.py.
"""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from emulator_lanes import WARP, Own, now, running_warps
from numpy import ndarray

from ops.cuda.kernels.intrinsics import warps
from ops.cuda.kernels.intrinsics.primitives import wrapped

INT, SHORT, SINGLE, HALF, DOUBLE = np.int32, np.uint16, np.float32, np.float16, np.float64
MASK = 0xFFFFFFFF
INTRINSICS: dict[str, Callable[..., Any]] = {}


def _intrinsic(function: Callable[..., Any]) -> Callable[..., Any]:
    INTRINSICS[function.__name__] = function
    return function


# --- casts, and vectors of one type


def as_int(a: Any) -> Any:
    """i32."""
    if type(a) is ndarray:
        whole = a.astype(np.int64) if a.dtype == SINGLE else a
        return whole.astype(INT).astype(np.int64)
    return wrapped(int(a))


def as_single(a: Any) -> Any:
    """f32."""
    return a.astype(SINGLE) if type(a) is ndarray else SINGLE(a)


class Local:
    @staticmethod
    def array(size: int, kind: Callable[[Any], Any]) -> Own:
        return Own(size, SINGLE(math.nan) if kind is as_single else 0x7BAD7BAD)


def words_of(a: Any) -> ndarray:
    """Vectors or numbers as an array of int32."""
    return a.astype(INT) if type(a) is ndarray else np.array([wrapped(int(a))], INT)


def numbers(words: ndarray, *like: Any) -> Any:
    """int64, or one number if all the operands were such."""
    if any(type(one) is ndarray for one in like):
        return words.astype(np.int64)
    return int(words[0])


def singles(values: ndarray, *like: Any) -> Any:
    return values if any(type(one) is ndarray for one in like) else values[0]


# --- where a thread stands


INTRINSICS |= {
    "thread_x": lambda: now.thread_x,
    "block_x": lambda: now.block[0],
    "block_y": lambda: now.block[1],
    "block_z": lambda: now.block[2],
    "threads": lambda: now.threads,
    "blocks_x": lambda: now.grid[0],
    "shared_memory": lambda: 0,
}
FUNCTIONS = {
    wrapped: as_int,
    warps.lane: lambda: now.lane,
    warps.warp: lambda: now.warp,
}
"""Replacements of functions in the intrinsics' modules."""


# --- integers


@_intrinsic
def dp4a(a: Any, b: Any, c: Any) -> Any:
    products = words_of(a).view(np.int8).astype(SINGLE).reshape(-1, 4)
    products = products * words_of(b).view(np.int8).reshape(-1, 4)
    return as_int(numbers(products @ _FOUR, a, b) + c)  # sums below 2^24: exact


_FOUR = np.ones(4, SINGLE)


@_intrinsic
def signed_bits(word: Any, start: Any, length: Any) -> Any:
    one = 1 << length
    found = (word >> start) & (one - 1)
    return found - ((found >> (length - 1)) << length)


@_intrinsic
def bits(word: Any, start: Any, length: Any) -> Any:
    return (word >> start) & ((1 << length) - 1)


@_intrinsic
def shift_right(word: Any, count: Any) -> Any:
    return as_int((word & MASK) >> count)


@_intrinsic
def shift_left(word: Any, count: Any) -> Any:
    return as_int((word & MASK) << count)


@_intrinsic
def permute(a: Any, b: Any, selector: Any) -> Any:
    pool = (a & MASK) | (b & MASK) << 32  # its sign does not matter: bytes are taken by masks
    if type(pool) is not ndarray and pool >= 1 << 63:
        pool -= 1 << 64
    chosen = 0
    for n in range(4):
        chosen = chosen | (pool >> 8 * (selector >> 4 * n & 7) & 0xFF) << 8 * n
    return as_int(chosen)


@_intrinsic
def quotient(a: Any, b: Any) -> Any:
    return a // _nonzero(b)


@_intrinsic
def remainder(a: Any, b: Any) -> Any:
    return a % _nonzero(b)


def _nonzero(b: Any) -> Any:
    """Lanes that do not run may hold anything."""
    if type(b) is ndarray and now.mask is not None:
        return np.where(now.mask, b, 1)
    return b


# --- floats


def _of_two(name: str, function: Any) -> None:
    INTRINSICS[name] = lambda a, b: function(a, b, dtype=SINGLE)


_of_two("plus", np.add)
_of_two("times", np.multiply)
_of_two("divided", np.divide)
_of_two("lesser", np.fmin)
_of_two("greater", np.fmax)


@_intrinsic
def fma(a: Any, b: Any, c: Any) -> Any:
    return as_single(np.multiply(a, b, dtype=DOUBLE) + c)


@_intrinsic
def reciprocal(a: Any) -> Any:
    return np.divide(SINGLE(1), a, dtype=SINGLE)


@_intrinsic
def root(a: Any) -> Any:
    return np.sqrt(a, dtype=SINGLE)


@_intrinsic
def magnitude(a: Any) -> Any:
    return np.abs(as_single(a))


@_intrinsic
def nearest(a: Any) -> Any:
    """As the card: what is no number becomes 0, what is too large the largest."""
    whole = np.rint(np.nan_to_num(np.atleast_1d(a).astype(DOUBLE), posinf=2**31, neginf=-(2**31)))
    return numbers(np.clip(whole, -(2**31), 2**31 - 1).astype(INT), a)


@_intrinsic
def as_float(a: Any) -> Any:
    return as_single(a)


@_intrinsic
def bits_of(a: Any) -> Any:
    return numbers(np.atleast_1d(as_single(a)).view(INT), a)


@_intrinsic
def float_of(a: Any) -> Any:
    return singles(words_of(a).view(SINGLE), a)


@_intrinsic
def power_of_two(a: Any) -> Any:
    return np.exp2(a, dtype=SINGLE)


@_intrinsic
def logarithm(a: Any) -> Any:
    return np.log2(a, dtype=SINGLE)


@_intrinsic
def cos_sin(position: Any, frequency: Any) -> Any:
    angle = np.multiply(position, as_single(frequency), dtype=DOUBLE)
    angle = as_single(angle - np.rint(angle * (0.5 / math.pi)) * (2 * math.pi))
    return np.cos(angle), np.sin(angle)


# --- float64


def as_double(a: Any) -> Any:
    return a.astype(DOUBLE) if type(a) is ndarray else float(a)


def _fma_double(a: Any, b: Any, c: Any) -> Any:
    return np.multiply(a, b, dtype=DOUBLE) + c


def _nearest_to_double(a: Any) -> Any:
    return nearest(np.where(np.isnan(a), -(2.0**31), a) if type(a) is ndarray or a != a else a)


def _double_of_upper(a: Any) -> Any:
    return singles((words_of(a).astype(np.int64) << 32).view(DOUBLE), a)


INTRINSICS |= {
    "as_double": lambda a: as_double(as_single(a)),
    "double_of_int": as_double,
    "double_of_upper": _double_of_upper,
    "nearest_to_double": _nearest_to_double,
    "plus_double": lambda a, b: np.add(a, b, dtype=DOUBLE),
    "times_double": lambda a, b: np.multiply(a, b, dtype=DOUBLE),
    "divided_double": lambda a, b: np.divide(a, b, dtype=DOUBLE),
    "fma_double": _fma_double,
}


# --- two float16


def halves_of(a: Any) -> ndarray:
    return words_of(a).view(HALF).reshape(-1, 2)


@_intrinsic
def low_half(word: Any) -> Any:
    return singles(halves_of(word)[:, 0].astype(SINGLE), word)


@_intrinsic
def high_half(word: Any) -> Any:
    return singles(halves_of(word)[:, 1].astype(SINGLE), word)


@_intrinsic
def halves(low: Any, high: Any) -> Any:
    vector = low if type(low) is ndarray else high
    pair = np.empty((len(vector) if type(vector) is ndarray else 1, 2), HALF)
    pair[:, 0], pair[:, 1] = low, high
    return numbers(pair.view(INT)[:, 0], low, high)


@_intrinsic
def times_halves(a: Any, b: Any) -> Any:
    return numbers((halves_of(a) * halves_of(b)).view(INT)[:, 0], a, b)


@_intrinsic
def plus_halves(a: Any, b: Any) -> Any:
    return numbers((halves_of(a) + halves_of(b)).view(INT)[:, 0], a, b)


# --- intrinsics of a warp


def _meet() -> None:
    mask = now.mask
    if mask is not None and mask is not now.whole:
        running_warps(mask)
        now.whole = mask


def _shuffled(a: Any, lane: Any) -> Any:
    """From another lane of the same warp, of a number or a vector."""
    _meet()
    if type(a) is not ndarray:
        return a
    return a.take((now.firsts + lane) if type(lane) is ndarray else now.firsts + lane % WARP)


@_intrinsic
def shuffle_xor(a: Any, mask: Any) -> Any:
    return _shuffled(a, now.lane ^ mask)


@_intrinsic
def shuffle(a: Any, lane: Any) -> Any:
    return _shuffled(a, lane % WARP)


INTRINSICS |= {"shuffle_xor_float": shuffle_xor, "warp_barrier": _meet}


def _filled(a: Any) -> ndarray:
    return words_of(a) if type(a) is ndarray else np.full(now.lanes, wrapped(int(a)), INT)


def _tile(kind: Any, rows: int, *words: Any) -> ndarray:
    """(warps, rows, columns): operands of a matrix, 8 rows each, in columns of four lanes."""
    size = 8 if kind is HALF else 16
    made = np.empty((now.lanes // WARP, rows, len(words) * size * 8 // rows), DOUBLE)
    if kind is np.int8:
        made = made.astype(SINGLE)
    for n, word in enumerate(words):
        row, column = (n * 8) % rows, n * 8 // rows * size
        made[:, row : row + 8, column : column + size] = (
            _filled(word).view(kind).reshape(-1, 8, size)
        )
    return made


def _fragments(product: ndarray, own: tuple[Any, ...], finish: Callable[[Any], Any]) -> Any:
    upper, lower = (product[:, n : n + 8].reshape(-1, 2) for n in (0, 8))
    parts = upper[:, 0], upper[:, 1], lower[:, 0], lower[:, 1]
    return tuple(finish(c + part) for c, part in zip(own, parts, strict=True))


@_intrinsic
def mma_s8(a0: Any, a1: Any, a2: Any, a3: Any, b0: Any, b1: Any, *own: Any) -> Any:
    _meet()
    product = _tile(np.int8, 16, a0, a1, a2, a3) @ _tile(np.int8, 8, b0, b1).swapaxes(1, 2)
    return _fragments(product.astype(np.int64), own, as_int)  # below 2^24: exact


@_intrinsic
def mma_s8_half(a0: Any, a1: Any, b0: Any, *own: Any) -> Any:
    _meet()
    product = _tile(np.int8, 16, a0, a1) @ _tile(np.int8, 8, b0).swapaxes(1, 2)
    return _fragments(product.astype(np.int64), own, as_int)


@_intrinsic
def mma_f16(a0: Any, a1: Any, a2: Any, a3: Any, b0: Any, b1: Any, *own: Any) -> Any:
    _meet()
    A, B = _tile(HALF, 16, a0, a1, a2, a3), _tile(HALF, 8, b0, b1)
    # einsum: a column's sums must not depend on what stands in the others, as BLAS's may
    product = np.einsum("wmk,wkn->wmn", A, np.ascontiguousarray(B.swapaxes(1, 2)))
    return _fragments(product, own, as_single)
