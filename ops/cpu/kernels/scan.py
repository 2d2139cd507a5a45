"""Recurrent states: each thread takes some columns of them through all tokens of a run.

Columns of a head's state are independent. So a thread keeps 16 of them (8 KB with states of 128
rows) in its L1 cache while it goes through the run.
"""

from ops.cpu.kernels.simd.compiler import device
from ops.cpu.kernels.simd.memory import load_f32, load_i32, load_i64, parts_of
from ops.cpu.kernels.simd.operations import (
    LANES,
    add,
    fma,
    load_some,
    multiply,
    store,
    store_some,
    zeros,
)
from ops.cpu.kernels.simd.operations import load_f32 as load
from ops.cpu.kernels.simd.vectors import exp
from ops.cpu.layout import RUN_STARTS, RUNS, SLOTS

# operands: of all, then of selective scans and of linear attention
Y, SLOT_OFFSET, HEADS, WIDTH, ROWS = range(5)
X, DELTA, B, C, RATES, SKIP, GROUPS = range(5, 12)
Q, K, V, DECAY, BONUS, REMOVED, ADDED = range(5, 12)

ROW_BYTES = 4 * LANES


def for_each_token(step_of):
    """A kernel: step_of(op, state, t, head, column, lanes) for each token, in order."""

    def kernel(op, step, thread, threads):
        width = load_i64(op, WIDTH)
        tiles, state_bytes = parts_of(width, LANES), ROW_BYTES * load_i64(op, ROWS)
        total = load_i64(op, HEADS) * tiles
        starts, slots = load_i64(step, RUN_STARTS), load_i64(step, SLOTS)
        for run in range(load_i64(step, RUNS)):
            states = load_i64(slots, run) + load_i64(op, SLOT_OFFSET)
            for part in range(total * thread // threads, total * (thread + 1) // threads):
                column = part % tiles * LANES
                lanes = min(width - column, LANES)
                for t in range(load_i32(starts, run), load_i32(starts, run + 1)):
                    step_of(op, states + part * state_bytes, t, part // tiles, column, lanes)

    return kernel


@device
def scan_heads(op, state, t, head, column, lanes):
    """One token of heads with one rate of decay each."""
    heads, rows, groups = load_i64(op, HEADS), load_i64(op, ROWS), load_i64(op, GROUPS)
    offset = 4 * ((t * heads + head) * load_i64(op, WIDTH) + column)
    group = 4 * rows * (t * groups + head * groups // heads)
    b, c = load_i64(op, B) + group, load_i64(op, C) + group
    x = load_some(load_i64(op, X) + offset, lanes)
    delta = load_f32(load_i64(op, DELTA), t * heads + head)
    decay = exp(add(zeros(x, x), delta * load_f32(load_i64(op, RATES), head)))
    y = multiply(x, load_f32(load_i64(op, SKIP), head))
    x = multiply(x, delta)
    for i in range(rows):
        here = state + ROW_BYTES * i
        value = fma(x, load_f32(b, i), multiply(load(here), decay))
        store(here, value)
        y = fma(value, load_f32(c, i), y)
    store_some(load_i64(op, Y) + offset, y, lanes)


@device
def scan_channels(op, state, t, head, column, lanes):
    """One token of channels, heads of one column: each row of a state has its rate of decay."""
    width, rows = load_i64(op, WIDTH), load_i64(op, ROWS)
    offset, shared = 4 * (t * width + column), 4 * rows * t
    b, c = load_i64(op, B) + shared, load_i64(op, C) + shared
    x = load_some(load_i64(op, X) + offset, lanes)
    delta = load_some(load_i64(op, DELTA) + offset, lanes)
    y = multiply(x, load_some(load_i64(op, SKIP) + 4 * column, lanes))
    x = multiply(x, delta)
    for i in range(rows):
        here = state + ROW_BYTES * i
        rate = load_some(load_i64(op, RATES) + 4 * (i * width + column), lanes)
        value = fma(x, load_f32(b, i), multiply(load(here), exp(multiply(delta, rate))))
        store(here, value)
        y = fma(value, load_f32(c, i), y)
    store_some(load_i64(op, Y) + offset, y, lanes)


@device
def attend_linear(op, state, t, head, column, lanes):
    """One token; with a bonus the state is read before it is written."""
    heads, rows, bonus = load_i64(op, HEADS), load_i64(op, ROWS), load_i64(op, BONUS)
    offset = 4 * ((t * heads + head) * load_i64(op, WIDTH) + column)
    row, bonus_row = 4 * rows * (t * heads + head), bonus + 4 * rows * head
    q, k, decay = load_i64(op, Q) + row, load_i64(op, K) + row, load_i64(op, DECAY) + row
    v = load_some(load_i64(op, V) + offset, lanes)
    y = zeros(v, v)
    for i in range(rows):
        here = state + ROW_BYTES * i
        before = load(here)
        value = fma(v, load_f32(k, i), multiply(before, load_f32(decay, i)))
        store(here, value)
        if bonus != 0:
            value = fma(v, load_f32(k, i) * load_f32(bonus_row, i), before)
        y = fma(value, load_f32(q, i), y)
    store_some(load_i64(op, Y) + offset, y, lanes)


@device
def attend_corrected(op, state, t, head, column, lanes):
    """One token of a delta rule: what the state holds for a key is removed before it grows."""
    heads, rows = load_i64(op, HEADS), load_i64(op, ROWS)
    offset = 4 * ((t * heads + head) * load_i64(op, WIDTH) + column)
    row = 4 * rows * (t * heads + head)
    q, k, decay = load_i64(op, Q) + row, load_i64(op, K) + row, load_i64(op, DECAY) + row
    removed, added = load_i64(op, REMOVED) + row, load_i64(op, ADDED) + row
    v = load_some(load_i64(op, V) + offset, lanes)
    held, y = zeros(v, v), zeros(v, v)
    for i in range(rows):
        held = fma(load(state + ROW_BYTES * i), load_f32(removed, i), held)
    for i in range(rows):
        here = state + ROW_BYTES * i
        value = fma(v, load_f32(k, i), multiply(load(here), load_f32(decay, i)))
        value = fma(held, load_f32(added, i), value)
        store(here, value)
        y = fma(value, load_f32(q, i), y)
    store_some(load_i64(op, Y) + offset, y, lanes)
