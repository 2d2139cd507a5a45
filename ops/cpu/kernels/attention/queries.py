"""Operands of attention, and what the queries of a part of its work attend to."""

from ops.cpu.kernels.attention.softmax import record_bytes
from ops.cpu.kernels.simd.addresses import tile_size
from ops.cpu.kernels.simd.compiler import device
from ops.cpu.kernels.simd.memory import load_f32, load_i32, load_i64, parts_of, store_f32, store_i32
from ops.cpu.layout import (
    ENDS,
    LINE,
    POSITIONS,
    QUERY_BYTES,
    QUERY_FIRST,
    QUERY_HEAD,
    QUERY_POSITION,
    QUERY_SLOPE,
    QUERY_STOP,
    TILE_LIMIT,
)
from ops.interface import BLOCK

# operands of attention
Q, Y, SINKS, HEADS, GROUP, VALUE_WIDTH, KEY_OFFSET, VALUE_OFFSET, PANEL_BYTES, ROW_BYTES = range(10)
WINDOW, SCALE, CAP, SCRATCH, SCRATCH_BYTES, MOST_QUERIES, COUNTERS, ROWS_STEP = range(10, 18)
KEY_WIDTH, SLOPES, QUERY_WIDTH, CHUNKED, WHOLE_RUN, STRIDE, BIASES, FARTHEST = range(18, 26)
FURTHER = 26  # bytes to the operands of further keys and values, or 0

# a thread's scratch: scores, records of the tile, then of all queries of a run, then what is known
# of those queries (layout.py), their numbers, and unpacked values of a block
SCORES = 0
RECORDS = SCORES + 4 * BLOCK * TILE_LIMIT


@device
def visible(op, step, t):
    """The first position that token t attends to, and the one behind the last."""
    position, window = load_i32(load_i64(step, POSITIONS), t), load_i64(op, WINDOW)
    first, stop = 0, position + 1
    if load_i64(op, WHOLE_RUN) != 0:
        stop = load_i32(load_i64(step, ENDS), t)
        if window > 0:
            first, stop = max(position - window // 2, 0), min(position + window // 2 + 1, stop)
    elif window > 0 and load_i64(op, CHUNKED) != 0:
        first = position - position % window
    elif window > 0:
        first = max(stop - window, 0)
    else:
        stop -= stop % load_i64(op, STRIDE)
    return first, stop


@device
def query(op, scratch, n):
    """Where the n-th query of a run is described."""
    rows = TILE_LIMIT + load_i64(op, MOST_QUERIES)
    return scratch + RECORDS + rows * record_bytes(load_i64(op, VALUE_WIDTH)) + n * QUERY_BYTES


@device
def number(op, scratch, n):
    """Where the number of the n-th query of a run is: token · heads + head."""
    return query(op, scratch, TILE_LIMIT + load_i64(op, MOST_QUERIES)) + 4 * n


@device
def unpacked_values(op, scratch):
    """Where values of a block lie as float32, from a whole cache line on."""
    end = number(op, scratch, TILE_LIMIT + load_i64(op, MOST_QUERIES))
    return parts_of(end, LINE) * LINE


@device
def describe_queries(op, step, kv, first, last, scratch):
    """Describes a kv head's queries first .. last - 1; the last one is repeated to fill a tile."""
    heads, group, slopes = load_i64(op, HEADS), load_i64(op, GROUP), load_i64(op, SLOPES)
    for n in range(parts_of(last - first, tile_size()) * tile_size()):
        index = min(first + n, last - 1)
        t, h = index // group, kv * group + index % group
        own = query(op, scratch, n)
        start, stop = visible(op, step, t)
        store_i32(own + QUERY_FIRST, 0, start)
        store_i32(own + QUERY_STOP, 0, stop)
        store_i32(own + QUERY_POSITION, 0, load_i32(load_i64(step, POSITIONS), t))
        store_i32(own + QUERY_HEAD, 0, h)
        if slopes != 0:
            store_f32(own + QUERY_SLOPE, 0, load_f32(slopes, h))
        store_i32(number(op, scratch, n), 0, t * heads + h)


@device
def own_range(queries, r, begin):
    """The positions of a block that the tile's r-th query attends to; there may be none."""
    own = queries + r * QUERY_BYTES
    first, stop = load_i32(own + QUERY_FIRST, 0), load_i32(own + QUERY_STOP, 0)
    return max(first - begin, 0), min(stop - begin, BLOCK)


@device
def ranges(queries, begin):
    """The range of the block that any query of a tile attends to, and the range common to all."""
    any_first, any_stop, all_first, all_stop = BLOCK, 0, 0, BLOCK
    for r in range(tile_size()):
        first, stop = own_range(queries, r, begin)
        if first < stop:
            any_first, any_stop = min(any_first, first), max(any_stop, stop)
        all_first, all_stop = max(all_first, first), min(all_stop, stop)
    return (any_first, any_stop), (all_first, all_stop)


@device
def visible_to_any(op, step, first, last):
    """As `visible`, of any of the tokens first .. last - 1."""
    lowest, highest = visible(op, step, first)
    for t in range(first + 1, last):
        begin, stop = visible(op, step, t)
        lowest, highest = min(lowest, begin), max(highest, stop)
    return lowest, highest


@device
def blocks_of(first, stop):
    """The blocks that hold the positions first .. stop - 1: the first, and the one behind."""
    return first // BLOCK, (stop - 1) // BLOCK + 1
