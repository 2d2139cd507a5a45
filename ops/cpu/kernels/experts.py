"""Mixture of experts: choosing a token's experts, and summing what they say."""

import math

import numpy as np

from ops.cpu.kernels.simd.compiler import device
from ops.cpu.kernels.simd.memory import (
    load_f32,
    load_f64,
    load_i32,
    load_i64,
    store_f32,
    store_i32,
)

SOFTMAX, SIGMOID, SOFTMAX_OF_CHOSEN = 0, 1, 2


@device
def _softmax(values, n):
    top, total = load_f32(values, 0), np.float32(0)
    for i in range(1, n):
        top = max(top, load_f32(values, i))
    for i in range(n):
        e = math.exp(load_f32(values, i) - top)
        store_f32(values, i, e)
        total += e
    for i in range(n):
        store_f32(values, i, load_f32(values, i) / total)


@device
def _scores(logits, scores, experts, gating):
    for e in range(experts):
        x = load_f32(logits, e)
        if gating == SIGMOID:
            x = np.float32(1) / (np.float32(1) + math.exp(-x))
        store_f32(scores, e, x)
    if gating == SOFTMAX:
        _softmax(scores, experts)


def route(op, step, thread, threads):
    """The `used` best experts of each token, the lower id first on a tie, and their weights."""
    logits, ids, weights = load_i64(op, 0), load_i64(op, 1), load_i64(op, 2)
    experts, used, gating = load_i64(op, 3), load_i64(op, 4), load_i64(op, 5)
    normalize, factor = load_i64(op, 6), np.float32(load_f64(op, 7))
    scores, count = load_i64(op, 8) + 4 * experts * thread, load_i64(step, load_i64(op, 9))
    for t in range(count * thread // threads, count * (thread + 1) // threads):
        _scores(logits + 4 * t * experts, scores, experts, gating)
        mine, total = weights + 4 * t * used, np.float32(0)
        for k in range(used):
            best = 0
            for e in range(1, experts):
                if load_f32(scores, e) > load_f32(scores, best):
                    best = e
            total += load_f32(scores, best)
            store_f32(mine, k, load_f32(scores, best))
            store_i32(ids, t * used + k, best)
            store_f32(scores, best, np.float32(-np.inf))
        if gating == SOFTMAX_OF_CHOSEN:
            _softmax(mine, used)
        divisor = max(total, np.float32(6.1e-5)) if normalize != 0 else np.float32(1)
        for k in range(used):
            store_f32(mine, k, load_f32(mine, k) / divisor * factor)


def group(op, step, thread, threads):
    """The T·k rows in the order of their experts, and where each expert's rows begin and end."""
    ids, order, starts, experts = load_i64(op, 0), load_i64(op, 1), load_i64(op, 2), load_i64(op, 3)
    rows = load_i64(step, load_i64(op, 4)) * load_i64(op, 5)
    if thread != 0:
        return
    for e in range(experts + 1):
        store_i32(starts, e, 0)
    for n in range(rows):
        e = load_i32(ids, n)
        store_i32(starts, e + 1, load_i32(starts, e + 1) + 1)
    for e in range(experts):
        store_i32(starts, e + 1, load_i32(starts, e) + load_i32(starts, e + 1))
    for n in range(rows):  # the starts serve as what is filled so far, and move on by one expert
        e = load_i32(ids, n)
        store_i32(order, load_i32(starts, e), n)
        store_i32(starts, e, load_i32(starts, e) + 1)
    for e in range(experts, 0, -1):
        store_i32(starts, e, load_i32(starts, e - 1))
    store_i32(starts, 0, 0)


def expert_sum(op, step, thread, threads):
    """(T·k, D) -> (T, D): the weighted sum in the order of choice."""
    y, weights, out = load_i64(op, 0), load_i64(op, 1), load_i64(op, 2)
    width, used, count = load_i64(op, 3), load_i64(op, 4), load_i64(step, load_i64(op, 5))
    for t in range(count * thread // threads, count * (thread + 1) // threads):
        for i in range(width):
            total = np.float32(0)
            for k in range(t * used, (t + 1) * used):
                total += load_f32(weights, k) * load_f32(y, k * width + i)
            store_f32(out, t * width + i, total)
