"""Weights of streams, balanced by Sinkhorn's iterations."""

import math

import numpy as np

from ops.cpu.kernels.simd.compiler import device
from ops.cpu.kernels.simd.memory import load_f32, load_f64, load_i64, store_f32


@device
def _exponentials(x, y, streams):
    """From x[s, r] y[r, s] = exp(x - the largest of s)."""
    for s in range(streams):
        top = load_f32(x, s * streams)
        for r in range(1, streams):
            top = max(top, load_f32(x, s * streams + r))
        for r in range(streams):
            store_f32(y, r * streams + s, math.exp(load_f32(x, s * streams + r) - top))


@device
def _normalized(c, streams, along, across, eps):
    """Divides by (the sum `along`) + eps, for each of `across`; both are strides."""
    for n in range(streams):
        total = np.float32(0)
        for i in range(streams):
            total += load_f32(c, n * across + i * along)
        for i in range(streams):
            place = n * across + i * along
            store_f32(c, place, load_f32(c, place) / (total + eps))


def balance(op, step, thread, threads):
    """Of each token a matrix [r, s], from logits [s, r]."""
    x, y, streams, iterations = load_i64(op, 0), load_i64(op, 1), load_i64(op, 2), load_i64(op, 3)
    eps, count = np.float32(load_f64(op, 4)), load_i64(step, load_i64(op, 5)) * load_i64(op, 6)
    for t in range(count * thread // threads, count * (thread + 1) // threads):
        there = y + 4 * t * streams * streams
        _exponentials(x + 4 * t * streams * streams, there, streams)
        _normalized(there, streams, streams, 1, np.float32(0))
        for i in range(streams * streams):
            store_f32(there, i, load_f32(there, i) + eps)
        _normalized(there, streams, 1, streams, eps)
        for _ in range(iterations - 1):
            _normalized(there, streams, streams, 1, eps)
            _normalized(there, streams, 1, streams, eps)
