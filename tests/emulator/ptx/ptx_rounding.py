"""How a card rounds where it is free to: not at all, or about as badly as manual and papers tell.

The rough way is a function of the operands' bits alone, as a card's is: the same bytes stay so.
Of tensor cores: products and the sum are aligned to the largest and cut there, then the sum is cut
to a float32, as newer cards do it for eight products (M. Fasi et al., Numerical behavior of NVIDIA
tensor cores, PeerJ CS 7, 2021). `lg2` is rough where its result is small; it need not be elsewhere.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy import ndarray
from ptx_meanings import Function

TINIEST = 2.0**-126  # of numbers that are not subnormal
TOGETHER, KEPT_BITS = 8, 24  # products of one sum in a tensor core, and bits of the largest


@dataclass(frozen=True, slots=True)
class Rounding:
    """`approximate`: what instructions of `.approx` do; `summed`: see `ptx_meanings.multiplied`."""

    approximate: Mapping[str, Function]
    summed: Function


def _summed(a: ndarray, b: ndarray, c: ndarray) -> ndarray:
    # einsum: a column's sums must not depend on what stands in the others, as BLAS's may
    return c + np.einsum("wmk,wkn->wmn", a, b)


EXACT = Rounding(
    {
        "ex2": np.exp2, "lg2": np.log2, "rcp": np.reciprocal, "sin": np.sin, "cos": np.cos,
    },
    _summed,
)  # fmt: skip


def _error(a: ndarray) -> ndarray:
    """From -1 to 1, by the bits of a number."""
    mixed = a.view(np.uint32) * np.uint32(2654435761) >> np.uint32(16)
    return mixed / 32768.0 - 1


def _relative(function: Function, error: float) -> Function:
    """Subnormal numbers are zero, before and after."""

    def rough(a: ndarray) -> Any:
        result = function(_without_subnormals(a).astype(np.float64)) * (1 + error * _error(a))
        return _without_subnormals(result.astype(np.float32))

    return rough


def _absolute(function: Function, error: float) -> Function:
    return lambda a: (function(a.astype(np.float64)) + error * _error(a)).astype(np.float32)


def _without_subnormals(a: ndarray) -> ndarray:
    return np.where(np.abs(a) < TINIEST, np.copysign(np.float32(0), a), a)


def _cut(a: ndarray, b: ndarray, c: ndarray) -> ndarray:
    for first in range(0, a.shape[2], TOGETHER):
        some = slice(first, first + TOGETHER)
        terms = np.einsum("wmk,wkn->wkmn", a[:, :, some], b[:, some])
        terms = np.concatenate([terms, c[:, None]], 1)
        _, exponent = np.frexp(np.abs(terms).max(1, keepdims=True))
        unit = np.ldexp(1.0, exponent - KEPT_BITS)
        c = _toward_zero((np.trunc(terms / unit) * unit).sum(1))
    return c


def _toward_zero(a: ndarray) -> ndarray:
    near = a.astype(np.float32)
    beyond = np.abs(near.astype(np.float64)) > np.abs(a)
    return np.where(beyond, np.nextafter(near, np.float32(0)), near).astype(np.float64)


ROUGH = Rounding(
    {
        "ex2": _relative(np.exp2, 2.0**-22),
        "rcp": _relative(np.reciprocal, 2.0**-23),
        "lg2": _absolute(np.log2, 2.0**-22),
        "sin": _absolute(np.sin, 2.0**-20.5),
        "cos": _absolute(np.cos, 2.0**-20.5),
    },
    _cut,
)
