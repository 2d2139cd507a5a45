"""Attention over the cache: block after block in one thread block, or split over several.

A tile is 16 query rows of one kv head. `tiles` is int32 (tiles, 4): first token, number of tokens
(all of one sequence; 0: no tile), part p, unused. Row r is member m = 16p + r: the head m % group
of the kv head's group of query heads, of the tile's token m // group.

A thread's `sums` (2, 2) are m and l of its rows `quad()` and `quad()` + 8 (see `partials`).
"""

from collections.abc import Callable
from itertools import product

from ops.cuda.kernels.activations import store_quantized
from ops.cuda.kernels.attention.cached import KEYS, POSITIONS, VALUES, Kind, head_bytes
from ops.cuda.kernels.attention.partials import (
    NO_SCORE,
    ROWS,
    STRIPE,
    THREADS,
    final_factor,
    last_seen_offset,
    make_accumulate_values,
    make_products,
    mask,
    maxima_offset,
    rescale_factor,
    row_maximum,
    row_sum,
    scale,
    store_maxima,
    store_query_pair,
    store_weights,
    sums_offset,
    tiles_per_warp,
    weighted_sum,
    weights_offset,
)
from ops.cuda.kernels.intrinsics.arithmetic import greater, quotient, remainder, times
from ops.cuda.kernels.intrinsics.fragments import quad, quad_lane
from ops.cuda.kernels.intrinsics.kernel import Kernel, kernel
from ops.cuda.kernels.intrinsics.memory import (
    load_address,
    load_float,
    load_int,
    load_int4,
    shared_load_int,
    shared_store_int,
    store_float,
    store_float2,
)
from ops.cuda.kernels.intrinsics.primitives import Address, Float, Int, f32, i32, local
from ops.cuda.kernels.intrinsics.warps import (
    barrier,
    block_x,
    block_y,
    block_z,
    shared_memory,
    thread_x,
    warp,
)
from ops.cuda.kernels.operands import Attention, MergeAttention, SplitAttention, WholeAttention

WIDTHS = (32, 64, 96, 128, 192, 256)
MERGE_THREADS = 256
FEW_LOADS, MANY_LOADS = 4, 8  # with and without registers for merged results


def blocks(padded_width: int, *, whole: bool) -> int:
    """Thread blocks per multiprocessor: 128 or 168 registers a thread.

    The whole way also keeps its merged results in registers.
    """
    return 4 if padded_width <= 128 and not whole else 3


def record_bytes(padded_width: Int) -> Int:
    """A partial result in scratch: | O (P) | m | l | 8 bytes unused |, float32."""
    return 4 * padded_width + 16


def first_seen(position: Int, window: Int) -> Int:
    return max(0, position - window + 1)


# --- rows


def member(row: Int, tile) -> Int:
    """A row's index among the tokens' heads; beyond the last one there is no row."""
    return i32(ROWS * tile[2] + row)


def head_of(member: Int, group: Int) -> Int:
    return i32(block_x() * group + remainder(member, group))


def place_of(member: Int, tile, op: Attention) -> Int:
    """Index among all (token, head)."""
    token = i32(tile[0] + quotient(member, op.group))
    return i32(token * op.query_heads + head_of(member, op.group))


def query_at(row: Int, tile, op: Attention) -> Address:
    """The address of a row's query; 0 if there is no such row."""
    one = member(row, tile)
    if one < tile[1] * op.group:
        return op.q + 4 * op.width * place_of(one, tile, op)
    return op.q - op.q


