"""Attention over the KV cache: every key and value that is loaded is used by a tile of queries.

The queries of a kv head are its group of query heads for the first token, then for the next. A tile
of them goes through a block of 256 positions: scores, softmax, weighted sum of V, as partial
results (softmax.py). With one token the threads share the blocks, otherwise the queries.
"""

import numpy as np

from ops.cpu.kernels.attention.cached import KEYS, VALUES
from ops.cpu.kernels.attention.softmax import (
    MINUS_INFINITY,
    ONE,
    REGISTER,
    ZERO,
    exponentiate_scores,
    finish,
    merge,
    padded,
    record_bytes,
    start,
)
from ops.cpu.kernels.simd.addresses import (
    row,
    tile_of_panels,
    tile_of_rows,
    tile_of_rows_indexed,
    tile_size,
)
from ops.cpu.kernels.simd.compiler import device
from ops.cpu.kernels.simd.memory import (
    PARTS_PER_THREAD,
    atomic_add,
    atomic_store,
    claim,
    load_f64,
    load_i32,
    load_i64,
    part_size,
    parts_of,
    store_i32,
)
from ops.cpu.kernels.simd.memory import load_f32 as load_number
from ops.cpu.kernels.simd.memory import store_f32 as store_number
from ops.cpu.kernels.simd.operations import (
    LANES,
    broadcast_f32,
    fma,
    load_f32,
    load_rows,
    reduce_add,
    store,
    zeros,
)
from ops.cpu.kernels.simd.tiles import load_tile, store_tile
from ops.cpu.layout import (
    ENDS,
    POSITIONS,
    QUERY_BYTES,
    QUERY_FIRST,
    QUERY_POSITION,
    QUERY_SLOPE,
    QUERY_STOP,
    RUN_STARTS,
    RUNS,
    TABLES,
    TILE_LIMIT,
    TOKENS,
)
from ops.interface import BLOCK
from ops.state.formats import PANEL

# operands of attention
Q, Y, SINKS, HEADS, GROUP, VALUE_WIDTH, KEY_OFFSET, VALUE_OFFSET, PANEL_BYTES, ROW_BYTES = range(10)
WINDOW, SCALE, CAP, SCRATCH, SCRATCH_BYTES, MOST_QUERIES, COUNTERS, ROWS_STEP = range(10, 18)
KEY_WIDTH, SLOPES, QUERY_WIDTH, CHUNKED, WHOLE_RUN, STRIDE = range(18, 24)
FURTHER = 24  # bytes to the operands of further keys and values, or 0

# a thread's scratch: scores, records of the tile, then of all queries of a run, then what is known
# of those queries (layout.py), and their numbers
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
        if slopes != 0:
            store_number(own + QUERY_SLOPE, 0, load_number(slopes, h))
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
def leave_out(op, scratch, visible):
    """Of so many positions the last one alone is seen."""
    stride = load_i64(op, STRIDE)
    if stride > 1:
        for r in range(tile_size()):
            for s in range(visible[0], visible[1]):
                if (s + 1) % stride != 0:
                    store_number(scratch + SCORES + 4 * BLOCK * r, s, MINUS_INFINITY)


@device
def start_record(op, record, h):
    """An empty record: only the head's sink counts so far."""
    sinks = load_i64(op, SINKS)
    if sinks != 0:
        start(row(record), load_i64(op, VALUE_WIDTH), load_number(sinks, h), ONE)
    else:
        start(row(record), load_i64(op, VALUE_WIDTH), MINUS_INFINITY, ZERO)


@device
def visible_blocks(op, step, first, last):
    """The blocks that any of the tokens first .. last - 1 attends to."""
    lowest, highest = visible(op, step, first)
    for t in range(first + 1, last):
        begin, stop = visible(op, step, t)
        lowest, highest = min(lowest, begin), max(highest, stop)
    return lowest // BLOCK, (highest - 1) // BLOCK + 1


