"""Recurrent states: each thread takes some columns of them through all tokens of a run.

Columns of a head's state are independent. So a thread keeps 16 of them (8 KB with states of 128
rows) in its L1 cache while it goes through the run.
"""

from ops.cpu.kernels.simd.addresses import rows
from ops.cpu.kernels.simd.compiler import device
from ops.cpu.kernels.simd.memory import load_f32, load_i32, load_i64, parts_of
from ops.cpu.kernels.simd.operations import (
    LANES,
    add,
    add_rows,
    broadcast_f32,
    fma,
    load_rows,
    load_some,
    multiply,
    store_rows,
    store_some,
    zeros,
)
from ops.cpu.kernels.simd.vectors import exp
from ops.cpu.layout import RUN_STARTS, RUNS, SLOTS

# operands: of all, then of selective scans and of linear attention
Y, SLOT_OFFSET, HEADS, WIDTH, ROWS = range(5)
X, DELTA, B, C, RATES, SKIP, GROUPS = range(5, 12)
Q, K, V, DECAY, BONUS, REMOVED, ADDED = range(5, 12)

ROW_BYTES = 4 * LANES
AT_ONCE = 4  # rows of a state: as many sums run side by side


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


def over_rows(row_of):
    """run(state, count, inputs): the sum over a state's rows, several sums side by side.

    row_of(places) gives row(state, i, inputs, total), which adds what the rows i, i + 1, ... give;
    `places` makes their addresses.
    """
    several, single = rows(AT_ONCE), rows(1)
    row, last = row_of(several), row_of(single)

    @device
    def run(state, count, inputs):
        whole, at = count - count % AT_ONCE, several(state, 0)
        total = zeros(at, at)
        for i in range(0, whole, AT_ONCE):
            total = row(state, i, inputs, total)
        result = add_rows(total)
        for i in range(whole, count):
            result = last(state, i, inputs, result)
        return result

    return run


def _scanned(decay_of):
    """S = decay · S + b ⊗ x; sums S · c. `inputs` are b, c, x and what decay_of(places) reads."""

    def row_of(places):
        decays = decay_of(places)

        @device
        def row(state, i, inputs, total):
            b, c, x = inputs[0], inputs[1], inputs[2]
            here = places(state + ROW_BYTES * i, ROW_BYTES)
            held = multiply(load_rows(here, 0), decays(inputs, i))
            held = fma(broadcast_f32(places(b + 4 * i, 4), 0), x, held)
            store_rows(here, 0, held, LANES)
            return fma(held, broadcast_f32(places(c + 4 * i, 4), 0), total)

        return row

    return over_rows(row_of)


def _one_decay(places):
    @device
    def decays(inputs, i):
        return inputs[3]

    return decays


def _decay_of_rows(places):
    @device
    def decays(inputs, i):
        return broadcast_f32(places(inputs[3] + 4 * i, 4), 0)

    return decays


def _decay_of_elements(places):
    """exp(rate of the row and column · step size of the column)."""

    @device
    def decays(inputs, i):
        rates = load_rows(places(inputs[3] + ROW_BYTES * i, ROW_BYTES), 0)
        return exp(multiply(rates, inputs[4]))

    return decays


scan_with_one_decay = _scanned(_one_decay)
scan_with_row_decays = _scanned(_decay_of_rows)
scan_with_element_decays = _scanned(_decay_of_elements)


