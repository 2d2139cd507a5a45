"""Gathers rows of a table directly from the mapped file, so the rest of it is not read."""

from ops.cpu.kernels.formats.records import Floats
from ops.cpu.kernels.simd.compiler import device
from ops.cpu.kernels.simd.memory import load_i32, load_i64, store_f32
from ops.cpu.layout import POSITIONS, TOKEN_IDS


def row_of(kernels):
    """row(source, out, n): n weights of a row of this format as float32."""
    return _float_row(kernels) if isinstance(kernels, Floats) else _block_row(kernels)


def _float_row(kernels):
    load = kernels.load_one

    @device
    def row(source, out, n):
        for i in range(n):
            store_f32(out, i, load(source, i))

    return row


def _block_row(kernels):
    dequantize, block_size = kernels.dequantize, kernels.format.block_size
    block_bytes = kernels.format.block_bytes

    @device
    def row(source, out, n):
        for b in range(n // block_size):
            dequantize(source + b * block_bytes, out + 4 * b * block_size)

    return row


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


def embed_rows(row):
    """(V, D), (T, k) -> (T, k·D): the rows that each token names."""

    def kernel(op, step, thread, threads):
        table, row_bytes, columns = load_i64(op, 0), load_i64(op, 1), load_i64(op, 2)
        y, ids = load_i64(op, 3), load_i64(op, 5)
        count = load_i64(step, load_i64(op, 4)) * load_i64(op, 6)
        for n in range(count * thread // threads, count * (thread + 1) // threads):
            row(table + load_i32(ids, n) * row_bytes, y + 4 * n * columns, columns)

    return kernel
