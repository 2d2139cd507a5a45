"""Activations, and what becomes of numbers where they are rounded."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ops.interface import (
    Weight,
)
from quant.floats import dequantize_bf16, quantize_bf16
from quant.format import FORMATS, dequantize, quantize

Floats = NDArray[Any]  # of float32; NumPy's own types lose that at every other step


def softmax(x: Floats) -> Floats:  # (..., n) -> (..., n)
    e: Floats = np.exp(x - x.max(-1, keepdims=True))
    total: Floats = e.sum(-1, keepdims=True)
    return e / total


def sigmoid(x: Floats) -> Floats:
    return np.exp(-np.logaddexp(0, -x))


def silu(x: Floats) -> Floats:
    return x * sigmoid(x)


def gelu(x: Floats) -> Floats:
    """The tanh form (Hendrycks and Gimpel 2016)."""
    root: Floats = np.float32(0.5) * x * (1 + np.tanh(0.7978845608 * x * (1 + 0.044715 * x * x)))
    return root


def gelu_exact(x: Floats) -> Floats:
    """x · Φ(x), the normal distribution's (Hendrycks and Gimpel 2016)."""
    root: Floats = 0.5 * x * (1 + _erf(x / math.sqrt(2)))
    return root.astype(np.float32)


_erf = np.vectorize(math.erf, otypes=[np.float64])

ACTIVATIONS: dict[str, Callable[[Floats], Floats]] = {
    "silu": silu,
    "gelu": gelu,
    "gelu_exact": gelu_exact,
    "gelu_quick": lambda x: x * sigmoid(np.float32(1.702) * x),
    "relu": lambda x: np.maximum(x, np.float32(0)),
    "squared_relu": lambda x: np.square(np.maximum(x, np.float32(0))),
    "sigmoid": sigmoid,
    "softplus": lambda x: np.logaddexp(np.float32(0), x),
    "tanh": np.tanh,
    "exp": np.exp,
    "signed_root": lambda x: np.sign(x) * np.sqrt(np.maximum(np.abs(x), np.float32(1e-6))),
    "elu": lambda x: np.where(x > 0, x, np.expm1(np.minimum(x, np.float32(0)))),
}


GATINGS: dict[str, Callable[[Floats], Floats]] = {
    "softmax": softmax,
    "sigmoid": sigmoid,
    "softmax_of_chosen": np.array,
    "sqrt_softplus": lambda x: np.sqrt(np.logaddexp(np.float32(0), x)),
}


def exact(weight: Weight, x: Floats) -> Floats:
    """Activations as they enter a product."""
    return x


def rounded_to_bytes(x: Floats) -> Floats:  # (rows, N) -> same
    """Activations as fast backends take them: 32 share a scale, the largest becomes ±127."""
    blocks = x.reshape(-1, 32)
    largest = np.abs(blocks).max(-1, keepdims=True)
    with np.errstate(divide="ignore"):
        inverse = np.where(largest > 0, np.float32(127) / largest, np.float32(0))
    y: Floats = np.rint(blocks * inverse) * (largest / np.float32(127))
    return y.reshape(x.shape)


def rounded_to_bf16(x: Floats) -> Floats:
    """Activations as products with weights in BF16 may take them."""
    return dequantize_bf16(quantize_bf16(x)).reshape(x.shape)


def rounded_to_q8_0(x: Floats) -> Floats:  # (rows, N) -> same
    """As a cache of that type keeps it: 32 share a scale in f16."""
    blocks = x.reshape(-1, 32)
    scale = np.abs(blocks).max(-1, keepdims=True) / np.float32(127)
    with np.errstate(divide="ignore"):
        inverse = np.where(scale > 0, np.float32(1) / scale, np.float32(0))
    y: Floats = np.rint(blocks * inverse) * scale.astype(np.float16).astype(np.float32)
    return y.reshape(x.shape)


def rounded_to_halves(x: Floats) -> Floats:
    with np.errstate(over="ignore"):
        return x.astype(np.float16).astype(np.float32)


def rounded_to(name: str) -> Callable[[Floats], Floats]:
    """What is left of rows as weights of a format."""
    kind = FORMATS[name]
    return lambda x: dequantize(kind, quantize(kind, np.ascontiguousarray(x, np.float32)))


KEPT: dict[str, Callable[[Floats], Floats]] = {
    "f16": rounded_to_halves,
    "f32": np.array,
    "q8_0": rounded_to_q8_0,
    **{
        name: rounded_to(name.upper())
        for name in ("bf16", "q5_1", "q5_0", "q4_1", "iq4_nl", "q4_0")
    },
}
"""What the cache's types make of keys and values."""