@device
def scan_heads(op, state, t, head, column, lanes):
    """One token of heads with one rate of decay each."""
    heads, count, groups = load_i64(op, HEADS), load_i64(op, ROWS), load_i64(op, GROUPS)
    offset = 4 * ((t * heads + head) * load_i64(op, WIDTH) + column)
    group = 4 * count * (t * groups + head * groups // heads)
    x = load_some(load_i64(op, X) + offset, lanes)
    delta = load_f32(load_i64(op, DELTA), t * heads + head)
    decay = exp(add(zeros(x, x), delta * load_f32(load_i64(op, RATES), head)))
    inputs = load_i64(op, B) + group, load_i64(op, C) + group, multiply(x, delta), decay
    skipped = multiply(x, load_f32(load_i64(op, SKIP), head))
    y = add(scan_with_one_decay(state, count, inputs), skipped)
    store_some(load_i64(op, Y) + offset, y, lanes)


@device
def scan_channels(op, state, t, head, column, lanes):
    """One token of channels, heads of one column: each row of a state has its rate of decay."""
    width, count = load_i64(op, WIDTH), load_i64(op, ROWS)
    offset, shared = 4 * (t * width + column), 4 * count * t
    x = load_some(load_i64(op, X) + offset, lanes)
    delta = load_some(load_i64(op, DELTA) + offset, lanes)
    rates = load_i64(op, RATES) + 4 * count * column
    b, c = load_i64(op, B) + shared, load_i64(op, C) + shared
    y = scan_with_element_decays(state, count, (b, c, multiply(x, delta), rates, delta))
    y = fma(x, load_some(load_i64(op, SKIP) + 4 * column, lanes), y)
    store_some(load_i64(op, Y) + offset, y, lanes)


@device
def attention_inputs(op, t, head, column, lanes):
    """A head's (k, q, v, decay) of one token; its offset in such inputs in bytes; where y goes."""
    heads, count = load_i64(op, HEADS), load_i64(op, ROWS)
    row = 4 * count * (t * heads + head)
    offset = 4 * ((t * heads + head) * load_i64(op, WIDTH) + column)
    v = load_some(load_i64(op, V) + offset, lanes)
    inputs = load_i64(op, K) + row, load_i64(op, Q) + row, v, load_i64(op, DECAY) + row
    return inputs, row, load_i64(op, Y) + offset


@device
def attend_linear(op, state, t, head, column, lanes):
    inputs, _, y = attention_inputs(op, t, head, column, lanes)
    store_some(y, scan_with_row_decays(state, load_i64(op, ROWS), inputs), lanes)


def _with_bonus(places):
    """The state is read before it is written; k ⊗ v counts beside it."""

    @device
    def row(state, i, inputs, total):
        k, q, v, decay, bonus = inputs
        here = places(state + ROW_BYTES * i, ROW_BYTES)
        before, key = load_rows(here, 0), broadcast_f32(places(k + 4 * i, 4), 0)
        held = multiply(before, broadcast_f32(places(decay + 4 * i, 4), 0))
        store_rows(here, 0, fma(key, v, held), LANES)
        seen = fma(multiply(key, broadcast_f32(places(bonus + 4 * i, 4), 0)), v, before)
        return fma(seen, broadcast_f32(places(q + 4 * i, 4), 0), total)

    return row


scan_with_bonus = over_rows(_with_bonus)


@device
def attend_with_bonus(op, state, t, head, column, lanes):
    (k, q, v, decay), _, y = attention_inputs(op, t, head, column, lanes)
    count = load_i64(op, ROWS)
    bonus = load_i64(op, BONUS) + 4 * count * head
    store_some(y, scan_with_bonus(state, count, (k, q, v, decay, bonus)), lanes)


def _recalled(places):
    @device
    def row(state, i, removed, total):
        held = load_rows(places(state + ROW_BYTES * i, ROW_BYTES), 0)
        return fma(held, broadcast_f32(places(removed + 4 * i, 4), 0), total)

    return row


def _corrected(places):
    @device
    def row(state, i, inputs, total):
        k, q, v, decay, added, recalled = inputs
        here = places(state + ROW_BYTES * i, ROW_BYTES)
        held = multiply(load_rows(here, 0), broadcast_f32(places(decay + 4 * i, 4), 0))
        held = fma(broadcast_f32(places(k + 4 * i, 4), 0), v, held)
        held = fma(broadcast_f32(places(added + 4 * i, 4), 0), recalled, held)
        store_rows(here, 0, held, LANES)
        return fma(held, broadcast_f32(places(q + 4 * i, 4), 0), total)

    return row


recall, scan_corrected = over_rows(_recalled), over_rows(_corrected)


@device
def attend_corrected(op, state, t, head, column, lanes):
    """What the state holds for `removed` is added to its rows by `added`, before it grows."""
    (k, q, v, decay), row, y = attention_inputs(op, t, head, column, lanes)
    count = load_i64(op, ROWS)
    recalled = recall(state, count, load_i64(op, REMOVED) + row)
    inputs = k, q, v, decay, load_i64(op, ADDED) + row, recalled
    store_some(y, scan_corrected(state, count, inputs), lanes)
