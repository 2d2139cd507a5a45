"""Products with weights in any format: one kernel serves one token and many, with the same sums.

A row of weights is brought to float32 in the thread's scratch and multiplied with every token's
activations. How a row's products are summed depends on its length alone: not on tokens or threads.
"""

import numpy as np

from ops.cpu.kernels import blocks
from ops.cpu.kernels.compiler import device
from ops.cpu.kernels.memory import (
    load_bf16,
    load_f16,
    load_f32,
    load_i32,
    load_i64,
    store_f32,
)
from ops.cpu.layout import POSITIONS, TOKEN_IDS


@device
def dot(w, x, n):
    total = np.float32(0)
    for i in range(n):
        total += load_f32(w, i) * load_f32(x, i)
    return total


def plain_row(load):
    """Rows of floats, widened into the scratch."""

    @device
    def row(source, scratch, n):
        for i in range(n):
            store_f32(scratch, i, load(source, i))
        return scratch

    return row


def block_row(dequantize, block_size, block_bytes):
    """Rows of quantized blocks, dequantized into the scratch."""

    @device
    def row(source, scratch, n):
        for b in range(n // block_size):
            dequantize(source + b * block_bytes, scratch + 4 * b * block_size)
        return scratch

    return row


@device
def f32_row(source, scratch, n):
    return source


ROWS = {
    "F32": f32_row,
    "F16": plain_row(load_f16),
    "BF16": plain_row(load_bf16),
    "Q8_0": block_row(blocks.q8_0, 32, 34),
    "Q4_0": block_row(blocks.q4_0, 32, 18),
    "Q4_1": block_row(blocks.q4_1, 32, 20),
    "Q5_0": block_row(blocks.q5_0, 32, 22),
    "Q5_1": block_row(blocks.q5_1, 32, 24),
    "Q2_K": block_row(blocks.q2_k, 256, 84),
    "Q3_K": block_row(blocks.q3_k, 256, 110),
    "Q4_K": block_row(blocks.q4_k, 256, 144),
    "Q5_K": block_row(blocks.q5_k, 256, 176),
    "Q6_K": block_row(blocks.q6_k, 256, 210),
    "IQ4_NL": block_row(blocks.iq4_nl, 32, 18),
    "IQ4_XS": block_row(blocks.iq4_xs, 256, 136),
    "MXFP4": block_row(blocks.mxfp4, 32, 17),
}
"""How a row of each format becomes float32: row(source, scratch, n) -> where the floats lie."""


def linear(row):
    """(R, N) x (rows, N) -> (rows, R): each thread takes a stretch of the weight's rows."""

    def kernel(op, step, thread, threads):
        weight, row_bytes, columns = load_i64(op, 0), load_i64(op, 1), load_i64(op, 2)
        outputs, bias, x = load_i64(op, 3), load_i64(op, 4), load_i64(op, 5)
        y, scratch = load_i64(op, 6), load_i64(op, 7) + 4 * columns * thread
        count = load_i64(step, load_i64(op, 8)) * load_i64(op, 9)
        scale = load_f32(load_i64(op, 10), 0) if load_i64(op, 10) != 0 else np.float32(1)
        for r in range(outputs * thread // threads, outputs * (thread + 1) // threads):
            w = row(weight + r * row_bytes, scratch, columns)
            b = load_f32(bias, r) if bias != 0 else np.float32(0)
            for t in range(count):
                store_f32(y, t * outputs + r, scale * dot(w, x + 4 * t * columns, columns) + b)

    return kernel


def expert_linear(row):
    """(E, R, N) x (T or T·k, N) -> (T·k, R), each row through the expert chosen for it."""

    def kernel(op, step, thread, threads):
        weight, row_bytes, columns = load_i64(op, 0), load_i64(op, 1), load_i64(op, 2)
        outputs, bias, x = load_i64(op, 3), load_i64(op, 4), load_i64(op, 5)
        y, scratch = load_i64(op, 6), load_i64(op, 7) + 4 * columns * thread
        count = load_i64(step, load_i64(op, 8)) * load_i64(op, 9)
        scales, chosen = load_i64(op, 10), load_i64(op, 11)
        shared = load_i64(op, 12)  # rows of y that share a row of x
        for r in range(outputs * thread // threads, outputs * (thread + 1) // threads):
            ready, w = -1, weight
            for t in range(count):
                expert = load_i32(chosen, t)
                if expert != ready:
                    w = row(weight + (expert * outputs + r) * row_bytes, scratch, columns)
                    ready = expert
                b = load_f32(bias, expert * outputs + r) if bias != 0 else np.float32(0)
                s = load_f32(scales, expert) if scales != 0 else np.float32(1)
                total = dot(w, x + 4 * (t // shared) * columns, columns)
                store_f32(y, t * outputs + r, s * total + b)

    return kernel


def _gather(row, field):
    def kernel(op, step, thread, threads):
        table, row_bytes, columns = load_i64(op, 0), load_i64(op, 1), load_i64(op, 2)
        y, scratch = load_i64(op, 3), load_i64(op, 4) + 4 * columns * thread
        count, ids = load_i64(step, load_i64(op, 5)), load_i64(step, field)
        for t in range(count * thread // threads, count * (thread + 1) // threads):
            values = row(table + load_i32(ids, t) * row_bytes, scratch, columns)
            for i in range(columns):
                store_f32(y, t * columns + i, load_f32(values, i))

    return kernel


def embed(row):
    """(V, D) -> (T, D): the rows of the step's tokens."""
    return _gather(row, TOKEN_IDS)


def embed_positions(row):
    """(S, D) -> (T, D): the rows of the step's positions."""
    return _gather(row, POSITIONS)
