"""Gathering rows of a table as the file holds it: the rest of the file need not be read."""

from ops.cpu.kernels.formats import blocks
from ops.cpu.kernels.simd.compiler import device
from ops.cpu.kernels.simd.memory import load_bf16, load_f16, load_f32, load_i32, load_i64, store_f32
from ops.cpu.layout import POSITIONS, TOKEN_IDS


def float_row(load):
    """Rows of floats."""

    @device
    def row(source, out, n):
        for i in range(n):
            store_f32(out, i, load(source, i))

    return row


def block_row(dequantize, block_size, block_bytes):
    """Rows of quantized blocks."""

    @device
    def row(source, out, n):
        for b in range(n // block_size):
            dequantize(source + b * block_bytes, out + 4 * b * block_size)

    return row


ROWS = {
    "F32": float_row(load_f32),
    "F16": float_row(load_f16),
    "BF16": float_row(load_bf16),
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
"""How a row of each format becomes float32: row(source, out, n)."""


def _gather(row, field):
    def kernel(op, step, thread, threads):
        table, row_bytes, columns = load_i64(op, 0), load_i64(op, 1), load_i64(op, 2)
        y = load_i64(op, 3)
        count, ids = load_i64(step, load_i64(op, 4)), load_i64(step, field)
        for t in range(count * thread // threads, count * (thread + 1) // threads):
            row(table + load_i32(ids, t) * row_bytes, y + 4 * t * columns, columns)

    return kernel


def embed(row):
    """(V, D) -> (T, D): the rows of the step's tokens."""
    return _gather(row, TOKEN_IDS)


def embed_positions(row):
    """(S, D) -> (T, D): the rows of the step's positions."""
    return _gather(row, POSITIONS)
