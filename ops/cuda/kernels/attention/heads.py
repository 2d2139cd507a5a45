"""Heads on their way from the products to attention: normalised, turned, keys and values cached."""

from collections.abc import Callable

from ops.cuda.kernels.attention.cached import KEYS, VALUES, Kind, head_bytes, padded
from ops.cuda.kernels.intrinsics.arithmetic import divided, plus, root, times
from ops.cuda.kernels.intrinsics.kernel import Kernel, kernel
from ops.cuda.kernels.intrinsics.memory import (
    load_address,
    load_float,
    load_int,
    shared_load_float,
    shared_store_float,
    store_float,
)
from ops.cuda.kernels.intrinsics.primitives import WARP, Address, Float, Int, f32, i32
from ops.cuda.kernels.intrinsics.warps import (
    block_x,
    block_y,
    lane,
    shared_memory,
    threads,
    warp,
    warp_barrier,
    warp_sum,
)

THREADS = 128

Put = Callable[[Address, Int, Int, Int, Float], None]
"""(a kv head's piece, position, chunk, padded width, the lane's number)"""


def normalised(x: Address, room: Int, weight: Address, width: Int, eps: Float) -> None:
    """A head at x into shared memory; in the order of `elementwise.rms_norm` with 32 threads."""
    inverse = f32(1)
    if weight != 0:
        squares = f32(0)
        for n in range(lane(), width, WARP):
            squares = plus(squares, times(load_float(x + 4 * n), load_float(x + 4 * n)))
        mean = divided(warp_sum(squares), f32(width))
        inverse = divided(f32(1), root(plus(mean, eps)))
    for n in range(lane(), width, WARP):
        a = load_float(x + 4 * n)
        if weight != 0:
            a = times(times(a, inverse), load_float(weight + 4 * n))
        shared_store_float(room + 4 * n, a)
    warp_barrier()


def turned(room: Int, n: Int, angles: Address, pairs: Int, interleaved: Int) -> Float:
    """Element n of the head in shared memory, turned as by `elementwise.rope`."""
    if n >= 2 * pairs:
        return shared_load_float(room + 4 * n)
    pair, second = n, 0
    first_at, second_at = 0, 0
    if interleaved != 0:
        pair, second = n // 2, n % 2
        first_at, second_at = 8 * pair, 8 * pair + 4
    else:
        if n >= pairs:
            pair, second = n - pairs, 1
        first_at, second_at = 4 * pair, 4 * (pair + pairs)
    a, b = shared_load_float(room + first_at), shared_load_float(room + second_at)
    cosine, sine = load_float(angles + 8 * pair), load_float(angles + 8 * pair + 4)
    if second != 0:
        return plus(times(a, sine), times(b, cosine))
    return plus(times(a, cosine), -times(b, sine))


def make_enter(put: Put, *, prepared: bool) -> Callable[..., None]:
    """A head into the cache, keys after their norm and turn."""

    def enter_row(
        cache: Address,
        place: Int,
        source: Address,
        room: Int,
        width: Int,
        angles: Address,
        pairs: Int,
        interleaved: Int,
    ) -> None:
        size = padded(width)
        for chunk in range(size >> 5):
            n = i32(32 * chunk + lane())
            a = f32(0)
            if n < width:
                if prepared:
                    a = turned(room, n, angles, pairs, interleaved)
                else:
                    a = load_float(source + 4 * n)
            put(cache, place, chunk, size, a)

    return enter_row


def norm_rope_store(keys: Kind, values: Kind) -> Kernel:
    """q to where attention reads it, k and v to their positions in the cache.

    Grid: (H + 2K, tokens / warps a block); a warp a head of a token, shared memory: 4·P bytes a
    warp. q, k, v are (T, heads·d); a norm of 0 and no pairs mean that there is nothing to be done;
    `turn_query` 0: only keys turn. `tables`: (T,) the address of each token's table of blocks;
    `keys_at` and `values_at`: bytes from a block's start to this layer's. A position below 0 is
    that of no token: nothing is stored.
    """
    enter_key = make_enter(KEYS[keys].put, prepared=True)
    enter_value = make_enter(VALUES[values].put, prepared=False)
    key_unit = head_bytes(keys, 32) >> 5  # bytes a head, over its padded width
    value_unit = head_bytes(values, 32) >> 5

    @kernel(THREADS)
    def enter(
        q: Address,
        k: Address,
        v: Address,
        q_out: Address,
        q_norm: Address,
        k_norm: Address,
        angles: Address,
        tables: Address,
        positions: Address,
        keys_at: Address,
        values_at: Address,
        tokens: Int,
        query_heads: Int,
        kv_heads: Int,
        width: Int,
        eps: Float,
        pairs: Int,
        interleaved: Int,
        turn_query: Int,
    ) -> None:
        head, size = block_x(), padded(width)
        token = i32(block_y() * (threads() >> 5) + warp())
        position = i32(-1)
        if token < tokens:
            position = load_int(positions + 4 * token)
        if position >= 0:
            room = i32(shared_memory() + 4 * size * warp())
            turns = angles + 8 * token * pairs
            table = load_address(tables + 8 * token)
            block = load_address(table + 8 * (position >> 8))
            place = i32(position & 255)
            if head < query_heads:
                at = 4 * width * (token * query_heads + head)
                normalised(q + at, room, q_norm, width, eps)
                turning = i32(pairs * turn_query)
                for n in range(lane(), width, WARP):
                    a = turned(room, n, turns, turning, interleaved)
                    store_float(q_out + at + 4 * n, a)
            elif head < query_heads + kv_heads:
                kv_head = i32(head - query_heads)
                source = k + 4 * width * (token * kv_heads + kv_head)
                normalised(source, room, k_norm, width, eps)
                cache = block + keys_at + key_unit * size * kv_head
                enter_key(cache, place, source, room, width, turns, pairs, interleaved)
            else:
                kv_head = i32(head - query_heads - kv_heads)
                source = v + 4 * width * (token * kv_heads + kv_head)
                cache = block + values_at + value_unit * size * kv_head
                enter_value(cache, place, source, room, width, turns, pairs, interleaved)

    return enter


KERNELS: dict[str, Kernel] = {
    f"norm_rope_store_{keys}_{values}": norm_rope_store(keys, values)
    for keys in KEYS
    for values in VALUES
}
