"""Activation functions and gates."""

from collections.abc import Callable

from ops.cuda.kernels.intrinsics.arithmetic import (
    divided,
    exponential,
    fma,
    greater,
    lesser,
    magnitude,
    plus,
    root,
    times,
)
from ops.cuda.kernels.intrinsics.primitives import Float, f32

Function = Callable[[Float], Float]
Gate = Callable[[Float, Float], Float]


def tanh(a: Float) -> Float:
    """1 - 2 / (e^2a + 1): exactly ±1 where e^2a is infinite or 0."""
    return plus(f32(1), -divided(f32(2), plus(exponential(times(f32(2), a)), f32(1))))


def sigmoid(a: Float) -> Float:
    return divided(f32(1), plus(f32(1), exponential(-a)))


def silu(a: Float) -> Float:
    return divided(a, plus(f32(1), exponential(-a)))


def gelu(a: Float) -> Float:
    """The tanh form (Hendrycks and Gimpel 2016)."""
    cubic = plus(f32(1), times(f32(0.044715), times(a, a)))
    inner = times(times(f32(0.7978845608), a), cubic)
    return times(times(f32(0.5), a), plus(f32(1), tanh(inner)))


def gelu_exact(a: Float) -> Float:
    """a · Φ(a)."""
    tail = normal_tail(magnitude(a))
    if a < f32(0):
        return times(a, tail)
    return times(a, plus(f32(1), -tail))


def normal_tail(a: Float) -> Float:
    """1 - Φ(a) for a ≥ 0 within 1e-7 (Abramowitz and Stegun 1964, 7.1.26)."""
    a = times(a, f32(0.7071067811865476))
    t = divided(f32(1), fma(f32(0.3275911), a, f32(1)))
    sum_of_powers = fma(t, f32(1.061405429), f32(-1.453152027))
    sum_of_powers = fma(t, sum_of_powers, f32(1.421413741))
    sum_of_powers = fma(t, sum_of_powers, f32(-0.284496736))
    sum_of_powers = fma(t, sum_of_powers, f32(0.254829592))
    return times(times(f32(0.5), times(t, sum_of_powers)), exponential(times(-a, a)))


def gelu_quick(a: Float) -> Float:
    return times(a, sigmoid(times(f32(1.702), a)))


def relu(a: Float) -> Float:
    """A NaN remains one, which `greater` would lose."""
    if a < f32(0):
        return f32(0)
    return a


def squared_relu(a: Float) -> Float:
    return times(relu(a), relu(a))


def elu(a: Float) -> Float:
    """a; below 0 e^a - 1."""
    if a < f32(0):
        return plus(exponential(a), f32(-1))
    return a


def signed_root(a: Float) -> Float:
    """The root of at least 1e-6 with the sign of a; 0 and NaN remain what they are."""
    size = root(greater(magnitude(a), f32(1e-6)))
    if a < f32(0):
        return -size
    if a > f32(0):
        return size
    return a


def softplus(a: Float) -> Float:
    """ln(1 + e^a), without overflow."""
    return plus(greater(a, f32(0)), log_1_plus(exponential(-magnitude(a))))


def log_1_plus(a: Float) -> Float:
    """ln(1 + a) for a in 0 to 1: the series of 2 artanh(s), whose s is at most 1/3."""
    s = divided(a, plus(f32(2), a))
    square = times(s, s)
    series = fma(square, f32(1 / 13), f32(1 / 11))
    series = fma(square, series, f32(1 / 9))
    series = fma(square, series, f32(1 / 7))
    series = fma(square, series, f32(1 / 5))
    series = fma(square, series, f32(1 / 3))
    series = fma(square, series, f32(1))
    return times(times(f32(2), s), series)


def gated(function: Function) -> Gate:
    def gate_by(gate: Float, up: Float) -> Float:
        return times(function(gate), up)

    return gate_by


gate_silu, gate_gelu = gated(silu), gated(gelu)


def gate_clamped_swiglu(gate: Float, up: Float) -> Float:
    """g·σ(1.702 g)·(u + 1), g = min(gate, 7), u = up in ±7."""
    g = lesser(gate, f32(7))
    u = greater(lesser(up, f32(7)), f32(-7))
    return times(times(g, sigmoid(times(f32(1.702), g))), plus(u, f32(1)))


ACTIVATIONS: dict[str, Function] = {
    "silu": silu,
    "gelu": gelu,
    "gelu_exact": gelu_exact,
    "gelu_quick": gelu_quick,
    "relu": relu,
    "squared_relu": squared_relu,
    "sigmoid": sigmoid,
    "softplus": softplus,
    "tanh": tanh,
    "exp": exponential,
    "elu": elu,
    "signed_root": signed_root,
}
