"""The gated delta rule: each thread takes some columns of heads' matrices through a run's tokens.

Columns of a head's matrix S are independent. So a thread keeps 16 columns (8 KB with keys of 128)
in its L1 cache while it goes through some tokens, whose q and k stay in the L2 cache for the head's
other columns.
"""

import numpy as np

from ops.cpu.kernels.simd.addresses import rows
from ops.cpu.kernels.simd.compiler import device
from ops.cpu.kernels.simd.memory import load_f32, load_f64, load_i32, load_i64, parts_of
from ops.cpu.kernels.simd.operations import (
    LANES,
    add_rows,
    broadcast_f32,
    fma,
    load_rows,
    load_some,
    multiply,
    store_rows,
    store_some,
    subtract,
    zeros,
)
from ops.cpu.layout import RUN_STARTS, RUNS, SLOTS

Q, K, V, DECAY, RATE, Y, SLOT_OFFSET, HEADS, KEY_HEADS, KEY_WIDTH, VALUE_WIDTH = range(11)
REPEATED, SCALE = 11, 12  # consecutive heads that share a key head; 1: key heads repeat

ROW_BYTES = 4 * LANES
TOKENS = 16
UNROLLED = 4  # rows of S per iteration, each with a sum of its own


def unrolled(count, per_row):
    """recall and learn, for `count` rows of 16 columns of S."""
    places = rows(count)

    @device
    def decay_of(decay, i):
        return broadcast_f32(places(decay + 4 * i, 4), 0) if per_row else load_f32(decay, 0)

    @device
    def recall(state, i, key, decay, total):
        """Adds S_i · k_i, decayed if each row has a decay of its own."""
        held = load_rows(places(state + ROW_BYTES * i, ROW_BYTES), 0)
        keys = broadcast_f32(places(key + 4 * i, 4), 0)
        return fma(held, multiply(keys, decay_of(decay, i)) if per_row else keys, total)

    @device
    def learn(state, i, key, decay, query, change, total):
        """Decays S_i and adds k_i · change; then adds S_i · q_i to the total."""
        addresses = places(state + ROW_BYTES * i, ROW_BYTES)
        held = multiply(load_rows(addresses, 0), decay_of(decay, i))
        held = fma(broadcast_f32(places(key + 4 * i, 4), 0), change, held)
        store_rows(addresses, 0, held, LANES)
        return fma(held, broadcast_f32(places(query + 4 * i, 4), 0), total)

    @device
    def none(state):
        addresses = places(state, 0)
        return zeros(addresses, addresses)

    return recall, learn, none


def delta_rule(per_row):
    """The kernel for decays of each row of S, or of each head."""
    recall, learn, none = unrolled(UNROLLED, per_row)
    recall_one, learn_one, _ = unrolled(1, per_row)

    @device
    def step_token(state, width, key, query, decay, rate, value):
        """One token: S after it, and Sᵀq."""
        whole = width - width % UNROLLED
        total = none(state)
        for i in range(0, whole, UNROLLED):
            total = recall(state, i, key, decay, total)
        recalled = add_rows(total)
        for i in range(whole, width):
            recalled = recall_one(state, i, key, decay, recalled)
        if not per_row:
            recalled = multiply(recalled, load_f32(decay, 0))
        change = multiply(subtract(value, recalled), rate)
        total = none(state)
        for i in range(0, whole, UNROLLED):
            total = learn(state, i, key, decay, query, change, total)
        result = add_rows(total)
        for i in range(whole, width):
            result = learn_one(state, i, key, decay, query, change, result)
        return result

    @device
    def columns(op, state, first, count, head, column):
        """Takes 16 columns of a head's S, or fewer, through a run."""
        heads, key_heads = load_i64(op, HEADS), load_i64(op, KEY_HEADS)
        width, values = load_i64(op, KEY_WIDTH), load_i64(op, VALUE_WIDTH)
        decays = width if per_row else 1
        repeated = load_i64(op, REPEATED)
        key_head = head // repeated if repeated > 1 else head % key_heads
        lanes, scale = min(LANES, values - column), np.float32(load_f64(op, SCALE))
        for t in range(first, first + count):
            offset = 4 * width * (t * key_heads + key_head)
            place, number = 4 * (values * (t * heads + head) + column), t * heads + head
            result = step_token(
                state,
                width,
                load_i64(op, K) + offset,
                load_i64(op, Q) + offset,
                load_i64(op, DECAY) + 4 * decays * number,
                load_f32(load_i64(op, RATE), number),
                load_some(load_i64(op, V) + place, lanes),
            )
            store_some(load_i64(op, Y) + place, multiply(result, scale), lanes)

    def kernel(op, step, thread, threads):
        width, values = load_i64(op, KEY_WIDTH), load_i64(op, VALUE_WIDTH)
        tiles = parts_of(values, LANES)
        parts = load_i64(op, HEADS) * tiles
        starts, slots = load_i64(step, RUN_STARTS), load_i64(step, SLOTS)
        for run in range(load_i64(step, RUNS)):
            first = load_i32(starts, run)
            count = load_i32(starts, run + 1) - first
            matrices = load_i64(slots, run) + load_i64(op, SLOT_OFFSET)
            part, last = parts * thread // threads, parts * (thread + 1) // threads
            while part < last:
                head = part // tiles
                stop = min((head + 1) * tiles, last)
                for t in range(0, count, TOKENS):
                    for tile in range(part, stop):
                        state, column = matrices + ROW_BYTES * width * tile, tile % tiles * LANES
                        columns(op, state, first + t, min(TOKENS, count - t), head, column)
                part = stop

    return kernel
