"""Activation functions and gates."""

from ops.cuda.kernels.intrinsics.arithmetic import (
    divided,
    exponential,
    greater,
    lesser,
    plus,
    times,
)
from ops.cuda.kernels.intrinsics.primitives import Float, f32


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


def gate_silu(gate: Float, up: Float) -> Float:
    return times(silu(gate), up)


def gate_gelu(gate: Float, up: Float) -> Float:
    return times(gelu(gate), up)


def gate_clamped_swiglu(gate: Float, up: Float) -> Float:
    """g·σ(1.702 g)·(u + 1), g = min(gate, 7), u = up in ±7."""
    g = lesser(gate, f32(7))
    u = greater(lesser(up, f32(7)), f32(-7))
    return times(times(g, sigmoid(times(f32(1.702), g))), plus(u, f32(1)))
