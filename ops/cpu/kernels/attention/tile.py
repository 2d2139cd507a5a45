"""Attention of a tile of queries to a block of 256 positions, over types of keys and values."""

from typing import NamedTuple

import numpy as np

from ops.cpu.kernels.attention.queries import (
    BIASES,
    CAP,
    FARTHEST,
    KEY_WIDTH,
    QUERY_WIDTH,
    RECORDS,
    SCALE,
    SCORES,
    SLOPES,
    STRIDE,
    VALUE_WIDTH,
    Q,
    number,
    own_range,
    query,
    ranges,
)
from ops.cpu.kernels.attention.records import Keys, Values
from ops.cpu.kernels.attention.softmax import (
    MINUS_INFINITY,
    REGISTER,
    exponentiate_scores,
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
from ops.cpu.kernels.simd.memory import load_f32 as load_number
from ops.cpu.kernels.simd.memory import load_f64, load_i32, load_i64
from ops.cpu.kernels.simd.memory import store_f32 as store_number
from ops.cpu.kernels.simd.operations import (
    LANES,
    add,
    broadcast_f32,
    fma,
    load_f32,
    load_rows,
    reduce_add,
    store,
    zeros,
)
from ops.cpu.kernels.simd.tiles import load_tile, store_tile
from ops.cpu.layout import QUERY_BYTES, QUERY_HEAD, QUERY_POSITION
from ops.interface import BLOCK
from ops.state.formats import PANEL


class Place(NamedTuple):
    """Where a kv head's keys and values of a block lie, which begins at position `begin`."""

    begin: int
    keys: int
    values: int
    panel_bytes: int
    row_bytes: int


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
def add_biases(op, queries, scratch, begin, visible):
    """Adds each query's biases by distance to q·k of the block that begins at position `begin`.

    A head's row of biases is repeated by LANES at either end: any register of it may be loaded.
    """
    biases, farthest = load_i64(op, BIASES), load_i64(op, FARTHEST)
    if biases != 0:
        reach = farthest + LANES
        for r in range(tile_size()):
            own, scores = queries + r * QUERY_BYTES, scratch + SCORES + 4 * BLOCK * r
            table = biases + 4 * load_i32(own + QUERY_HEAD, 0) * (2 * reach + 1)
            for s in range(visible[0] - visible[0] % LANES, visible[1], LANES):
                distance = begin + s - load_i32(own + QUERY_POSITION, 0)
                place = min(max(distance, -reach), farthest + 1) + reach
                here = scores + 4 * s
                store(here, add(load_f32(here), load_f32(table + 4 * place)))


def tile_attention(keys: Keys, values: Values):
    """attend(op, block, n, scratch, ahead): softmax(scale · q Kᵀ) V of a tile, as records."""
    product, panel_bytes, scale_bytes = keys.product, values.panel_bytes, values.scale_bytes
    load_values, fetch_values = values.load, values.fetch

    @device
    def scales_of(row, d, i):
        """Where the scales of column i are, and of those behind it."""
        return row + d // LANES * panel_bytes + i // 32 * scale_bytes

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
    def accumulate_values_ragged(op, scratch, block, r, first, stop):
        """For one query: positions that other queries of the tile do not attend to."""
        d, values, row_bytes = load_i64(op, VALUE_WIDTH), block.values, block.row_bytes
        weights = row(scratch + SCORES + 4 * BLOCK * r)
        if first < stop:
            for i in range(0, d, LANES):
                record = row(scratch + RECORDS + r * record_bytes(d) + 4 * i)
                panel, scales = values + i // LANES * panel_bytes, scales_of(values, d, i)
                accumulate_values(weights, record, panel, scales, row_bytes, first, stop, panel)

    @device
    def accumulate_values_shared(op, scratch, block, first, stop, ahead):
        """For all queries of the tile; prefetches from `ahead`, at the offsets that are read."""
        d, values, row_bytes = load_i64(op, VALUE_WIDTH), block.values, block.row_bytes
        records, weights = scratch + RECORDS, tile_of_rows(scratch + SCORES, 4 * BLOCK)
        wide, end = LANES * tile_size(), padded(d)
        many = end - end % wide
        for i in range(0, many, wide):
            to, offset = tile_of_rows(records + 4 * i, record_bytes(d)), i // LANES * panel_bytes
            panels = tile_of_panels(values + offset, panel_bytes)
            scales = scales_of(values, d, i)
            accumulate_values(weights, to, panels, scales, row_bytes, first, stop, ahead + offset)
        for i in range(many, end, LANES):
            to, offset = tile_of_rows(records + 4 * i, record_bytes(d)), i // LANES * panel_bytes
            panel, scales = values + offset, scales_of(values, d, i)
            accumulate_values(weights, to, panel, scales, row_bytes, first, stop, ahead + offset)

    @device
    def score(op, block, numbers, scratch, visible):
        """q·k of each query of the tile with a range of positions, rounded out to tiles."""
        first, stop = visible
        d, width, wide = load_i64(op, KEY_WIDTH), load_i64(op, QUERY_WIDTH), LANES * tile_size()
        last = load_i64(op, Q) + 4 * (width - d)  # the columns that K holds are a query's last
        queries = tile_of_rows_indexed(last, 4 * width, numbers, 1, tile_size())
        for s in range(first - first % wide, stop, wide):
            panel = block.keys + s // PANEL * block.panel_bytes
            next_panel = panel + block.panel_bytes if s + PANEL < stop else block.values
            sums = product(queries, panel, s % PANEL, d, next_panel)
            store_tile(tile_of_rows(scratch + SCORES + 4 * s, 4 * BLOCK), sums)

    @device
    def add_scores_of_values(op, block, numbers, scratch, visible):
        """Where a key begins with its value: adds the products of those columns to the scores.

        A position's row of V is multiplied by all queries of the tile, then the lanes are added.
        """
        d, width = load_i64(op, VALUE_WIDTH), load_i64(op, QUERY_WIDTH)
        queries = tile_of_rows_indexed(load_i64(op, Q), 4 * width, numbers, 1, tile_size())
        lanes = tile_of_rows(scratch + RECORDS, REGISTER)
        for s in range(visible[0], visible[1]):
            here = block.values + s * block.row_bytes
            total = zeros(queries, here)
            for i in range(0, d, LANES):
                v = load_values(here + i // LANES * panel_bytes, scales_of(here, d, i))
                total = fma(load_rows(queries, 4 * i), v, total)
            store_tile(lanes, total)
            for r in range(tile_size()):
                scores = scratch + SCORES + 4 * BLOCK * r
                own = reduce_add(load_f32(scratch + RECORDS + REGISTER * r))
                store_number(scores, s, load_number(scores, s) + own)

    @device
    def attend(op, block, n, scratch, ahead):
        """The records over a block of a tile of queries, from the run's n-th on; `ahead` is read
        next."""
        d, row_bytes, begin = load_i64(op, VALUE_WIDTH), block.row_bytes, block.begin
        queries, numbers = query(op, scratch, n), number(op, scratch, n)
        any_of, all_of = ranges(queries, begin)
        score(op, block, numbers, scratch, any_of)
        if load_i64(op, QUERY_WIDTH) > load_i64(op, KEY_WIDTH):
            add_scores_of_values(op, block, numbers, scratch, any_of)
        add_biases(op, queries, scratch, begin, any_of)
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
            accumulate_values_ragged(op, scratch, block, r, own_first, min(end, first))
        last = max(first, stop - PANEL)
        next_rows = block.values + PANEL * row_bytes
        accumulate_values_shared(op, scratch, block, first, last, next_rows)
        accumulate_values_shared(op, scratch, block, last, stop, ahead - last * row_bytes)
        for r in range(tile_size()):
            own_first, end = own_range(queries, r, begin)
            accumulate_values_ragged(op, scratch, block, r, max(own_first, stop), end)

    return attend