def make_load_queries(padded_width: int) -> Callable[..., None]:
    def load_queries(tile, op: Attention) -> None:
        """Loads the tile's queries and each row's last visible position to shared memory."""
        shared = shared_memory()
        for side in range(2):
            row = i32((thread_x() >> 4) + 8 * side)
            source = query_at(row, tile, op)
            for chunk in range(padded_width // 32):
                store_query_pair(source, shared, 2 * chunk + side, op.width)
        if thread_x() < ROWS:
            one, last = member(thread_x(), tile), i32(-1)
            if one < tile[1] * op.group:
                token = tile[0] + quotient(one, op.group)
                last = load_int(op.cache.positions + 4 * token)
            shared_store_int(last_seen_offset(shared, padded_width) + 4 * thread_x(), last)

    return load_queries


def load_tile(tile, op: Attention) -> None:
    tile[0], tile[1], tile[2], tile[3] = load_int4(op.tiles + 16 * block_y())


def seen_range(span, tile, op: Attention) -> None:
    """The first and last position visible to the tile's rows; 0 and -1 without a tile."""
    span[0], span[1] = i32(0), i32(-1)
    for n in range(tile[1]):
        position = load_int(op.cache.positions + 4 * (tile[0] + n))
        first = first_seen(position, op.window)
        span[0] = i32(min(span[0], first)) if n > 0 else i32(first)
        span[1] = i32(max(span[1], position))


# --- partial results


def make_partial(keys: Kind, values: Kind, padded_width: int, loads: int) -> Callable[..., None]:
    """`loads`: a thread's loads in flight at once."""
    products = make_products(KEYS[keys].loads(padded_width, loads), loads)
    load_values = VALUES[values].loads(padded_width)
    accumulate_whole = make_accumulate_values(load_values, padded_width, loads, whole=True)
    accumulate_part = make_accumulate_values(load_values, padded_width, loads, whole=False)
    key_bytes, value_bytes = head_bytes(keys, padded_width), head_bytes(values, padded_width)

    def partial(table: Address, block: Int, span, op: Attention, sums, o) -> None:
        """The partial results m, l (`sums`) and O of one block; `span`: from `seen_range`."""
        start = i32(POSITIONS * block)
        base = load_address(table + 8 * block)
        key_place = base + op.cache.keys + key_bytes * block_x()
        value_place = base + op.cache.values + value_bytes * block_x()
        first, last = span[0], span[1]
        shared, s = shared_memory(), local.array(32, f32)
        maxima, weights = maxima_offset(shared, padded_width), weights_offset(shared, padded_width)
        sums_place = sums_offset(shared, padded_width)
        mine = i32(16 * quad())
        stripe = i32(start + STRIPE * warp())
        for n in range(32):
            s[n] = f32(0)
        if stripe <= last and stripe + STRIPE > first:
            products(key_place, shared, op.width + 31 >> 5, s)
        scale(s, op.factor, op.cap)
        mask(s, start, op.window, last_seen_offset(shared, padded_width))
        store_maxima(s, maxima)
        barrier()
        sums[0], sums[2] = row_maximum(maxima + mine), row_maximum(maxima + mine + 128)
        store_weights(s, weights, sums_place, sums[0], sums[2])
        barrier()
        sums[1], sums[3] = row_sum(sums_place + mine), row_sum(sums_place + mine + 128)
        if start + POSITIONS - 1 <= last:
            accumulate_whole(value_place, weights, last - start, o)
        else:
            accumulate_part(value_place, weights, last - start, o)

    return partial


def make_merge(padded_width: int) -> Callable[..., None]:
    tiles = tiles_per_warp(padded_width)

    def merge_partial(sums, total, other, o) -> None:
        """Merges a block's partial results into those of the blocks before it."""
        for side in range(0, 4, 2):
            if other[side] > f32(NO_SCORE):
                greatest = greater(sums[side], other[side])
                a, b = rescale_factor(sums[side], greatest), rescale_factor(other[side], greatest)
                sums[side] = greatest
                sums[side + 1] = weighted_sum(sums[side + 1], a, other[side + 1], b)
                for n in range(side, 8 * tiles, 4):
                    total[n] = weighted_sum(total[n], a, o[n], b)
                    total[n + 1] = weighted_sum(total[n + 1], a, o[n + 1], b)

    return merge_partial


def make_store(padded_width: int) -> Callable[..., None]:
    tiles = tiles_per_warp(padded_width)

    def store(row: Address, o, side: Int, factor: Float, width: Int) -> None:
        """Stores this thread's part of a row of O."""
        dimension = i32(16 * tiles * warp() + 2 * quad_lane())
        for n in range(2 * tiles):
            if dimension + 8 * n < width:
                a, b = o[4 * n + side], o[4 * n + side + 1]
                store_float2(row + 4 * (dimension + 8 * n), times(a, factor), times(b, factor))

    return store


# --- kernels


def attention_whole(keys: Kind, values: Kind, padded_width: int) -> Kernel:
    """Grid: (K, tiles)."""
    partial = make_partial(keys, values, padded_width, FEW_LOADS)
    load_queries = make_load_queries(padded_width)
    merge_partial, store = make_merge(padded_width), make_store(padded_width)
    count = 8 * tiles_per_warp(padded_width)

    @kernel(THREADS, blocks(padded_width, whole=True))
    def whole(operands: WholeAttention) -> None:
        op = operands.attention
        tile, span = local.array(4, i32), local.array(2, i32)
        load_tile(tile, op)
        if tile[1] != 0:
            seen_range(span, tile, op)
            load_queries(tile, op)
            sums, total = local.array(4, f32), local.array(count, f32)
            other, o = local.array(4, f32), local.array(count, f32)
            for n in range(count):
                total[n] = f32(0)
            sums[0], sums[1], sums[2], sums[3] = f32(NO_SCORE), f32(0), f32(NO_SCORE), f32(0)
            table = load_address(op.cache.tables + 8 * tile[0])
            barrier()
            for block in range(i32(span[0] >> 8), i32((span[1] >> 8) + 1)):
                partial(table, block, span, op, other, o)
                merge_partial(sums, total, other, o)
            for side in range(0, 4, 2):
                one = member(quad() + 4 * side, tile)
                if one < tile[1] * op.group:
                    place = operands.y + 4 * op.width * place_of(one, tile, op)
                    head = head_of(one, op.group)
                    share = final_factor(sums[side], sums[side + 1], operands.sinks, head)
                    store(place, total, side, share, op.width)

    return whole


def attention_split(keys: Kind, values: Kind, padded_width: int) -> Kernel:
    """Grid: (K, tiles, slots)."""
    partial, store = make_partial(keys, values, padded_width, MANY_LOADS), make_store(padded_width)
    load_queries = make_load_queries(padded_width)
    count = 8 * tiles_per_warp(padded_width)

    @kernel(THREADS, blocks(padded_width, whole=False))
    def split(operands: SplitAttention) -> None:
        op, slots = operands.attention, operands.slots
        tile, span = local.array(4, i32), local.array(2, i32)
        load_tile(tile, op)
        seen_range(span, tile, op)
        if (span[0] >> 8) + block_z() <= span[1] >> 8:
            load_queries(tile, op)
            sums, o = local.array(4, f32), local.array(count, f32)
            table = load_address(op.cache.tables + 8 * tile[0])
            last_seen = last_seen_offset(shared_memory(), padded_width)
            barrier()
            for block in range(i32((span[0] >> 8) + block_z()), i32((span[1] >> 8) + 1), slots):
                partial(table, block, span, op, sums, o)
                for side in range(0, 4, 2):
                    last = shared_load_int(last_seen + 4 * (quad() + 4 * side))
                    slot = i32(block - (first_seen(last, op.window) >> 8))
                    if slot >= 0 and block <= last >> 8:
                        one = member(quad() + 4 * side, tile)
                        place = place_of(one, tile, op) * slots + slot
                        record = operands.scratch + record_bytes(padded_width) * place
                        store(record, o, side, f32(1), op.width)
                        if quad_lane() == 0 and warp() == 0:
                            ends = record + 4 * padded_width
                            store_float2(ends, sums[side], sums[side + 1])

    return split


@kernel(MERGE_THREADS)
def attention_merge(op: MergeAttention) -> None:
    """Grid: (H, T); one thread per dimension. Merges the records of `attention_split` in order."""
    head, token, n = block_x(), block_y(), thread_x()
    position = load_int(op.positions + 4 * token)
    if position >= 0 and n < op.width:
        place = token * op.query_heads + head
        record = op.scratch + record_bytes(op.padded_width) * place * op.slots
        m, total, o = f32(NO_SCORE), f32(0), f32(0)
        first = first_seen(position, op.window) >> 8
        for _ in range(first, (position >> 8) + 1):
            other, part = load_float(record + 4 * n), load_float(record + 4 * op.padded_width)
            more = load_float(record + 4 * op.padded_width + 4)
            if part > f32(NO_SCORE):
                greatest = greater(m, part)
                a, b = rescale_factor(m, greatest), rescale_factor(part, greatest)
                m, total = greatest, weighted_sum(total, a, more, b)
                o = weighted_sum(o, a, other, b)
            record += record_bytes(op.padded_width)
        result = times(o, final_factor(m, total, op.sinks, head))
        if op.quantized != 0:
            row = op.query_heads * op.width
            row_at = op.quantized + token * (row + row // 2)
            store_quantized(row_at, row, i32((head * op.width + n) // 32), result)
        else:
            store_float(op.y + 4 * (place * op.width + n), result)


def every_kernel() -> dict[str, Kernel]:
    made = {"attention_merge": attention_merge}
    for keys, values, width in product(KEYS, VALUES, WIDTHS):
        suffix = f"{keys}_{values}_{width}"
        made[f"attention_whole_{suffix}"] = attention_whole(keys, values, width)
        made[f"attention_split_{suffix}"] = attention_split(keys, values, width)
    return made


KERNELS = every_kernel()
