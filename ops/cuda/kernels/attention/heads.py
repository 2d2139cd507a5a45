"""Heads between the products and attention: norms, rotations, storing of keys and values."""

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
from ops.cuda.kernels.operands import NormRopeStore, Rotation

THREADS = 128

Put = Callable[[Address, Int, Int, Int, Float], None]
"""(address of the kv head, position, chunk, padded width, the lane's element)"""


def load_normalised(x: Address, shared: Int, weight: Address, width: Int, eps: Float) -> None:
    """The head at x with its norm, to shared memory; sums like `elementwise.rms_norm`."""
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
        shared_store_float(shared + 4 * n, a)
    warp_barrier()


def of_token(rotation: Rotation, token: Int) -> Rotation:
    """The rotation with the angles of one token."""
    angles = rotation.angles + 8 * token * rotation.pairs
    return Rotation(angles, rotation.pairs, rotation.interleaved, rotation.query)


def rotated(shared: Int, n: Int, rotation: Rotation) -> Float:
    """Element n of the head in shared memory, rotated as by `elementwise.rope`."""
    angles, pairs = rotation.angles, rotation.pairs
    if n >= 2 * pairs:
        return shared_load_float(shared + 4 * n)
    pair, second = n, 0
    first, other = 0, 0
    if rotation.interleaved != 0:
        pair, second = n // 2, n % 2
        first, other = 8 * pair, 8 * pair + 4
    else:
        if n >= pairs:
            pair, second = n - pairs, 1
        first, other = 4 * pair, 4 * (pair + pairs)
    a, b = shared_load_float(shared + first), shared_load_float(shared + other)
    cosine, sine = load_float(angles + 8 * pair), load_float(angles + 8 * pair + 4)
    if second != 0:
        return plus(times(a, sine), times(b, cosine))
    return plus(times(a, cosine), -times(b, sine))


def make_store(put: Put, *, prepared: bool) -> Callable[..., None]:
    """Stores a head into the cache; `prepared`: from shared memory, after its norm and rotation."""

    def store_head(
        cache: Address, slot: Int, source: Address, shared: Int, width: Int, rotation: Rotation
    ) -> None:
        size = padded(width)
        for chunk in range(size >> 5):
            n = i32(32 * chunk + lane())
            a = f32(0)
            if n < width:
                a = rotated(shared, n, rotation) if prepared else load_float(source + 4 * n)
            put(cache, slot, chunk, size, a)

    return store_head


def norm_rope_store(keys: Kind, values: Kind) -> Kernel:
    """q to where attention reads it, k and v to their positions in the cache.

    Grid: (H + 2K, tokens / warps a block); one warp per head and token, shared memory: 4·P bytes a
    warp. Padding rows, whose position is negative, store nothing.
    """
    store_key = make_store(KEYS[keys].put, prepared=True)
    store_value = make_store(VALUES[values].put, prepared=False)
    key_unit = head_bytes(keys, 32) >> 5  # bytes a head, over its padded width
    value_unit = head_bytes(values, 32) >> 5

    @kernel(THREADS)
    def store_heads(op: NormRopeStore) -> None:
        head, width, size = block_x(), op.width, padded(op.width)
        token = i32(block_y() * (threads() >> 5) + warp())
        position = i32(-1)
        if token < op.tokens:
            position = load_int(op.cache.positions + 4 * token)
        if position >= 0:
            shared = i32(shared_memory() + 4 * size * warp())
            rotation = of_token(op.rotation, token)
            table = load_address(op.cache.tables + 8 * token)
            block = load_address(table + 8 * (position >> 8))
            slot = i32(position & 255)
            if head < op.query_heads:
                offset = 4 * width * (token * op.query_heads + head)
                load_normalised(op.rows.q + offset, shared, op.norms.q, width, op.norms.eps)
                pairs = i32(rotation.pairs * rotation.query)
                q_rotation = Rotation(rotation.angles, pairs, rotation.interleaved, 1)
                for n in range(lane(), width, WARP):
                    store_float(op.rows.q_out + offset + 4 * n, rotated(shared, n, q_rotation))
            elif head < op.query_heads + op.kv_heads:
                kv_head = i32(head - op.query_heads)
                source = op.rows.k + 4 * width * (token * op.kv_heads + kv_head)
                load_normalised(source, shared, op.norms.k, width, op.norms.eps)
                cache = block + op.cache.keys + key_unit * size * kv_head
                store_key(cache, slot, source, shared, width, rotation)
            else:
                kv_head = i32(head - op.query_heads - op.kv_heads)
                source = op.rows.v + 4 * width * (token * op.kv_heads + kv_head)
                cache = block + op.cache.values + value_unit * size * kv_head
                store_value(cache, slot, source, shared, width, rotation)

    return store_heads


KERNELS: dict[str, Kernel] = {
    f"norm_rope_store_{keys}_{values}": norm_rope_store(keys, values)
    for keys in KEYS
    for values in VALUES
}
