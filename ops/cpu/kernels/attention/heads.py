"""Heads on their way from the products to attention: normalised, turned, keys and values cached."""

import numpy as np

from ops.cpu.kernels.attention.cached import KEYS, VALUES
from ops.cpu.kernels.elementwise import NOTHING, copied_row, scaled_row, turn
from ops.cpu.kernels.simd.compiler import device
from ops.cpu.kernels.simd.memory import claim, load_f64, load_i32, load_i64, part_size
from ops.cpu.kernels.simd.vectors import inverse_rms
from ops.cpu.layout import POSITIONS, TABLES
from ops.interface import BLOCK
from ops.state.formats import PANEL

# operands; a norm of 0 and no pairs mean that there is nothing to be done
Q, K, V, Q_OUT, QUERY_HEADS, KV_HEADS, WIDTH = range(7)
KEYS_AT, VALUES_AT, PANEL_BYTES, ROW_BYTES = range(7, 11)
Q_NORM, K_NORM, EPS, ANGLES, Q_PAIRS, K_PAIRS, REPEAT, SCRATCH, COUNT = range(11, 20)
VALUE_WIDTH = 20


@device
def prepare(op, t, source, out, norm, pairs):
    """One head of token t."""
    width, repeat = load_i64(op, WIDTH), load_i64(op, REPEAT)
    if norm != 0:
        factor = inverse_rms(source, width, np.float32(load_f64(op, EPS)))
        scaled_row(source, norm, out, width, factor)
    else:
        copied_row(source, out, width, NOTHING)
    if pairs != 0:
        turn(out, out, load_i64(op, ANGLES) + t * 8 * pairs * repeat, pairs, repeat, width)


@device
def enter_query(op, t, head):
    at = 4 * load_i64(op, WIDTH) * (t * load_i64(op, QUERY_HEADS) + head)
    norm, pairs = load_i64(op, Q_NORM), load_i64(op, Q_PAIRS)
    prepare(op, t, load_i64(op, Q) + at, load_i64(op, Q_OUT) + at, norm, pairs)


def norm_rope_store(keys, values):
    """q to where attention reads it, k and v to their positions in the cache."""
    put_key, put_value = KEYS[keys].put, VALUES[values].put

    @device
    def enter_key_and_value(op, step, t, head, room):
        width, wide = load_i64(op, WIDTH), load_i64(op, VALUE_WIDTH)
        number = t * load_i64(op, KV_HEADS) + head
        norm, pairs = load_i64(op, K_NORM), load_i64(op, K_PAIRS)
        prepare(op, t, load_i64(op, K) + 4 * width * number, room, norm, pairs)
        position = load_i32(load_i64(step, POSITIONS), t)
        block = load_i64(load_i64(load_i64(step, TABLES), t), position // BLOCK)
        place, panel = head * BLOCK + position % BLOCK, PANEL
        keys = block + load_i64(op, KEYS_AT) + place // panel * load_i64(op, PANEL_BYTES)
        put_key(keys, place % panel, room, width)
        values = block + load_i64(op, VALUES_AT) + place * load_i64(op, ROW_BYTES)
        put_value(values, load_i64(op, V) + 4 * wide * number, wide)

    def kernel(op, step, thread, threads):
        query_heads, kv_heads = load_i64(op, QUERY_HEADS), load_i64(op, KV_HEADS)
        count, heads = load_i64(step, load_i64(op, COUNT)), query_heads + kv_heads
        room = load_i64(op, SCRATCH) + 4 * load_i64(op, WIDTH) * thread
        amount = part_size(count * heads, threads)
        taken = claim(op, amount)
        while taken < count * heads:
            for part in range(taken, min(taken + amount, count * heads)):
                t, head = part // heads, part % heads
                if head < query_heads:
                    enter_query(op, t, head)
                else:
                    enter_key_and_value(op, step, t, head - query_heads, room)
            taken = claim(op, amount)

    return kernel
