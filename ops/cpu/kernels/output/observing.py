"""Sums of squares of what enters a product, for the importance of its weight's columns."""

import numpy as np

from ops.cpu.kernels.elementwise import ZERO, along_two, share
from ops.cpu.kernels.simd.compiler import device
from ops.cpu.kernels.simd.memory import load_f32, load_i32, load_i64, store_f32
from ops.cpu.kernels.simd.operations import fma

ONE = np.float32(1)
squared_row = along_two(device(lambda x, y, number: fma(x, x, y)))


@device
def clear(y, first, last):
    for i in range(first, last):
        store_f32(y, i, ZERO)


def squares(op, step, thread, threads):
    """Of each column, over all rows; each thread has columns of its own."""
    x, y, width = load_i64(op, 0), load_i64(op, 1), load_i64(op, 2)
    count = load_i64(step, load_i64(op, 3)) * load_i64(op, 4)
    first, last = share(width, thread, threads)
    clear(y, first, last)
    for t in range(count):
        row, place = x + 4 * (t * width + first), y + 4 * first
        squared_row(row, place, place, last - first, ZERO)


def expert_squares(op, step, thread, threads):
    """The same of each expert, over the rows that chose it, and their number.

    Row t of `ids` belongs to row t // sharing of x.
    """
    x, y, width = load_i64(op, 0), load_i64(op, 1), load_i64(op, 2)
    count = load_i64(step, load_i64(op, 3)) * load_i64(op, 4)
    ids, sharing, counts = load_i64(op, 5), load_i64(op, 6), load_i64(op, 7)
    experts = load_i64(op, 8)
    first, last = share(width, thread, threads)
    for e in range(experts):
        clear(y, e * width + first, e * width + last)
    for t in range(count):
        row = x + 4 * (t // sharing * width + first)
        place = y + 4 * (load_i32(ids, t) * width + first)
        squared_row(row, place, place, last - first, ZERO)
    if thread == 0:
        clear(counts, 0, experts)
        for t in range(count):
            e = load_i32(ids, t)
            store_f32(counts, e, load_f32(counts, e) + ONE)
