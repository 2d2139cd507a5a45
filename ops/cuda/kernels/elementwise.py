"""Operators that go through rows of floats: sums, norms, rotations, activation functions."""

from collections.abc import Callable

from ops.cuda.kernels.intrinsics.arithmetic import divided, logarithm, plus, root, times, turn
from ops.cuda.kernels.intrinsics.functions import tanh
from ops.cuda.kernels.intrinsics.kernel import Kernel, kernel
from ops.cuda.kernels.intrinsics.memory import load_float, load_int, store_float
from ops.cuda.kernels.intrinsics.primitives import Address, Float, Int, f32
from ops.cuda.kernels.intrinsics.reductions import block_sum
from ops.cuda.kernels.intrinsics.warps import block_x, block_y, shared_memory, thread_x, threads

THREADS = 256
NORM_THREADS = 512
LN_2 = 0.6931471805599453

One = Callable[[Float], Float]
Two = Callable[[Float, Float], Float]
Number = Callable[[Float, Float], Float]


def map_one(function: One) -> Kernel:
    @kernel(THREADS)
    def mapped(x: Address, y: Address, count: Int) -> None:
        at = block_x() * THREADS + thread_x()
        if at < count:
            store_float(y + 4 * at, function(load_float(x + 4 * at)))

    return mapped


def map_one_by_number(function: Number) -> Kernel:
    @kernel(THREADS)
    def mapped(x: Address, y: Address, count: Int, number: Float) -> None:
        at = block_x() * THREADS + thread_x()
        if at < count:
            store_float(y + 4 * at, function(load_float(x + 4 * at), number))

    return mapped


def map_two(function: Two) -> Kernel:
    @kernel(THREADS)
    def mapped(x: Address, y: Address, z: Address, count: Int) -> None:
        at = block_x() * THREADS + thread_x()
        if at < count:
            store_float(z + 4 * at, function(load_float(x + 4 * at), load_float(y + 4 * at)))

    return mapped


def capped(a: Float, cap: Float) -> Float:
    return times(cap, tanh(divided(a, cap)))


@kernel(NORM_THREADS)
def rms_norm(x: Address, y: Address, weight: Address, width: Int, eps: Float) -> None:
    """A block a stretch of `width`; shared: a float a warp."""
    x, y = x + 4 * block_x() * width, y + 4 * block_x() * width
    squares = f32(0)
    for n in range(thread_x(), width, threads()):
        a = load_float(x + 4 * n)
        squares = plus(squares, times(a, a))
    mean = divided(block_sum(squares, shared_memory()), f32(width))
    inverse = divided(f32(1), root(plus(mean, eps)))
    for n in range(thread_x(), width, threads()):
        store_float(
            y + 4 * n, times(times(load_float(x + 4 * n), inverse), load_float(weight + 4 * n))
        )


@kernel(NORM_THREADS)
def layer_norm(
    x: Address, y: Address, weight: Address, bias: Address, width: Int, eps: Float
) -> None:
    """A block a row; shared: a float a warp. `bias` may be 0."""
    x, y = x + 4 * block_x() * width, y + 4 * block_x() * width
    total = f32(0)
    for n in range(thread_x(), width, threads()):
        total = plus(total, load_float(x + 4 * n))
    mean = divided(block_sum(total, shared_memory()), f32(width))
    squares = f32(0)
    for n in range(thread_x(), width, threads()):
        away = plus(load_float(x + 4 * n), -mean)
        squares = plus(squares, times(away, away))
    variance = divided(block_sum(squares, shared_memory()), f32(width))
    inverse = divided(f32(1), root(plus(variance, eps)))
    for n in range(thread_x(), width, threads()):
        scaled = times(plus(load_float(x + 4 * n), -mean), inverse)
        scaled = times(scaled, load_float(weight + 4 * n))
        if bias != 0:
            scaled = plus(scaled, load_float(bias + 4 * n))
        store_float(y + 4 * n, scaled)


@kernel(THREADS)
def angles(
    table: Address,
    frequencies: Address,
    positions: Address,
    pairs: Int,
    tokens: Int,
    magnitude: Float,
) -> None:
    """(T, pairs, 2): the cosine and sine of each pair's angle, times the magnitude."""
    at = block_x() * THREADS + thread_x()
    if at < tokens * pairs:
        token, pair = at // pairs, at % pairs
        position = load_int(positions + 4 * token)
        cosine, sine = turn(position, load_float(frequencies + 4 * pair))
        store_float(table + 8 * at, times(cosine, magnitude))
        store_float(table + 8 * at + 4, times(sine, magnitude))


@kernel(THREADS)
def rope(
    x: Address,
    y: Address,
    table: Address,
    pairs: Int,
    head_width: Int,
    heads: Int,
    interleaved: Int,
    tokens: Int,
) -> None:
    """Every head turned: a thread a place of a head's lower half, and those beyond the pairs."""
    at = block_x() * THREADS + thread_x()
    rest = head_width - 2 * pairs
    places = pairs + rest
    if at < tokens * heads * places:
        head, place = at // places, at % places  # (token, head)
        source, target = x + 4 * head * head_width, y + 4 * head * head_width
        if place >= pairs:
            at = 4 * (place + pairs)
            store_float(target + at, load_float(source + at))
        else:
            angle = table + 8 * ((head // heads) * pairs + place)
            cosine, sine = load_float(angle), load_float(angle + 4)
            first, second = 4 * place, 4 * (place + pairs)
            if interleaved != 0:
                first, second = 8 * place, 8 * place + 4
            a, b = load_float(source + first), load_float(source + second)
            store_float(target + first, plus(times(a, cosine), -times(b, sine)))
            store_float(target + second, plus(times(a, sine), times(b, cosine)))


@kernel(THREADS)
def temperature(
    x: Address, y: Address, positions: Address, width: Int, count: Int, scale: Float, period: Int
) -> None:
    """x · (1 + scale · ln(1 + floor(position / period))); `count` numbers in all."""
    at = block_x() * THREADS + thread_x()
    if at < count:
        periods = f32(load_int(positions + 4 * (at // width)) // period)
        grown = times(logarithm(plus(f32(1), periods)), f32(LN_2))
        factor = plus(f32(1), times(scale, grown))
        store_float(y + 4 * at, times(load_float(x + 4 * at), factor))


@kernel(THREADS)
def select_outputs(x: Address, y: Address, rows: Address, width: Int) -> None:
    """Row `rows`[block y] of x; the blocks along x go through its width."""
    at = block_x() * THREADS + thread_x()
    if at < width:
        row = load_int(rows + 4 * block_y())
        store_float(y + 4 * (block_y() * width + at), load_float(x + 4 * (row * width + at)))
