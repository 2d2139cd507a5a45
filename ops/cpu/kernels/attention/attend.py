"""Attention over the KV cache: every key and value that is loaded is used by a tile of queries.

The queries of a kv head are its group of query heads for the first token, then for the next. A tile
of them goes through a block of 256 positions: scores, softmax, weighted sum of V, as partial
results (softmax.py). With one token the threads share the blocks, otherwise the queries.
"""

from ops.cpu.kernels.attention.cached import KEYS, VALUES
from ops.cpu.kernels.attention.queries import (
    COUNTERS,
    FURTHER,
    GROUP,
    HEADS,
    KEY_OFFSET,
    MOST_QUERIES,
    PANEL_BYTES,
    RECORDS,
    ROW_BYTES,
    ROWS_STEP,
    SCRATCH,
    SCRATCH_BYTES,
    SINKS,
    VALUE_OFFSET,
    VALUE_WIDTH,
    Y,
    blocks_of,
    describe_queries,
    unpacked_values,
    visible,
    visible_to_any,
)
from ops.cpu.kernels.attention.softmax import (
    MINUS_INFINITY,
    ONE,
    REGISTER,
    ZERO,
    finish,
    merge,
    record_bytes,
    start,
)
from ops.cpu.kernels.attention.tile import Place, tile_attention
from ops.cpu.kernels.simd.addresses import row, tile_size
from ops.cpu.kernels.simd.compiler import device
from ops.cpu.kernels.simd.memory import (
    PARTS_PER_THREAD,
    atomic_add,
    atomic_store,
    claim,
    load_i32,
    load_i64,
    part_size,
    parts_of,
)
from ops.cpu.kernels.simd.memory import load_f32 as load_number
from ops.cpu.kernels.simd.operations import LANES, load_f32, store
from ops.cpu.layout import RUN_STARTS, RUNS, TABLES, TILE_LIMIT, TOKENS
from ops.interface import BLOCK
from ops.state.formats import PANEL

UNPACKED_TILES = 4  # of queries, that read scaled values faster if these are unpacked once


@device
def start_record(op, record, h):
    """An empty record: only the head's sink counts so far."""
    sinks = load_i64(op, SINKS)
    if sinks != 0:
        start(row(record), load_i64(op, VALUE_WIDTH), load_number(sinks, h), ONE)
    else:
        start(row(record), load_i64(op, VALUE_WIDTH), MINUS_INFINITY, ZERO)


@device
def place_of(op, table, b, kv):
    """Where a kv head's keys and values of block b lie."""
    address = load_i64(table, b)
    panel_bytes, row_bytes = load_i64(op, PANEL_BYTES), load_i64(op, ROW_BYTES)
    keys = address + load_i64(op, KEY_OFFSET) + BLOCK // PANEL * panel_bytes * kv
    values = address + load_i64(op, VALUE_OFFSET) + BLOCK * row_bytes * kv
    return Place(b * BLOCK, keys, values, panel_bytes, row_bytes)


def add_tiles(attend):
    """add(op, block, seen, count, scratch, ahead, records): merges what `count` queries find in a
    block with their records. `seen` is the range of the block that any of them attends to.
    """

    @device
    def add(op, block, seen, count, scratch, ahead, records):
        d, tile = load_i64(op, VALUE_WIDTH), tile_size()
        size, parts = record_bytes(d), scratch + RECORDS
        for n in range(0, count, tile):
            attend(op, block, n, scratch, ahead)
            for r in range(min(tile, count - n)):
                merge(records + (n + r) * size, parts + r * size, d)

    return add


def add_unpacked(attend, attend_floats, values):
    """As `add_tiles`; for several tiles the values that are seen are unpacked once."""
    add_as_kept, add_floats = add_tiles(attend), add_tiles(attend_floats)
    load, panel_bytes, scale_bytes = values.load, values.panel_bytes, values.scale_bytes

    @device
    def unpack(block, seen, d, out):
        for s in range(seen[0], seen[1]):
            panels = block.values + s * block.row_bytes
            scales = panels + d // LANES * panel_bytes
            for i in range(0, d, LANES):
                panel = panels + i // LANES * panel_bytes
                store(out + 4 * (d * s + i), load(panel, scales + i // 32 * scale_bytes))

    @device
    def add(op, block, seen, count, scratch, ahead, records):
        if count < UNPACKED_TILES * tile_size():
            add_as_kept(op, block, seen, count, scratch, ahead, records)
        else:
            d, out = load_i64(op, VALUE_WIDTH), unpacked_values(op, scratch)
            unpack(block, seen, d, out)
            floats = Place(block.begin, block.keys, out, block.panel_bytes, 4 * d)
            add_floats(op, floats, seen, count, scratch, ahead, records)

    return add


def attention(keys, values):
    """softmax(scale · q Kᵀ) V for each token and head, over one type of keys and one of values."""
    attend = tile_attention(KEYS[keys], VALUES[values])
    if VALUES[values].scale_bytes > 0:
        attend_floats = tile_attention(KEYS[keys], VALUES["f32"])
        add = add_unpacked(attend, attend_floats, VALUES[values])
    else:
        add = add_tiles(attend)

    @device
    def add_blocks(op, step, kv, first, last, scratch, records):
        """Merges what the queries find in each block with their records."""
        group = load_i64(op, GROUP)
        lowest, highest = visible_to_any(op, step, first // group, (last - 1) // group + 1)
        first_block, stop_block = blocks_of(lowest, highest)
        table = load_i64(load_i64(step, TABLES), first // group)
        describe_queries(op, step, kv, first, last, scratch)
        for b in range(first_block, stop_block):
            block = place_of(op, table, b, kv)
            ahead = place_of(op, table, min(b + 1, stop_block - 1), kv).keys
            seen = max(lowest - block.begin, 0), min(highest - block.begin, BLOCK)
            add(op, block, seen, last - first, scratch, ahead, records)

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
                ahead = place_of(op, table, first_block + after % blocks, after // blocks).keys
                describe_queries(op, step, kv, 0, group, scratch)
                block = place_of(op, table, b, kv)
                for n in range(0, group, tile_size()):
                    attend(op, block, n, scratch, ahead)
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
            first, stop = visible(op, step, 0)
            first_block, stop_block = blocks_of(first, stop)
        if stop_block - first_block > 1 and load_i64(op, FURTHER) == 0:
            share_blocks(op, step, threads, first_block, stop_block, scratch)
        else:
            share_queries(op, step, count, threads, scratch)

    return kernel
