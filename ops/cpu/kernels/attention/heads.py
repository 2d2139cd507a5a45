"""Heads before attention: normalised and rotated; keys and values are stored in the cache."""

import numpy as np

from ops.cpu.kernels.attention.cached import KEYS, VALUES
from ops.cpu.kernels.elementwise import ZERO, copied_row, rotate, scaled_row
from ops.cpu.kernels.simd.compiler import device
from ops.cpu.kernels.simd.memory import claim, load_f64, load_i32, load_i64, part_size
from ops.cpu.kernels.simd.vectors import inverse_rms
from ops.cpu.layout import POSITIONS, TABLES
from ops.interface import BLOCK
from ops.state.formats import PANEL

# operands; norms may be 0 and pairs none: then that step is left out
Q, K, V, Q_OUT, QUERY_HEADS, KV_HEADS, WIDTH = range(7)
KEY_OFFSET, VALUE_OFFSET, PANEL_BYTES, ROW_BYTES = range(7, 11)
Q_NORM, K_NORM, EPS, ANGLES, Q_PAIRS, K_PAIRS, REPEAT, SCRATCH, COUNT = range(11, 20)
VALUE_WIDTH, QUERY_WIDTH = 20, 21


@device
def norm_and_rope(op, t, source, out, width, norm, pairs):
    """Normalises and rotates one head of token t."""
    repeat = load_i64(op, REPEAT)
    if norm != 0:
        factor = inverse_rms(source, width, np.float32(load_f64(op, EPS)))
        scaled_row(source, norm, out, width, factor)
    else:
        copied_row(source, out, width, ZERO)
    if pairs != 0:
        rotate(out, out, load_i64(op, ANGLES) + t * 8 * pairs * repeat, pairs, repeat, width)


@device
def prepare_query(op, t, head):
    width = load_i64(op, QUERY_WIDTH)
    offset = 4 * width * (t * load_i64(op, QUERY_HEADS) + head)
    norm, pairs = load_i64(op, Q_NORM), load_i64(op, Q_PAIRS)
    source, out = load_i64(op, Q) + offset, load_i64(op, Q_OUT) + offset
    norm_and_rope(op, t, source, out, width, norm, pairs)


def norm_rope_store(keys, values):
    """Writes q to where attention reads it, k and v to their positions in the cache."""
    write_key, write_value = KEYS[keys].write, VALUES[values].write

    @device
    def store_key_and_value(op, step, t, head, scratch):
        width, value_width = load_i64(op, WIDTH), load_i64(op, VALUE_WIDTH)
        number = t * load_i64(op, KV_HEADS) + head
        norm, pairs = load_i64(op, K_NORM), load_i64(op, K_PAIRS)
        norm_and_rope(op, t, load_i64(op, K) + 4 * width * number, scratch, width, norm, pairs)
        position = load_i32(load_i64(step, POSITIONS), t)
        block = load_i64(load_i64(load_i64(step, TABLES), t), position // BLOCK)
        place, panel = head * BLOCK + position % BLOCK, PANEL
        keys = block + load_i64(op, KEY_OFFSET) + place // panel * load_i64(op, PANEL_BYTES)
        write_key(keys, place % panel, scratch, width)
        values = block + load_i64(op, VALUE_OFFSET) + place * load_i64(op, ROW_BYTES)
        write_value(values, load_i64(op, V) + 4 * value_width * number, value_width)

    def kernel(op, step, thread, threads):
        query_heads, kv_heads = load_i64(op, QUERY_HEADS), load_i64(op, KV_HEADS)
        count, heads = load_i64(step, load_i64(op, COUNT)), query_heads + kv_heads
        scratch = load_i64(op, SCRATCH) + 4 * load_i64(op, WIDTH) * thread
        amount = part_size(count * heads, threads)
        taken = claim(op, amount)
        while taken < count * heads:
            for part in range(taken, min(taken + amount, count * heads)):
                t, head = part // heads, part % heads
                if head < query_heads:
                    prepare_query(op, t, head)
                else:
                    store_key_and_value(op, step, t, head - query_heads, scratch)
            taken = claim(op, amount)

    return kernel
