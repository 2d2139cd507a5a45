"""Attention over the KV cache's blocks: softmax partials per block of 256, merged in block order.

So the sums do not depend on how many threads share the work (Milakov and Gimelshein 2018).
"""

import math

import numpy as np

from ops.cpu.kernels.compiler import device
from ops.cpu.kernels.memory import (
    load_f16,
    load_f32,
    load_f64,
    load_i32,
    load_i64,
    store_f16,
    store_f32,
)
from ops.cpu.layout import POSITIONS, TABLE
from ops.interface import BLOCK

MINUS_INFINITY = np.float32(-np.inf)


def store(put, size):
    """Writes a step's K and V into the cache; `put` stores one element of `size` bytes."""

    def kernel(op, step, thread, threads):
        k, v, width = load_i64(op, 0), load_i64(op, 1), load_i64(op, 2)
        k_offset, v_offset = load_i64(op, 3), load_i64(op, 4)
        count, table = load_i64(step, load_i64(op, 5)), load_i64(step, TABLE)
        for t in range(count * thread // threads, count * (thread + 1) // threads):
            position = load_i32(load_i64(step, POSITIONS), t)
            row = load_i64(table, position // BLOCK) + position % BLOCK * width * size
            for i in range(width):
                put(row + k_offset, i, load_f32(k, t * width + i))
                put(row + v_offset, i, load_f32(v, t * width + i))

    return kernel


def attention(get, size):
    """softmax(scale · q Kᵀ) V for each token and head; `get` loads an element of `size` bytes."""

    @device
    def scores_of(q, keys, row_bytes, first, last, d, scale, cap, scores):
        """Scores of positions first .. last - 1 of a block; gives the largest."""
        top = MINUS_INFINITY
        for s in range(first, last):
            key, score = keys + s * row_bytes, np.float32(0)
            for i in range(d):
                score += load_f32(q, i) * get(key, i)
            score *= scale
            if cap > 0:
                score = cap * math.tanh(score / cap)
            store_f32(scores, s, score)
            top = max(top, score)
        return top

    @device
    def weigh(values, row_bytes, first, last, d, top, scores, out):
        """out = Σ exp(score − top) · v over the block; gives the sum of the exponentials."""
        total = np.float32(0)
        for i in range(d):
            store_f32(out, i, np.float32(0))
        for s in range(first, last):
            weight, value = math.exp(load_f32(scores, s) - top), values + s * row_bytes
            total += weight
            for i in range(d):
                store_f32(out, i, load_f32(out, i) + weight * get(value, i))
        return total

    @device
    def merge(d, keep, take, part, out):
        for i in range(d):
            store_f32(out, i, keep * load_f32(out, i) + take * load_f32(part, i))

    def kernel(op, step, thread, threads):
        q, y, sinks = load_i64(op, 0), load_i64(op, 1), load_i64(op, 2)
        heads, group, d = load_i64(op, 3), load_i64(op, 4), load_i64(op, 5)
        k_offset, v_offset, window = load_i64(op, 6), load_i64(op, 7), load_i64(op, 8)
        scale, cap = np.float32(load_f64(op, 9)), np.float32(load_f64(op, 10))
        scores = load_i64(op, 11) + 4 * (BLOCK + d) * thread
        part, row_bytes = scores + 4 * BLOCK, heads // group * d * size
        count, table = load_i64(step, load_i64(op, 12)), load_i64(step, TABLE)
        items = count * heads
        for item in range(items * thread // threads, items * (thread + 1) // threads):
            t, h = item // heads, item % heads
            end = load_i32(load_i64(step, POSITIONS), t) + 1
            begin = max(0, end - window) if window > 0 else 0
            query, out, head = q + 4 * item * d, y + 4 * item * d, h // group * d * size
            top, total = MINUS_INFINITY, np.float32(0)
            if sinks != 0:
                top, total = load_f32(sinks, h), np.float32(1)
            for i in range(d):
                store_f32(out, i, np.float32(0))
            for b in range(begin // BLOCK, (end - 1) // BLOCK + 1):
                base = load_i64(table, b) + head
                first, last = max(0, begin - b * BLOCK), min(BLOCK, end - b * BLOCK)
                keys = base + k_offset
                high = scores_of(query, keys, row_bytes, first, last, d, scale, cap, scores)
                values = base + v_offset
                share = weigh(values, row_bytes, first, last, d, high, scores, part)
                best = max(top, high)
                keep, take = math.exp(top - best), math.exp(high - best)
                merge(d, keep, take, part, out)
                top, total = best, keep * total + take * share
            for i in range(d):
                store_f32(out, i, load_f32(out, i) / total)

    return kernel


CACHE_TYPES = {"f16": (load_f16, store_f16, 2), "f32": (load_f32, store_f32, 4)}
"""How each type of the KV cache is read and written, and its bytes."""
