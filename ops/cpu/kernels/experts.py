"""Mixture of experts: routing, and grouping rows by expert."""

import math

import numpy as np

from ops.cpu.kernels.elementwise import softplus
from ops.cpu.kernels.simd.compiler import device
from ops.cpu.kernels.simd.memory import (
    load_f32,
    load_f64,
    load_i32,
    load_i64,
    store_f32,
    store_i32,
)

SOFTMAX, SIGMOID, SOFTMAX_OF_CHOSEN, SQRT_SOFTPLUS = 0, 1, 2, 3
EXCLUDED = np.float32(-np.inf)


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
def _probabilities(logits, values, experts, gating):
    for e in range(experts):
        x = load_f32(logits, e)
        if gating == SIGMOID:
            x = np.float32(1) / (np.float32(1) + math.exp(-x))
        elif gating == SQRT_SOFTPLUS:
            x = np.float32(math.sqrt(softplus(x)))
        store_f32(values, e, x)
    if gating == SOFTMAX:
        _softmax(values, experts)


@device
def _best(values, count):
    """The lowest index of the largest."""
    best = 0
    for i in range(1, count):
        if load_f32(values, i) > load_f32(values, best):
            best = i
    return best


@device
def _sum_of_two_best(values, count):
    first, second = EXCLUDED, EXCLUDED
    for i in range(count):
        value = load_f32(values, i)
        if value > first:
            first, second = value, first
        else:
            second = max(second, value)
    return first if count == 1 else first + second


@device
def _exclude_groups(wanted, experts, sums, groups, used_groups):
    """Experts of other than the best groups are not to be chosen."""
    size = experts // groups
    for g in range(groups):
        store_f32(sums, g, _sum_of_two_best(wanted + 4 * g * size, size))
    for _ in range(used_groups):
        store_f32(sums, _best(sums, groups), EXCLUDED)
    for e in range(experts):
        if load_f32(sums, e // size) > EXCLUDED:
            store_f32(wanted, e, EXCLUDED)


def route(op, step, thread, threads):
    """The `used` best experts of each token, the lower id first on a tie, and their weights.

    A thread's scratch holds a token's probabilities, what they are chosen by, the groups' sums.
    """
    logits, ids, weights = load_i64(op, 0), load_i64(op, 1), load_i64(op, 2)
    experts, used, gating = load_i64(op, 3), load_i64(op, 4), load_i64(op, 5)
    normalize, factor = load_i64(op, 6), np.float32(load_f64(op, 7))
    bias, groups, used_groups = load_i64(op, 10), load_i64(op, 11), load_i64(op, 12)
    neighbours, listed = load_i64(op, 13), load_i64(op, 14)
    values = load_i64(op, 8) + 4 * (2 * experts + groups) * thread
    wanted, count = values + 4 * experts, load_i64(step, load_i64(op, 9))
    for t in range(count * thread // threads, count * (thread + 1) // threads):
        _probabilities(logits + 4 * t * experts, values, experts, gating)
        for e in range(experts):
            more = load_f32(bias, e) if bias != 0 else np.float32(0)
            store_f32(wanted, e, load_f32(values, e) + more)
        if groups > 1:
            _exclude_groups(wanted, experts, wanted + 4 * experts, groups, used_groups)
        mine, total = weights + 4 * t * used, np.float32(0)
        for k in range(used):
            best = _best(wanted, experts) if listed == 0 else int(load_f32(listed, t * used + k))
            expert = best // neighbours
            total += load_f32(values, expert)
            store_f32(mine, k, load_f32(values, expert))
            store_i32(ids, t * used + k, expert)
            store_f32(wanted, best, EXCLUDED)
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
    for n in range(rows):  # each start counts up to the next expert's, and is moved back below
        e = load_i32(ids, n)
        store_i32(order, load_i32(starts, e), n)
        store_i32(starts, e, load_i32(starts, e) + 1)
    for e in range(experts, 0, -1):
        store_i32(starts, e, load_i32(starts, e - 1))
    store_i32(starts, 0, 0)


def head_rows(op, step, thread, threads):
    """The T·H rows of heads in the order of their heads, and where each head's begin and end."""
    order, starts, heads = load_i64(op, 0), load_i64(op, 1), load_i64(op, 2)
    count = load_i64(step, load_i64(op, 3))
    for head in range(heads * thread // threads, heads * (thread + 1) // threads):
        store_i32(starts, head + 1, (head + 1) * count)
        for t in range(count):
            store_i32(order, head * count + t, t * heads + head)
    if thread == 0:
        store_i32(starts, 0, 0)
