"""Sums over the threads of a block, always in the same order."""

from ops.cuda.kernels.intrinsics.arithmetic import plus
from ops.cuda.kernels.intrinsics.memory import shared_load_float, shared_store_float
from ops.cuda.kernels.intrinsics.primitives import WARP, Float, Int, f32
from ops.cuda.kernels.intrinsics.warps import barrier, thread_x, threads, warp_sum


def block_sum(a: Float, room: Int) -> Float:
    """The same in all threads; `room` is shared memory for a float a warp."""
    a = warp_sum(a)
    if thread_x() % WARP == 0:
        shared_store_float(room + 4 * (thread_x() // WARP), a)
    barrier()
    total = f32(0)
    for warp in range(threads() // WARP):
        total = plus(total, shared_load_float(room + 4 * warp))
    barrier()
    return total
