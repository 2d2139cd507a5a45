"""The largest logits of each row, so that the host need not read all of them."""

from ops.cuda.kernels.intrinsics.arithmetic import bits_of
from ops.cuda.kernels.intrinsics.kernel import kernel
from ops.cuda.kernels.intrinsics.memory import (
    load_float,
    load_int2,
    shared_load_int,
    shared_store_int,
    store_int,
)
from ops.cuda.kernels.intrinsics.primitives import Address, Float, Int, i32
from ops.cuda.kernels.intrinsics.warps import (
    barrier,
    block_x,
    block_y,
    blocks_x,
    shared_memory,
    thread_x,
)

THREADS, STRETCH, KEPT = 512, 1024, 64
LEAST, MOST = -0x80000000, 0x7FFFFFFF
IDS = 4 * STRETCH  # offset in shared memory


def key_of(number: Float) -> Int:
    """An int32 in the order of the floats; NaN gives the largest."""
    bits = bits_of(number)
    if number != number:
        return i32(MOST)
    if bits < 0:
        return i32(bits ^ MOST)
    return bits


@kernel(THREADS)
def largest(x: Address, out: Address, width: Int, pairs: Int) -> None:
    """Thread blocks along x are stretches of 1024, along y rows; each stores its 64 largest.

    x (rows, width) are floats, or with `pairs` results of this kernel: (key, id), two int32 each.
    A bitonic sort (Batcher 1968). Shared: 8 KiB.
    """
    shared, t = shared_memory(), thread_x()
    for half in range(2):
        place = t + half * THREADS
        index = block_x() * STRETCH + place
        key, number = i32(LEAST), i32(MOST)
        if index < width:
            if pairs != 0:
                key, number = load_int2(x + 8 * (block_y() * width + index))
            else:
                key, number = key_of(load_float(x + 4 * (block_y() * width + index))), i32(index)
        shared_store_int(shared + 4 * place, key)
        shared_store_int(shared + IDS + 4 * place, number)
    barrier()
    size = 2
    while size <= STRETCH:
        stride = size // 2
        while stride > 0:
            first = 2 * t - (t & (stride - 1))
            exchange(i32(shared + 4 * first), i32(4 * stride), i32(first & size))
            barrier()
            stride = stride // 2
        size = size * 2
    if t < KEPT:
        target = out + 8 * ((block_y() * blocks_x() + block_x()) * KEPT + t)
        store_int(target, shared_load_int(shared + 4 * t))
        store_int(target + 4, shared_load_int(shared + IDS + 4 * t))


def exchange(place: Int, away: Int, reverse: Int) -> None:
    """Orders two entries: the better one first, or last if `reverse`."""
    a, b = shared_load_int(place), shared_load_int(place + away)
    m, n = shared_load_int(place + IDS), shared_load_int(place + IDS + away)
    better = i32(0)
    if b > a or (b == a and n < m):
        better = i32(1)
    wanted = i32(1)
    if reverse != 0:
        wanted = i32(0)
    if better == wanted:
        shared_store_int(place, b)
        shared_store_int(place + away, a)
        shared_store_int(place + IDS, n)
        shared_store_int(place + IDS + away, m)
