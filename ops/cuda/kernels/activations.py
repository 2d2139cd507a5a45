"""Quantization of activations for products with packed weights: blocks of 32 signed bytes.

A row of N: | N bytes | for each 32 of them: scale f32, scale · their sum f32, 8 bytes unused |
"""

from ops.cuda.kernels.intrinsics.arithmetic import (
    as_float,
    divided,
    magnitude,
    nearest,
    times,
)
from ops.cuda.kernels.intrinsics.kernel import kernel
from ops.cuda.kernels.intrinsics.memory import load_float, store_byte, store_float
from ops.cuda.kernels.intrinsics.primitives import WARP, Address, Float, Int, f32
from ops.cuda.kernels.intrinsics.reductions import inverse_rms
from ops.cuda.kernels.intrinsics.warps import (
    block_x,
    block_y,
    thread_x,
    threads,
    warp_maximum,
    warp_sum,
)
from ops.cuda.kernels.operands import Norm

BLOCK_BYTES = 48
THREADS = 256
NORM_THREADS = 512


def store_quantized(y: Address, width: Int, block: Int, a: Float) -> None:
    """Stores a warp's 32 numbers as block `block` of the row at y."""
    lane = thread_x() % WARP
    largest = warp_maximum(magnitude(a))
    inverse = f32(0)
    if largest > f32(0):
        inverse = divided(f32(127), largest)
    level = nearest(times(a, inverse))
    store_byte(y + block * 32 + lane, level)
    total = warp_sum(as_float(level))  # whole numbers: exact
    if lane == 0:
        scale, place = divided(largest, f32(127)), y + width + block * 16
        store_float(place, scale)
        store_float(place + 4, times(scale, total))


@kernel(THREADS)
def quantize(x: Address, y: Address, width: Int) -> None:
    """One warp per block of 32; thread blocks along y are rows."""
    row, block = block_y(), block_x() * (THREADS // WARP) + thread_x() // WARP
    if block < width // 32:
        a = load_float(x + 4 * (row * width + block * 32 + thread_x() % WARP))
        store_quantized(y + row * (width + width // 2), width, block, a)


@kernel(NORM_THREADS)
def rms_norm_quantize(op: Norm) -> None:
    """One thread block per row; shared memory: one float per warp."""
    row, width = block_x(), op.width
    x, y = op.x + 4 * row * width, op.y + row * (width + width // 2)
    inverse = inverse_rms(x, width, op.eps)
    for n in range(thread_x(), width, threads()):  # whole warps: a row is a multiple of 32
        a = times(times(load_float(x + 4 * n), inverse), load_float(op.weight + 4 * n))
        store_quantized(y, width, n // 32, a)
