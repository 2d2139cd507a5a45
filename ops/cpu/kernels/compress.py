"""Rows for several tokens each: sums of their values, weighted by the softmax of their scores."""

import math

import numpy as np

from ops.cpu.kernels.elementwise import ZERO, copied_row, share
from ops.cpu.kernels.simd.compiler import device
from ops.cpu.kernels.simd.memory import load_f32, load_i32, load_i64, store_f32
from ops.cpu.layout import POSITIONS, RUN_STARTS, RUNS, SLOTS

# operands; a row of x holds `PARTS` times `WIDTH` values, then as many scores
X, Y, PLACES, SLOT_OFFSET, WIDTH, RATIO, PARTS = range(7)


@device
def _row(op, slot, first, number):
    """The address of row `number` of a run: in the step's rows, or in the slot if negative."""
    width = 2 * load_i64(op, PARTS) * load_i64(op, WIDTH)
    if number < 0:
        return slot + 4 * width * (load_i64(op, PARTS) * load_i64(op, RATIO) - 1 + number)
    return load_i64(op, X) + 4 * width * (first + number)


@device
def _score(op, slot, first, t, back, column):
    """Of the token `back` places before token t, which ends a stretch; the value stands before."""
    width, ratio, parts = load_i64(op, WIDTH), load_i64(op, RATIO), load_i64(op, PARTS)
    part = parts - 1 - back // ratio
    place = (ratio - 1 - back % ratio) * parts * width + part * width + column
    scores = _row(op, slot, first, t - back) + 4 * parts * width
    added = load_f32(load_i64(op, PLACES), place)
    return load_f32(scores, part * width + column) + added


@device
def _value(op, slot, first, t, back, column):
    width, parts = load_i64(op, WIDTH), load_i64(op, PARTS)
    part = parts - 1 - back // load_i64(op, RATIO)
    return load_f32(_row(op, slot, first, t - back), part * width + column)


@device
def _column(op, slot, first, t, count, column):
    """One number of a row for the last `count` tokens, the oldest first."""
    top = _score(op, slot, first, t, 0, column)
    for back in range(1, count):
        top = max(top, _score(op, slot, first, t, back, column))
    total, weights = np.float32(0), np.float32(0)
    for back in range(count - 1, -1, -1):
        weight = math.exp(_score(op, slot, first, t, back, column) - top)
        total += weight * _value(op, slot, first, t, back, column)
        weights += weight
    return total / weights


@device
def _keep_rows(op, slot, first, count, begin, end):
    """Keeps some columns of each part of a run's last rows for the next step."""
    width, parts = load_i64(op, WIDTH), load_i64(op, PARTS)
    kept = parts * load_i64(op, RATIO) - 1
    for j in range(kept):
        row = _row(op, slot, first, count - kept + j)
        for part in range(2 * parts):
            offset = 4 * (part * width + begin)
            target = slot + 4 * 2 * parts * width * j + offset
            copied_row(row + offset, target, end - begin, ZERO)


def compress(op, step, thread, threads):
    """Each thread takes some columns through every run, and what is kept of them."""
    width, ratio = load_i64(op, WIDTH), load_i64(op, RATIO)
    begin, end = share(width, thread, threads)
    starts, slots = load_i64(step, RUN_STARTS), load_i64(step, SLOTS)
    for run in range(load_i64(step, RUNS)):
        first, stop = load_i32(starts, run), load_i32(starts, run + 1)
        slot = load_i64(slots, run) + load_i64(op, SLOT_OFFSET)
        for t in range(stop - first):
            position = load_i32(load_i64(step, POSITIONS), first + t)
            count = min(load_i64(op, PARTS) * ratio, position + 1)
            y = load_i64(op, Y) + 4 * width * (first + t)
            for column in range(begin, end):
                value = np.float32(0)
                if (position + 1) % ratio == 0:
                    value = _column(op, slot, first, t, count, column)
                store_f32(y, column, value)
        _keep_rows(op, slot, first, stop - first, begin, end)
