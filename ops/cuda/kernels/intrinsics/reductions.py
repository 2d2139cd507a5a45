"""Reductions over the threads of a block, always in the same order."""

from ops.cuda.kernels.intrinsics.arithmetic import divided, plus, root, times
from ops.cuda.kernels.intrinsics.memory import load_float, shared_load_float, shared_store_float
from ops.cuda.kernels.intrinsics.primitives import WARP, Address, Float, Int, f32
from ops.cuda.kernels.intrinsics.warps import (
    barrier,
    shared_memory,
    thread_x,
    threads,
    warp_sum,
)


def block_sum(a: Float, shared: Int) -> Float:
    """The sum, in all threads; `shared` is shared memory for one float per warp."""
    a = warp_sum(a)
    if thread_x() % WARP == 0:
        shared_store_float(shared + 4 * (thread_x() // WARP), a)
    barrier()
    total = f32(0)
    for warp in range(threads() // WARP):
        total = plus(total, shared_load_float(shared + 4 * warp))
    barrier()
    return total


def inverse_rms(x: Address, width: Int, eps: Float) -> Float:
    """1 / √(mean of x² + eps) of a row, in all threads."""
    squares = f32(0)
    for n in range(thread_x(), width, threads()):
        a = load_float(x + 4 * n)
        squares = plus(squares, times(a, a))
    mean = divided(block_sum(squares, shared_memory()), f32(width))
    return divided(f32(1), root(plus(mean, eps)))
