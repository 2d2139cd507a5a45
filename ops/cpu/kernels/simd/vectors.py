"""Functions on whole registers: exp and functions built on it, and sums along a row.

They take tiles of any size. Numba as installed has no vector math library.
"""

import numpy as np

from ops.cpu.kernels.simd.compiler import device
from ops.cpu.kernels.simd.operations import (
    LANES,
    add,
    add_int,
    bits_to_float,
    choose,
    divide,
    fma,
    less,
    load_f32,
    load_some,
    maximum,
    minimum,
    multiply,
    reduce_add,
    rounded,
    shift_left,
    subtract,
    to_int,
    zeros,
)

LOG2_E = np.float32(1.4426950408889634)
LN2_HIGH, LN2_LOW = (
    np.float32(0.693359375),
    np.float32(-2.12194440e-4),
)  # high: few bits, n·high exact
LOWEST, HIGHEST = np.float32(-86.6), np.float32(88.72283)  # beyond: 0, and infinity
# e^r on |r| <= ln 2 / 2: the Taylor series up to r^7 is off by 5e-9
C2, C3, C4, C5, C6, C7 = (np.float32(1 / n) for n in (2, 6, 24, 120, 720, 5040))


@device
def exp(x):
    """e^x to some 1e-7 of its value; 0 below -86.6."""
    clipped = minimum(maximum(x, LOWEST), HIGHEST)
    n = rounded(multiply(clipped, LOG2_E))
    r = fma(n, np.float32(-LN2_HIGH), clipped)
    r = fma(n, np.float32(-LN2_LOW), r)
    p = fma(r, C7, C6)
    p = fma(p, r, C5)
    p = fma(p, r, C4)
    p = fma(p, r, C3)
    p = fma(p, r, C2)
    p = fma(p, multiply(r, r), add(r, np.float32(1)))
    # 2^n in two factors: 2^128 would be infinite
    power = bits_to_float(shift_left(add_int(to_int(n), 126), 23))
    grown = multiply(multiply(p, np.float32(2)), power)
    return choose(less(x, LOWEST), np.float32(0), grown)


@device
def sigmoid(x):
    return divide(np.float32(1), add(exp(subtract(np.float32(0), x)), np.float32(1)))


@device
def tanh(x):
    """1 - 2 / (e^2x + 1): exact to 1e-7, though not relative to values near 0."""
    grown = add(exp(multiply(x, np.float32(2))), np.float32(1))
    return subtract(np.float32(1), divide(np.float32(2), grown))


@device
def silu(x):
    return multiply(x, sigmoid(x))


@device
def gelu(x):
    """The tanh form; 0.5 (1 + tanh z) is the sigmoid of 2z."""
    cubic = fma(multiply(x, x), np.float32(0.044715), np.float32(1))
    return multiply(x, sigmoid(multiply(multiply(x, np.float32(2 * 0.7978845608)), cubic)))


@device
def gelu_quick(x):
    return multiply(x, sigmoid(multiply(x, np.float32(1.702))))


@device
def relu(x):
    return maximum(x, np.float32(0))


@device
def squared_relu(x):
    positive = maximum(x, np.float32(0))
    return multiply(positive, positive)


def gated(function):
    """function(gate) · up."""
    return device(lambda gate, up: multiply(function(gate), up))


@device
def clamped_swiglu(gate, up):
    gate = minimum(gate, np.float32(7))
    up = minimum(maximum(up, np.float32(-7)), np.float32(7))
    sure = sigmoid(multiply(gate, np.float32(1.702)))
    return multiply(multiply(gate, sure), add(up, np.float32(1)))


ACTIVATIONS = {
    "silu": silu,
    "gelu": gelu,
    "gelu_quick": gelu_quick,
    "relu": relu,
    "squared_relu": squared_relu,
    "sigmoid": sigmoid,
    "tanh": tanh,
    "exp": exp,
}
GATES = {"silu": gated(silu), "gelu": gated(gelu), "clamped_swiglu": clamped_swiglu}
"""Those that are part of a product (ops.fusion has the same)."""


@device
def mean_square(x, n):
    """The mean of the squares of n floats, in 16 partial sums."""
    total = zeros(x, x)
    for i in range(0, n - n % LANES, LANES):
        value = load_f32(x + 4 * i)
        total = fma(value, value, total)
    if n % LANES != 0:
        value = load_some(x + 4 * (n - n % LANES), n % LANES)
        total = fma(value, value, total)
    return reduce_add(total) / np.float32(n)


@device
def dot(x, y, n):
    """The sum of n products, 16 sums side by side."""
    total = zeros(x, y)
    for i in range(0, n - n % LANES, LANES):
        total = fma(load_f32(x + 4 * i), load_f32(y + 4 * i), total)
    if n % LANES != 0:
        offset = 4 * (n - n % LANES)
        total = fma(load_some(x + offset, n % LANES), load_some(y + offset, n % LANES), total)
    return reduce_add(total)


@device
def total(x, n):
    """The sum of n floats, 16 sums side by side."""
    sums = zeros(x, x)
    for i in range(0, n - n % LANES, LANES):
        sums = add(sums, load_f32(x + 4 * i))
    if n % LANES != 0:
        sums = add(sums, load_some(x + 4 * (n - n % LANES), n % LANES))
    return reduce_add(sums)


@device
def mean(x, n):
    return total(x, n) / np.float32(n)


@device
def inverse_rms(x, n, eps):
    return np.float32(1) / np.sqrt(mean_square(x, n) + eps)
