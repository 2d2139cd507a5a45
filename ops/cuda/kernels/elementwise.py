"""Operators over rows of floats: maps, norms, rotations."""

from collections.abc import Callable

from ops.cuda.kernels.intrinsics.arithmetic import (
    cos_sin,
    divided,
    greater,
    lesser,
    logarithm,
    plus,
    root,
    times,
)
from ops.cuda.kernels.intrinsics.functions import tanh
from ops.cuda.kernels.intrinsics.kernel import Kernel, kernel
from ops.cuda.kernels.intrinsics.memory import load_float, load_int, store_float
from ops.cuda.kernels.intrinsics.primitives import Address, Float, Int, f32
from ops.cuda.kernels.intrinsics.reductions import block_sum, inverse_rms
from ops.cuda.kernels.intrinsics.warps import block_x, block_y, shared_memory, thread_x, threads
from ops.cuda.kernels.operands import (
    Angles,
    CopyColumns,
    Norm,
    Rope,
    ScaleStretches,
    Temperature,
)

THREADS = 256
NORM_THREADS = 512
LN_2 = 0.6931471805599453

One = Callable[[Float], Float]
Two = Callable[[Float, Float], Float]
Number = Callable[[Float, Float], Float]


def map_one(function: One) -> Kernel:
    @kernel(THREADS)
    def mapped(x: Address, y: Address, count: Int) -> None:
        index = block_x() * THREADS + thread_x()
        if index < count:
            store_float(y + 4 * index, function(load_float(x + 4 * index)))

    return mapped


def map_one_by_number(function: Number) -> Kernel:
    @kernel(THREADS)
    def mapped(x: Address, y: Address, count: Int, number: Float) -> None:
        index = block_x() * THREADS + thread_x()
        if index < count:
            store_float(y + 4 * index, function(load_float(x + 4 * index), number))

    return mapped


def map_two(function: Two) -> Kernel:
    @kernel(THREADS)
    def mapped(x: Address, y: Address, z: Address, count: Int) -> None:
        index = block_x() * THREADS + thread_x()
        if index < count:
            a, b = load_float(x + 4 * index), load_float(y + 4 * index)
            store_float(z + 4 * index, function(a, b))

    return mapped


@kernel(THREADS)
def clamp(x: Address, y: Address, count: Int, low: Float, high: Float) -> None:
    index = block_x() * THREADS + thread_x()
    if index < count:
        store_float(y + 4 * index, lesser(greater(load_float(x + 4 * index), low), high))


def capped(a: Float, cap: Float) -> Float:
    return times(cap, tanh(divided(a, cap)))


