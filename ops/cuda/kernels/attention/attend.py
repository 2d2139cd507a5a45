"""Attention over the blocks of the cache: block by block in one thread block, or split over many.

A tile is 16 rows of one kv head. `tiles` is int32 (tiles, 4): a tile's first token, how many there
are (all of one sequence; 0: no tile), a part p, unused. Row r is member m = 16p + r: the head
m % group, of the kv head's group of query heads, of the tile's token m // group.

A thread's `sums` (2, 2) are m and l of its rows `quad()` and `quad()` + 8 (see `partials`).
"""

from collections.abc import Callable
from itertools import product

from ops.cuda.kernels.activations import store_quantized
from ops.cuda.kernels.attention.cached import KEYS, POSITIONS, VALUES, Kind, head_bytes
from ops.cuda.kernels.attention.partials import (
    NOTHING,
    ROWS,
    STRIPE,
    THREADS,
    greatest_of_row,
    last_factor,
    last_seen_at,
    make_products,
    make_weigh,
    mask,
    maxima_at,
    merged,
    scale,
    shrunk,
    store_maxima,
    store_query_pair,
    store_weights,
    sum_of_row,
    sums_at,
    tiles_a_warp,
    weights_at,
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
FEW_LOADS, MANY_LOADS = 4, 8  # where merged results take registers, too, and where they do not


def blocks(padded_width: int, *, whole: bool) -> int:
    """How many thread blocks a processor takes at once: 128 or 168 registers a thread.

    What has been merged so far takes registers, too.
    """
    return 4 if padded_width <= 128 and not whole else 3


def record_bytes(padded_width: Int) -> Int:
    """A partial result in scratch: | O (P) | m | l | 8 bytes unused |, float32."""
    return 4 * padded_width + 16


def first_seen(position: Int, window: Int) -> Int:
    return max(0, position - window + 1)


# --- rows


def member(row: Int, tile) -> Int:
    """A row's place among the tokens' heads; beyond the last: it is no row."""
    return i32(ROWS * tile[2] + row)


def head_of(member: Int, group: Int) -> Int:
    return i32(block_x() * group + remainder(member, group))


def place_of(member: Int, tile, op: Attention) -> Int:
    """Among all (token, head)."""
    token = i32(tile[0] + quotient(member, op.group))
    return i32(token * op.query_heads + head_of(member, op.group))


def query_at(row: Int, tile, op: Attention) -> Address:
    """Where a row's query begins; 0: there is no such row."""
    one = member(row, tile)
    if one < tile[1] * op.group:
        return op.q + 4 * op.width * place_of(one, tile, op)
    return op.q - op.q


def make_enter_queries(padded_width: int) -> Callable[..., None]:
    def enter_queries(tile, op: Attention) -> None:
        """The tile's queries, and the last position that each row sees, to shared memory."""
        room = shared_memory()
        for side in range(2):
            row = i32((thread_x() >> 4) + 8 * side)
            source = query_at(row, tile, op)
            for chunk in range(padded_width // 32):
                store_query_pair(source, room, 2 * chunk + side, op.width)
        if thread_x() < ROWS:
            one, last = member(thread_x(), tile), i32(-1)
            if one < tile[1] * op.group:
                token = tile[0] + quotient(one, op.group)
                last = load_int(op.cache.positions + 4 * token)
            shared_store_int(last_seen_at(room, padded_width) + 4 * thread_x(), last)

    return enter_queries


def load_tile(tile, op: Attention) -> None:
    tile[0], tile[1], tile[2], tile[3] = load_int4(op.tiles + 16 * block_y())


def spans(span, tile, op: Attention) -> None:
    """The first and the last position that a tile's rows see; of no tile: 0, -1."""
    span[0], span[1] = i32(0), i32(-1)
    for n in range(tile[1]):
        position = load_int(op.cache.positions + 4 * (tile[0] + n))
        first = first_seen(position, op.window)
        span[0] = i32(min(span[0], first)) if n > 0 else i32(first)
        span[1] = i32(max(span[1], position))


# --- partial results


def make_partial(keys: Kind, values: Kind, padded_width: int, loads: int) -> Callable[..., None]:
    """`loads`: how many of a thread's loads are under way together."""
    products = make_products(KEYS[keys].loads(padded_width, loads), loads)
    load_values = VALUES[values].loads(padded_width)
    weigh_whole = make_weigh(load_values, padded_width, loads, whole=True)
    weigh_part = make_weigh(load_values, padded_width, loads, whole=False)
    key_bytes, value_bytes = head_bytes(keys, padded_width), head_bytes(values, padded_width)

    def partial(table: Address, block: Int, span, op: Attention, sums, o) -> None:
        """Of one block of a sequence; `span`: what the tile sees."""
        start = i32(POSITIONS * block)
        base = load_address(table + 8 * block)
        key_place = base + op.cache.keys + key_bytes * block_x()
        value_place = base + op.cache.values + value_bytes * block_x()
        first, last = span[0], span[1]
        room, s = shared_memory(), local.array(32, f32)
        maxima, weights = maxima_at(room, padded_width), weights_at(room, padded_width)
        sums_place = sums_at(room, padded_width)
        mine = i32(16 * quad())
        stripe = i32(start + STRIPE * warp())
        for n in range(32):
            s[n] = f32(0)
        if stripe <= last and stripe + STRIPE > first:
            products(key_place, room, op.width + 31 >> 5, s)
        scale(s, op.factor, op.cap)
        mask(s, start, op.window, last_seen_at(room, padded_width))
        store_maxima(s, maxima)
        barrier()
        sums[0], sums[2] = greatest_of_row(maxima + mine), greatest_of_row(maxima + mine + 128)
        store_weights(s, weights, sums_place, sums[0], sums[2])
        barrier()
        sums[1], sums[3] = sum_of_row(sums_place + mine), sum_of_row(sums_place + mine + 128)
        if start + POSITIONS - 1 <= last:
            weigh_whole(value_place, weights, last - start, o)
        else:
            weigh_part(value_place, weights, last - start, o)

    return partial


def make_absorb(padded_width: int) -> Callable[..., None]:
    tiles = tiles_a_warp(padded_width)

    def absorb(sums, total, other, o) -> None:
        """A block's partial results join those of the blocks before it."""
        for side in range(0, 4, 2):
            if other[side] > f32(NOTHING):
                greatest = greater(sums[side], other[side])
                a, b = shrunk(sums[side], greatest), shrunk(other[side], greatest)
                sums[side] = greatest
                sums[side + 1] = merged(sums[side + 1], a, other[side + 1], b)
                for n in range(side, 8 * tiles, 4):
                    total[n] = merged(total[n], a, o[n], b)
                    total[n + 1] = merged(total[n + 1], a, o[n + 1], b)

    return absorb


def make_store(padded_width: int) -> Callable[..., None]:
    tiles = tiles_a_warp(padded_width)

    def store(at: Address, o, side: Int, factor: Float, width: Int) -> None:
        """This thread's part of a row of O."""
        dimension = i32(16 * tiles * warp() + 2 * quad_lane())
        for n in range(2 * tiles):
            if dimension + 8 * n < width:
                a, b = o[4 * n + side], o[4 * n + side + 1]
                store_float2(at + 4 * (dimension + 8 * n), times(a, factor), times(b, factor))

    return store


# --- kernels


def attention_whole(keys: Kind, values: Kind, padded_width: int) -> Kernel:
    """Grid: (K, tiles)."""
    partial = make_partial(keys, values, padded_width, FEW_LOADS)
    enter_queries = make_enter_queries(padded_width)
    absorb, store = make_absorb(padded_width), make_store(padded_width)
    count = 8 * tiles_a_warp(padded_width)

    @kernel(THREADS, blocks(padded_width, whole=True))
    def whole(operands: WholeAttention) -> None:
        op = operands.attention
        tile, span = local.array(4, i32), local.array(2, i32)
        load_tile(tile, op)
        if tile[1] != 0:
            spans(span, tile, op)
            enter_queries(tile, op)
            sums, total = local.array(4, f32), local.array(count, f32)
            other, o = local.array(4, f32), local.array(count, f32)
            for n in range(count):
                total[n] = f32(0)
            sums[0], sums[1], sums[2], sums[3] = f32(NOTHING), f32(0), f32(NOTHING), f32(0)
            table = load_address(op.cache.tables + 8 * tile[0])
            barrier()
            for block in range(i32(span[0] >> 8), i32((span[1] >> 8) + 1)):
                partial(table, block, span, op, other, o)
                absorb(sums, total, other, o)
            for side in range(0, 4, 2):
                one = member(quad() + 4 * side, tile)
                if one < tile[1] * op.group:
                    place = operands.y + 4 * op.width * place_of(one, tile, op)
                    head = head_of(one, op.group)
                    share = last_factor(sums[side], sums[side + 1], operands.sinks, head)
                    store(place, total, side, share, op.width)

    return whole


def attention_split(keys: Kind, values: Kind, padded_width: int) -> Kernel:
    """Grid: (K, tiles, slots)."""
    partial, store = make_partial(keys, values, padded_width, MANY_LOADS), make_store(padded_width)
    enter_queries = make_enter_queries(padded_width)
    count = 8 * tiles_a_warp(padded_width)

    @kernel(THREADS, blocks(padded_width, whole=False))
    def split(operands: SplitAttention) -> None:
        op, slots = operands.attention, operands.slots
        tile, span = local.array(4, i32), local.array(2, i32)
        load_tile(tile, op)
        spans(span, tile, op)
        if (span[0] >> 8) + block_z() <= span[1] >> 8:
            enter_queries(tile, op)
            sums, o = local.array(4, f32), local.array(count, f32)
            table = load_address(op.cache.tables + 8 * tile[0])
            last_seen = last_seen_at(shared_memory(), padded_width)
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
        m, total, o = f32(NOTHING), f32(0), f32(0)
        first = first_seen(position, op.window) >> 8
        for _ in range(first, (position >> 8) + 1):
            other, part = load_float(record + 4 * n), load_float(record + 4 * op.padded_width)
            more = load_float(record + 4 * op.padded_width + 4)
            if part > f32(NOTHING):
                greatest = greater(m, part)
                a, b = shrunk(m, greatest), shrunk(part, greatest)
                m, total, o = greatest, merged(total, a, more, b), merged(o, a, other, b)
            record += record_bytes(op.padded_width)
        result = times(o, last_factor(m, total, op.sinks, head))
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
