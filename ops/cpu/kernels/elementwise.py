"""Norms, activations, rotary positions and sums: what stands between the matrices."""

import math

import numpy as np

from ops.cpu.kernels.compiler import device
from ops.cpu.kernels.memory import load_f32, load_f64, load_i32, load_i64, store_f32
from ops.cpu.layout import OUTPUT_ROWS, POSITIONS


@device
def silu(x):
    return x / (np.float32(1) + math.exp(-x))


@device
def gelu(x):
    inner = np.float32(0.7978845608) * x * (np.float32(1) + np.float32(0.044715) * x * x)
    return np.float32(0.5) * x * (np.float32(1) + math.tanh(inner))


@device
def sigmoid(x):
    return np.float32(1) / (np.float32(1) + math.exp(-x))


@device
def gated_silu(g, u):
    return silu(g) * u


@device
def gated_gelu(g, u):
    return gelu(g) * u


@device
def clamped_swiglu(g, u):
    g = min(g, np.float32(7))
    u = min(max(u, np.float32(-7)), np.float32(7))
    return g * sigmoid(np.float32(1.702) * g) * (u + np.float32(1))


@device
def plus(x, y):
    return x + y


def map_one(function):
    """y[i] = function(x[i])."""

    def kernel(op, step, thread, threads):
        x, y, width = load_i64(op, 0), load_i64(op, 1), load_i64(op, 2)
        size = load_i64(step, load_i64(op, 3)) * load_i64(op, 4) * width
        for i in range(size * thread // threads, size * (thread + 1) // threads):
            store_f32(y, i, function(load_f32(x, i)))

    return kernel


def map_two(function):
    """z[i] = function(x[i], y[i])."""

    def kernel(op, step, thread, threads):
        x, y, z, width = load_i64(op, 0), load_i64(op, 1), load_i64(op, 2), load_i64(op, 3)
        size = load_i64(step, load_i64(op, 4)) * load_i64(op, 5) * width
        for i in range(size * thread // threads, size * (thread + 1) // threads):
            store_f32(z, i, function(load_f32(x, i), load_f32(y, i)))

    return kernel


def scale(op, step, thread, threads):
    """y = factor · x."""
    x, y, width = load_i64(op, 0), load_i64(op, 1), load_i64(op, 2)
    size = load_i64(step, load_i64(op, 3)) * load_i64(op, 4) * width
    factor = np.float32(load_f64(op, 5))
    for i in range(size * thread // threads, size * (thread + 1) // threads):
        store_f32(y, i, factor * load_f32(x, i))


def softcap(op, step, thread, threads):
    """y = cap · tanh(x / cap)."""
    x, y, width = load_i64(op, 0), load_i64(op, 1), load_i64(op, 2)
    size = load_i64(step, load_i64(op, 3)) * load_i64(op, 4) * width
    cap = np.float32(load_f64(op, 5))
    for i in range(size * thread // threads, size * (thread + 1) // threads):
        store_f32(y, i, cap * math.tanh(load_f32(x, i) / cap))


def rms_norm(op, step, thread, threads):
    """Each stretch of `width` columns by its own root mean square."""
    x, y, weight, width = load_i64(op, 0), load_i64(op, 1), load_i64(op, 2), load_i64(op, 3)
    count = load_i64(step, load_i64(op, 4)) * load_i64(op, 5)  # stretches
    eps = load_f64(op, 6)
    for t in range(count * thread // threads, count * (thread + 1) // threads):
        row, out, total = x + 4 * t * width, y + 4 * t * width, 0.0
        for i in range(width):
            total += float(load_f32(row, i)) * float(load_f32(row, i))
        factor = np.float32(1 / math.sqrt(total / width + eps))
        for i in range(width):
            store_f32(out, i, load_f32(row, i) * factor * load_f32(weight, i))


def layer_norm(op, step, thread, threads):
    """Each row by its own mean and variance."""
    x, y, weight, bias = load_i64(op, 0), load_i64(op, 1), load_i64(op, 2), load_i64(op, 3)
    width, count = load_i64(op, 4), load_i64(step, load_i64(op, 5)) * load_i64(op, 6)
    eps = load_f64(op, 7)
    for t in range(count * thread // threads, count * (thread + 1) // threads):
        row, out, mean, variance = x + 4 * t * width, y + 4 * t * width, 0.0, 0.0
        for i in range(width):
            mean += float(load_f32(row, i))
        mean /= width
        for i in range(width):
            variance += (float(load_f32(row, i)) - mean) ** 2
        factor = np.float32(1 / math.sqrt(variance / width + eps))
        for i in range(width):
            b = load_f32(bias, i) if bias != 0 else np.float32(0)
            centred = load_f32(row, i) - np.float32(mean)
            store_f32(out, i, centred * factor * load_f32(weight, i) + b)


def rope(op, step, thread, threads):
    """Pairs (i·stride, i·stride + distance) of every head turned by position · frequency[i]."""
    x, y, frequencies, pairs = load_i64(op, 0), load_i64(op, 1), load_i64(op, 2), load_i64(op, 3)
    head, heads = load_i64(op, 4), load_i64(op, 5)
    stride, distance = load_i64(op, 6), load_i64(op, 7)
    magnitude, count = load_f64(op, 8), load_i64(step, load_i64(op, 9))
    for t in range(count * thread // threads, count * (thread + 1) // threads):
        row, out = x + 4 * t * heads * head, y + 4 * t * heads * head
        for i in range(heads * head):
            store_f32(out, i, load_f32(row, i))
        position = float(load_i32(load_i64(step, POSITIONS), t))
        for i in range(pairs):
            angle = position * float(load_f32(frequencies, i))
            cos = np.float32(math.cos(angle) * magnitude)
            sin = np.float32(math.sin(angle) * magnitude)
            for h in range(heads):
                at = h * head + i * stride
                a, b = load_f32(row, at), load_f32(row, at + distance)
                store_f32(out, at, a * cos - b * sin)
                store_f32(out, at + distance, a * sin + b * cos)


def temperature(op, step, thread, threads):
    """y = x · (1 + scale · ln(1 + floor(position / period)))."""
    x, y, width = load_i64(op, 0), load_i64(op, 1), load_i64(op, 2)
    count, factor, period = load_i64(step, load_i64(op, 3)), load_f64(op, 4), load_i64(op, 5)
    for t in range(count * thread // threads, count * (thread + 1) // threads):
        position = load_i32(load_i64(step, POSITIONS), t)
        times = np.float32(1 + factor * math.log1p(float(position // period)))
        for i in range(t * width, (t + 1) * width):
            store_f32(y, i, times * load_f32(x, i))


def select_outputs(op, step, thread, threads):
    """The rows whose logits are wanted."""
    x, y, width = load_i64(op, 0), load_i64(op, 1), load_i64(op, 2)
    count, rows = load_i64(step, load_i64(op, 3)), load_i64(step, OUTPUT_ROWS)
    for t in range(count * thread // threads, count * (thread + 1) // threads):
        source = load_i32(rows, t)
        for i in range(width):
            store_f32(y, t * width + i, load_f32(x, source * width + i))