def attention(keys, values):
    """softmax(scale · q Kᵀ) V for each token and head, over one type of keys and one of values."""
    product, size_of_value = KEYS[keys].product, VALUES[values].size
    load_values, fetch_values = VALUES[values].load, VALUES[values].fetch

    @device
    def accumulate_values(weights, records, panels, scales, row_bytes, first, stop, ahead):
        """Adds Σ weight · V over a range of positions, for 16 columns of V per panel."""
        total = load_tile(records, panels)
        for s in range(first, stop):
            fetch_values(ahead + s * row_bytes)
            v = load_values(panels + s * row_bytes, scales + s * row_bytes)
            total = fma(broadcast_f32(weights, 4 * s), v, total)
        store_tile(records, total)

    @device
    def accumulate_values_ragged(op, scratch, values, r, first, stop):
        """For one query: positions that other queries of the tile do not attend to."""
        d, row_bytes = load_i64(op, VALUE_WIDTH), load_i64(op, ROW_BYTES)
        weights = row(scratch + SCORES + 4 * BLOCK * r)
        if first < stop:
            for i in range(0, d, LANES):
                record = row(scratch + RECORDS + r * record_bytes(d) + 4 * i)
                panel, scales = values + size_of_value * i, values + d + i // 32 * 2
                accumulate_values(weights, record, panel, scales, row_bytes, first, stop, panel)

    @device
    def accumulate_values_shared(op, scratch, values, first, stop, ahead):
        """For all queries of the tile; prefetches from `ahead`, at the offsets that are read."""
        d, row_bytes = load_i64(op, VALUE_WIDTH), load_i64(op, ROW_BYTES)
        records, weights = scratch + RECORDS, tile_of_rows(scratch + SCORES, 4 * BLOCK)
        wide, end = LANES * tile_size(), padded(d)
        many = end - end % wide
        for i in range(0, many, wide):
            to, offset = tile_of_rows(records + 4 * i, record_bytes(d)), size_of_value * i
            panels = tile_of_panels(values + offset, LANES * size_of_value)
            scales = values + d + i // 32 * 2
            accumulate_values(weights, to, panels, scales, row_bytes, first, stop, ahead + offset)
        for i in range(many, end, LANES):
            to, offset = tile_of_rows(records + 4 * i, record_bytes(d)), size_of_value * i
            panel, scales = values + offset, values + d + i // 32 * 2
            accumulate_values(weights, to, panel, scales, row_bytes, first, stop, ahead + offset)

    @device
    def score(op, keys, numbers, scratch, visible, ahead):
        """q·k of each query of the tile with a range of positions, rounded out to tiles."""
        first, stop = visible
        d, panel_bytes, wide = (
            load_i64(op, KEY_WIDTH),
            load_i64(op, PANEL_BYTES),
            LANES * tile_size(),
        )
        width = load_i64(op, QUERY_WIDTH)
        last = load_i64(op, Q) + 4 * (width - d)  # the columns that K holds are a query's last
        queries = tile_of_rows_indexed(last, 4 * width, numbers, 1, tile_size())
        for s in range(first - first % wide, stop, wide):
            panel = keys + s // PANEL * panel_bytes
            next_panel = panel + panel_bytes if s + PANEL < stop else ahead
            sums = product(queries, panel, s % PANEL, d, next_panel)
            store_tile(tile_of_rows(scratch + SCORES + 4 * s, 4 * BLOCK), sums)

    @device
    def add_scores_of_values(op, values, numbers, scratch, visible):
        """Where a key begins with its value: adds the products of those columns to the scores.

        A position's row of V is multiplied by all queries of the tile, then the lanes are added.
        """
        d, row_bytes, width = (
            load_i64(op, VALUE_WIDTH),
            load_i64(op, ROW_BYTES),
            load_i64(op, QUERY_WIDTH),
        )
        queries = tile_of_rows_indexed(load_i64(op, Q), 4 * width, numbers, 1, tile_size())
        lanes = tile_of_rows(scratch + RECORDS, REGISTER)
        for s in range(visible[0], visible[1]):
            here = values + s * row_bytes
            total = zeros(queries, here)
            for i in range(0, d, LANES):
                v = load_values(here + size_of_value * i, here + d + i // 32 * 2)
                total = fma(load_rows(queries, 4 * i), v, total)
            store_tile(lanes, total)
            for r in range(tile_size()):
                scores = scratch + SCORES + 4 * BLOCK * r
                own = reduce_add(load_f32(scratch + RECORDS + REGISTER * r))
                store_number(scores, s, load_number(scores, s) + own)

    @device
    def keys_of(op, table, b, kv):
        block = load_i64(table, b)
        return block + load_i64(op, KEY_OFFSET) + BLOCK // PANEL * load_i64(op, PANEL_BYTES) * kv

    @device
    def attend(op, table, b, kv, n, scratch, ahead):
        """The records over block b of a tile of queries, from the run's n-th on; `ahead` is read
        next."""
        d, row_bytes, begin = load_i64(op, VALUE_WIDTH), load_i64(op, ROW_BYTES), b * BLOCK
        queries, numbers = query(op, scratch, n), number(op, scratch, n)
        any_of, all_of = ranges(queries, begin)
        keys, block = keys_of(op, table, b, kv), load_i64(table, b)
        values = block + load_i64(op, VALUE_OFFSET) + BLOCK * row_bytes * kv
        score(op, keys, numbers, scratch, any_of, values)
        if load_i64(op, QUERY_WIDTH) > load_i64(op, KEY_WIDTH):
            add_scores_of_values(op, values, numbers, scratch, any_of)
        leave_out(op, scratch, any_of)
        scale, cap = np.float32(load_f64(op, SCALE)), np.float32(load_f64(op, CAP))
        highest, total = exponentiate_scores(
            tile_of_rows(scratch + SCORES, 4 * BLOCK),
            tile_of_rows(queries, QUERY_BYTES),
            *(begin, any_of, all_of, scale, cap, load_i64(op, SLOPES)),
        )
        start(tile_of_rows(scratch + RECORDS, record_bytes(d)), d, highest, total)
        first, stop = all_of if all_of[0] < all_of[1] else (BLOCK, BLOCK)
        for r in range(tile_size()):
            own_first, end = own_range(queries, r, begin)
            accumulate_values_ragged(op, scratch, values, r, own_first, min(end, first))
        last = max(first, stop - PANEL)
        accumulate_values_shared(op, scratch, values, first, last, values + PANEL * row_bytes)
        accumulate_values_shared(op, scratch, values, last, stop, ahead - last * row_bytes)
        for r in range(tile_size()):
            own_first, end = own_range(queries, r, begin)
            accumulate_values_ragged(op, scratch, values, r, max(own_first, stop), end)

    @device
    def add_blocks(op, step, kv, first, last, scratch, records):
        """Merges what the queries find in each block with their records."""
        d, group, tile = load_i64(op, VALUE_WIDTH), load_i64(op, GROUP), tile_size()
        size, parts, count = record_bytes(d), scratch + RECORDS, last - first
        first_block, stop_block = visible_blocks(op, step, first // group, (last - 1) // group + 1)
        table = load_i64(load_i64(step, TABLES), first // group)
        describe_queries(op, step, kv, first, last, scratch)
        for b in range(first_block, stop_block):
            for n in range(0, count, tile):
                ahead = keys_of(op, table, min(b + 1, stop_block - 1), kv)
                attend(op, table, b, kv, n, scratch, ahead)
                for r in range(min(tile, count - n)):
                    merge(records + (n + r) * size, parts + r * size, d)

    @device
    def attend_run(op, step, kv, first, last, scratch):
        """Some queries of one sequence and kv head over all their positions, block by block."""
        d, group, heads = load_i64(op, VALUE_WIDTH), load_i64(op, GROUP), load_i64(op, HEADS)
        size = record_bytes(d)
        records = scratch + RECORDS + TILE_LIMIT * size
        for n in range(first, last):
            start_record(op, records + (n - first) * size, kv * group + n % group)
        more = load_i64(op, FURTHER)
        add_blocks(op, step, kv, first, last, scratch, records)
        if more != 0:
            add_blocks(op + more, step, kv, first, last, scratch, records)
        for n in range(first, last):
            y = load_i64(op, Y) + 4 * d * (n // group * heads + kv * group + n % group)
            finish(records + (n - first) * size, y, d)

    @device
    def merge_blocks(op, table, kv, first_block, stop_block, record):
        """Merges one token's heads of a group from the records stored in the blocks."""
        d, group = load_i64(op, VALUE_WIDTH), load_i64(op, GROUP)
        for h in range(kv * group, (kv + 1) * group):
            start_record(op, record, h)
            for b in range(first_block, stop_block):
                merge(record, load_i64(table, b) + h * record_bytes(d), d)
            finish(record, load_i64(op, Y) + 4 * d * h, d)

    @device
    def share_blocks(op, step, threads, first_block, stop_block, scratch):
        """For one token: each block of each kv head is a part of the work.

        Records are stored in the blocks; the thread that finishes a head's last block merges them.
        """
        d, group = load_i64(op, VALUE_WIDTH), load_i64(op, GROUP)
        table = load_i64(load_i64(step, TABLES), 0)
        size, blocks = record_bytes(d), stop_block - first_block
        total = load_i64(op, HEADS) // group * blocks
        amount, parts = part_size(total, threads), scratch + RECORDS
        taken = claim(op, amount)
        while taken < total:
            for part in range(taken, min(taken + amount, total)):
                kv, b = part // blocks, first_block + part % blocks
                target, after = load_i64(table, b) + kv * group * size, min(part + 1, total - 1)
                ahead = keys_of(op, table, first_block + after % blocks, after // blocks)
                describe_queries(op, step, kv, 0, group, scratch)
                for n in range(0, group, tile_size()):
                    attend(op, table, b, kv, n, scratch, ahead)
                    for i in range(0, min(tile_size(), group - n) * size, REGISTER):
                        store(target + n * size + i, load_f32(parts + i))
                counter = load_i64(op, COUNTERS) + 4 * kv
                if atomic_add(counter, 1) == blocks - 1:
                    atomic_store(counter, 0)
                    merge_blocks(op, table, kv, first_block, stop_block, parts)
            taken = claim(op, amount)

    @device
    def share_queries(op, step, count, threads, scratch):
        """Parts of whole groups, which read K and V once, and enough of them for all threads.

        A part's queries belong to one sequence; threads take the parts run by run.
        """
        group, tile, starts = load_i64(op, GROUP), tile_size(), load_i64(step, RUN_STARTS)
        kv_heads = load_i64(op, HEADS) // group
        wanted = max(group, count * group * kv_heads // (PARTS_PER_THREAD * threads))
        size = min(parts_of(wanted, tile) * tile, load_i64(op, MOST_QUERIES))
        part, before = claim(op, 1), 0
        for run in range(load_i64(step, RUNS)):
            begin, end = load_i32(starts, run) * group, load_i32(starts, run + 1) * group
            parts = parts_of(end - begin, size) * kv_heads
            while part < before + parts:
                first = begin + (part - before) // kv_heads * size
                kv = (part - before) % kv_heads
                attend_run(op, step, kv, first, min(first + size, end), scratch)
                part = claim(op, 1)
            before += parts

    def kernel(op, step, thread, threads):
        step = step + load_i64(op, ROWS_STEP)
        count, first_block, stop_block = load_i64(step, TOKENS), 0, 1
        scratch = load_i64(op, SCRATCH) + thread * load_i64(op, SCRATCH_BYTES)
        if count == 1:
            first_block, stop_block = visible_blocks(op, step, 0, 1)
        if stop_block - first_block > 1 and load_i64(op, FURTHER) == 0:
            share_blocks(op, step, threads, first_block, stop_block, scratch)
        else:
            share_queries(op, step, count, threads, scratch)

    return kernel