@kernel(THREADS)
def scale_stretches(op: ScaleStretches) -> None:
    """Each stretch of `width` columns times a number of its own."""
    index = block_x() * THREADS + thread_x()
    if index < op.count:
        factor = load_float(op.factors + 4 * (index // op.width % op.factor_count))
        store_float(op.y + 4 * index, times(load_float(op.x + 4 * index), factor))


@kernel(THREADS)
def copy_columns(op: CopyColumns) -> None:
    """Columns of each stretch, to or from their place in wider stretches."""
    index = block_x() * THREADS + thread_x()
    if index < op.count:
        stretch, column = index // op.width, index % op.width
        number = load_float(op.x + 4 * (stretch * op.x_stretch + column))
        store_float(op.y + 4 * (stretch * op.y_stretch + column), number)


@kernel(NORM_THREADS)
def rms_norm(op: Norm) -> None:
    """One thread block per row of `width`; shared memory: one float per warp."""
    row, width = block_x(), op.width
    x, y = op.x + 4 * row * width, op.y + 4 * row * width
    weight = op.weight + 4 * (row % op.weight_rows) * width
    inverse = inverse_rms(x, width, op.eps)
    for n in range(thread_x(), width, threads()):
        a = times(load_float(x + 4 * n), inverse)
        if op.weight != 0:
            a = times(a, load_float(weight + 4 * n))
        store_float(y + 4 * n, a)


@kernel(NORM_THREADS)
def layer_norm(op: Norm) -> None:
    """One thread block per row; shared memory: one float per warp."""
    row, width = block_x(), op.width
    x, y = op.x + 4 * row * width, op.y + 4 * row * width
    own = 4 * (row % op.weight_rows) * width
    total = f32(0)
    for n in range(thread_x(), width, threads()):
        total = plus(total, load_float(x + 4 * n))
    mean = divided(block_sum(total, shared_memory()), f32(width))
    squares = f32(0)
    for n in range(thread_x(), width, threads()):
        deviation = plus(load_float(x + 4 * n), -mean)
        squares = plus(squares, times(deviation, deviation))
    variance = divided(block_sum(squares, shared_memory()), f32(width))
    inverse = divided(f32(1), root(plus(variance, op.eps)))
    for n in range(thread_x(), width, threads()):
        scaled = times(plus(load_float(x + 4 * n), -mean), inverse)
        if op.weight != 0:
            scaled = times(scaled, load_float(op.weight + own + 4 * n))
        if op.bias != 0:
            scaled = plus(scaled, load_float(op.bias + own + 4 * n))
        store_float(y + 4 * n, scaled)


@kernel(THREADS)
def angles(op: Angles) -> None:
    """The cosine and sine of each pair's angle, times the magnitude."""
    index = block_x() * THREADS + thread_x()
    if index < op.tokens * op.pairs:
        token, pair = index // op.pairs, index % op.pairs
        position = load_int(op.positions + 4 * token)
        cosine, sine = cos_sin(position, load_float(op.frequencies + 4 * pair))
        store_float(op.table + 8 * index, times(cosine, op.magnitude))
        store_float(op.table + 8 * index + 4, times(sine, op.magnitude))


@kernel(THREADS)
def rope(op: Rope) -> None:
    """Rotates every head: one thread per pair, and one per element beyond the pairs."""
    index, pairs = block_x() * THREADS + thread_x(), op.pairs
    rest = op.head_width - 2 * pairs
    places = pairs + rest
    if index < op.tokens * op.heads * places:
        head, place = index // places, index % places  # (token, head)
        source, target = op.x + 4 * head * op.head_width, op.y + 4 * head * op.head_width
        if place >= pairs:
            offset = 4 * (place + pairs)
            store_float(target + offset, load_float(source + offset))
        else:
            angle = op.table + 8 * ((head // op.heads) * pairs + place)
            cosine, sine = load_float(angle), load_float(angle + 4)
            first, second = 4 * place, 4 * (place + pairs)
            if op.interleaved != 0:
                first, second = 8 * place, 8 * place + 4
            a, b = load_float(source + first), load_float(source + second)
            store_float(target + first, plus(times(a, cosine), -times(b, sine)))
            store_float(target + second, plus(times(a, sine), times(b, cosine)))


@kernel(THREADS)
def temperature(op: Temperature) -> None:
    index = block_x() * THREADS + thread_x()
    if index < op.count:
        position = load_int(op.positions + 4 * (index // op.width))
        periods = f32((position + op.offset) // op.period)
        grown = times(logarithm(plus(f32(1), periods)), f32(LN_2))
        factor = plus(f32(1), times(op.scale, grown))
        store_float(op.y + 4 * index, times(load_float(op.x + 4 * index), factor))


@kernel(THREADS)
def select_outputs(x: Address, y: Address, rows: Address, width: Int) -> None:
    """y[n] = x[rows[n]]: thread blocks along y are rows, along x stretches of the width."""
    index = block_x() * THREADS + thread_x()
    if index < width:
        row = load_int(rows + 4 * block_y())
        store_float(y + 4 * (block_y() * width + index), load_float(x + 4 * (row * width + index)))
