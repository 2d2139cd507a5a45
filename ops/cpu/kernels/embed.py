"""Gathers rows of a table directly from the mapped file, so the rest of it is not read.

Which rows stand for the last few tokens together, hashes of 64 bits tell.
"""

import numpy as np

from ops.cpu.kernels.formats.records import Floats
from ops.cpu.kernels.simd.compiler import device
from ops.cpu.kernels.simd.memory import load_f32, load_i32, load_i64, store_f32, store_i32
from ops.cpu.layout import POSITIONS, RUN_STARTS, RUNS, SLOTS, TOKEN_IDS

# operands of ngram_rows
Y, MULTIPLIERS, SIZES, OFFSETS, LENGTH, HEADS, END, SLOT_OFFSET = range(8)


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


@device
def _token_at(op, step, slot, first, place):
    """The token at a place of the run, or before it, where the slot holds tokens + 1; or -1."""
    if place >= 0:
        return load_i32(load_i64(step, TOKEN_IDS), first + place)
    return int(load_f32(slot, load_i64(op, LENGTH) - 1 + place)) - 1


@device
def _store_rows(op, step, slot, first, t, y):
    """A token's rows, those for 2 tokens first."""
    multipliers, heads, end = load_i64(op, MULTIPLIERS), load_i64(op, HEADS), load_i64(op, END)
    mixed, ended = np.uint64(0), False
    for n in range(load_i64(op, LENGTH)):
        token = _token_at(op, step, slot, first, t - n)
        if n > 0:
            ended = ended or token < 0 or token == end
        if ended:
            token = end
        mixed = mixed ^ np.uint64(token) * np.uint64(load_i64(multipliers, n))
        for h in range((n - 1) * heads, n * heads):
            if n > 0:
                size = np.uint64(load_i64(load_i64(op, SIZES), h))
                store_i32(y, h, np.int64(mixed % size) + load_i64(load_i64(op, OFFSETS), h))


def ngram_rows(op, step, thread, threads):
    """By one thread: the slots are written when all have been read."""
    length, starts = load_i64(op, LENGTH), load_i64(step, RUN_STARTS)
    width = (length - 1) * load_i64(op, HEADS)
    if thread != 0:
        return
    for run in range(load_i64(step, RUNS)):
        first, stop = load_i32(starts, run), load_i32(starts, run + 1)
        slot = load_i64(load_i64(step, SLOTS), run) + load_i64(op, SLOT_OFFSET)
        for t in range(stop - first):
            _store_rows(op, step, slot, first, t, load_i64(op, Y) + 4 * width * (first + t))
        for n in range(length - 1):  # rising, so that each is read before it is replaced
            token = _token_at(op, step, slot, first, stop - first - length + 1 + n)
            store_f32(slot, n, np.float32(token + 1))
