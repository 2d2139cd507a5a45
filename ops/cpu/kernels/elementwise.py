"""Norms, activations, rotary positions and sums: the operators between the products."""

import math

import numpy as np

from ops.cpu.kernels.simd.compiler import device
from ops.cpu.kernels.simd.memory import load_f32, load_f64, load_i32, load_i64, parts_of, store_f32
from ops.cpu.kernels.simd.operations import (
    LANES,
    add,
    fma,
    load_some,
    maximum,
    minimum,
    multiply,
    store,
    store_some,
    subtract,
    swap_pairs,
)
from ops.cpu.kernels.simd.operations import load_f32 as load
from ops.cpu.kernels.simd.vectors import dot, inverse_rms, mean, mean_square, tanh, total
from ops.cpu.layout import OUTPUT_ROWS, POSITIONS, TOKENS

ZERO = np.float32(0)


@device
def share(total, thread, threads):
    """A thread's range of `total` floats, in whole registers."""
    registers = parts_of(total, LANES)
    first, last = registers * thread // threads, registers * (thread + 1) // threads
    return first * LANES, min(last * LANES, total)


def along_one(function):
    """run(x, y, size, number): y = function(x, number) for `size` floats."""

    @device
    def run(x, y, size, number):
        for i in range(0, size - LANES + 1, LANES):
            store(y + 4 * i, function(load(x + 4 * i), number))
        left = size % LANES
        if left != 0:
            offset = 4 * (size - left)
            store_some(y + offset, function(load_some(x + offset, left), number), left)

    return run


def along_two(function):
    """run(x, y, z, size, number): z = function(x, y, number)."""

    @device
    def run(x, y, z, size, number):
        for i in range(0, size - LANES + 1, LANES):
            store(z + 4 * i, function(load(x + 4 * i), load(y + 4 * i), number))
        left = size % LANES
        if left != 0:
            offset = 4 * (size - left)
            value = function(load_some(x + offset, left), load_some(y + offset, left), number)
            store_some(z + offset, value, left)

    return run


def map_one(function):
    """y = function(x), element by element."""
    return map_one_by_number(device(lambda x, number: function(x)))


def map_one_by_number(function):
    """y = function(x, number), element by element."""
    run = along_one(function)

    def kernel(op, step, thread, threads):
        x, y, width = load_i64(op, 0), load_i64(op, 1), load_i64(op, 2)
        size = load_i64(step, load_i64(op, 3)) * load_i64(op, 4) * width
        number = np.float32(load_f64(op, 5))
        first, last = share(size, thread, threads)
        run(x + 4 * first, y + 4 * first, last - first, number)

    return kernel


def clamp(op, step, thread, threads):
    """y = min(max(x, low), high)."""
    x, y, width = load_i64(op, 0), load_i64(op, 1), load_i64(op, 2)
    size = load_i64(step, load_i64(op, 3)) * load_i64(op, 4) * width
    low, high = np.float32(load_f64(op, 5)), np.float32(load_f64(op, 6))
    first, last = share(size, thread, threads)
    raised_row(x + 4 * first, y + 4 * first, last - first, low)
    lowered_row(y + 4 * first, y + 4 * first, last - first, high)


def map_two(function):
    """z = function(x, y), element by element."""
    run = along_two(device(lambda x, y, number: function(x, y)))

    def kernel(op, step, thread, threads):
        x, y, z, width = load_i64(op, 0), load_i64(op, 1), load_i64(op, 2), load_i64(op, 3)
        size = load_i64(step, load_i64(op, 4)) * load_i64(op, 5) * width
        first, last = share(size, thread, threads)
        run(x + 4 * first, y + 4 * first, z + 4 * first, last - first, ZERO)

    return kernel


def map_each_one(function):
    """y = function(x), one number at a time: for functions without a SIMD form."""

    def kernel(op, step, thread, threads):
        x, y, width = load_i64(op, 0), load_i64(op, 1), load_i64(op, 2)
        size = load_i64(step, load_i64(op, 3)) * load_i64(op, 4) * width
        for i in range(size * thread // threads, size * (thread + 1) // threads):
            store_f32(y, i, function(load_f32(x, i)))

    return kernel


def map_each_two(function):
    """z = function(x) · y, one number at a time."""

    def kernel(op, step, thread, threads):
        x, y, z, width = load_i64(op, 0), load_i64(op, 1), load_i64(op, 2), load_i64(op, 3)
        size = load_i64(step, load_i64(op, 4)) * load_i64(op, 5) * width
        for i in range(size * thread // threads, size * (thread + 1) // threads):
            store_f32(z, i, function(load_f32(x, i)) * load_f32(y, i))

    return kernel


@device
def softplus(x):
    """ln(1 + e^x), without overflow."""
    return max(x, np.float32(0)) + np.float32(math.log1p(math.exp(-abs(float(x)))))


@device
def gelu_exact(x):
    """x · Φ(x)."""
    return np.float32(0.5 * x * (1 + math.erf(x * 0.7071067811865476)))


@device
def elu(x):
    """x; below 0 e^x - 1."""
    return x if x > 0 else np.float32(math.expm1(float(x)))


@device
def signed_root(x):
    root = np.float32(math.sqrt(max(abs(x), np.float32(1e-6))))
    return -root if x < 0 else root if x > 0 else ZERO


EACH = {"softplus": softplus, "gelu_exact": gelu_exact, "elu": elu, "signed_root": signed_root}


@device
def capped(x, cap):
    return multiply(tanh(multiply(x, np.float32(1) / cap)), cap)


multiplied_row = along_one(multiply)
raised_row = along_one(maximum)
lowered_row = along_one(minimum)
copied_row = along_one(device(lambda x, number: x))
centred_row = along_one(subtract)
added_row = along_two(device(lambda x, y, number: add(x, y)))
product_row = along_two(device(lambda x, y, number: multiply(x, y)))
mixed_row = along_two(device(lambda x, y, factor: fma(x, factor, y)))
surplus_row = along_one(device(lambda x, number: maximum(subtract(x, number), ZERO)))
scaled_row = along_two(device(lambda x, weight, factor: multiply(multiply(x, factor), weight)))


def rms_norm(op, step, thread, threads):
    """Each group of `width` columns by its own mean square; the weights' rows repeat."""
    x, y, weight, weight_rows = load_i64(op, 0), load_i64(op, 1), load_i64(op, 2), load_i64(op, 3)
    width, count = load_i64(op, 4), load_i64(step, load_i64(op, 5)) * load_i64(op, 6)
    eps = np.float32(load_f64(op, 7))
    for t in range(count * thread // threads, count * (thread + 1) // threads):
        here, there = x + 4 * t * width, y + 4 * t * width
        factor = inverse_rms(here, width, eps)
        if weight == 0:
            multiplied_row(here, there, width, factor)
        else:
            scaled_row(here, weight + 4 * width * (t % weight_rows), there, width, factor)


def multiply_stretches(op, step, thread, threads):
    """z = x · y, where each number of y multiplies a group of `width` columns."""
    x, y, z, width = load_i64(op, 0), load_i64(op, 1), load_i64(op, 2), load_i64(op, 3)
    count = load_i64(step, load_i64(op, 4)) * load_i64(op, 5)
    for t in range(count * thread // threads, count * (thread + 1) // threads):
        multiplied_row(x + 4 * t * width, z + 4 * t * width, width, load_f32(y, t))


def scale_by(op, step, thread, threads):
    """y = x · w: `weights` numbers per row, each for a group of `width` columns."""
    x, y, w, width = load_i64(op, 0), load_i64(op, 1), load_i64(op, 2), load_i64(op, 3)
    weights, count = load_i64(op, 4), load_i64(step, load_i64(op, 5)) * load_i64(op, 6)
    for t in range(count * thread // threads, count * (thread + 1) // threads):
        here, there = x + 4 * t * width * weights, y + 4 * t * width * weights
        if width == 1:
            product_row(here, w, there, weights, ZERO)
        else:
            for n in range(weights):
                offset = 4 * n * width
                multiplied_row(here + offset, there + offset, width, load_f32(w, n))


def columns(op, step, thread, threads):
    """`width` columns, from `start` on, of each group of columns."""
    x, y, start, width = load_i64(op, 0), load_i64(op, 1), load_i64(op, 2), load_i64(op, 3)
    group_width, count = load_i64(op, 4), load_i64(step, load_i64(op, 5)) * load_i64(op, 6)
    for t in range(count * thread // threads, count * (thread + 1) // threads):
        copied_row(x + 4 * (t * group_width + start), y + 4 * t * width, width, ZERO)


def join(op, step, thread, threads):
    """Concatenates parts in each group of columns; their (address, width) follow the operands."""
    y, group_width, parts = load_i64(op, 0), load_i64(op, 1), load_i64(op, 2)
    count = load_i64(step, load_i64(op, 3)) * load_i64(op, 4)
    for t in range(count * thread // threads, count * (thread + 1) // threads):
        there = y + 4 * t * group_width
        for part in range(parts):
            x, width = load_i64(op, 5 + 2 * part), load_i64(op, 6 + 2 * part)
            copied_row(x + 4 * t * width, there, width, ZERO)
            there += 4 * width


def mix(op, step, thread, threads):
    """Each token's `results` sums of its `streams` of `width` columns, in their order."""
    x, c, y, width = load_i64(op, 0), load_i64(op, 1), load_i64(op, 2), load_i64(op, 3)
    streams, results = load_i64(op, 4), load_i64(op, 5)
    count = load_i64(step, load_i64(op, 6)) * load_i64(op, 7) * results
    for item in range(count * thread // threads, count * (thread + 1) // threads):
        here, factors = x + 4 * (item // results) * streams * width, c + 4 * item * streams
        there = y + 4 * item * width
        if width == 1:
            store_f32(y, item, dot(here, factors, streams))
        else:
            multiplied_row(here, there, width, load_f32(factors, 0))
            for s in range(1, streams):
                mixed_row(here + 4 * s * width, there, there, width, load_f32(factors, s))


def gaussian_top_k(op, step, thread, threads):
    """Of each row, the part above its mean plus a number of standard deviations."""
    x, y, width = load_i64(op, 0), load_i64(op, 1), load_i64(op, 2)
    count = load_i64(step, load_i64(op, 3)) * load_i64(op, 4)
    for t in range(count * thread // threads, count * (thread + 1) // threads):
        here, there = x + 4 * t * width, y + 4 * t * width
        centred_row(here, there, width, mean(here, width))
        variance = mean_square(there, width) * np.float32(width) / np.float32(width - 1)
        least = np.sqrt(variance) * np.float32(load_f64(op, 5))
        surplus_row(there, there, width, least)


def layer_norm(op, step, thread, threads):
    """Each group of `width` columns by its own mean and variance; the weights' rows repeat."""
    x, y, weight, bias = load_i64(op, 0), load_i64(op, 1), load_i64(op, 2), load_i64(op, 3)
    weight_rows, width = load_i64(op, 4), load_i64(op, 5)
    count, eps = load_i64(step, load_i64(op, 6)) * load_i64(op, 7), np.float32(load_f64(op, 8))
    for t in range(count * thread // threads, count * (thread + 1) // threads):
        here, there = x + 4 * t * width, y + 4 * t * width
        centred_row(here, there, width, mean(here, width))
        own, factor = 4 * width * (t % weight_rows), inverse_rms(there, width, eps)
        if weight == 0:
            multiplied_row(there, there, width, factor)
        else:
            scaled_row(there, weight + own, there, width, factor)
        if bias != 0:
            added_row(there, bias + own, there, width, ZERO)


def sums(op, step, thread, threads):
    """The sum of each group of `width` columns."""
    x, y, width = load_i64(op, 0), load_i64(op, 1), load_i64(op, 2)
    count = load_i64(step, load_i64(op, 3)) * load_i64(op, 4)
    for t in range(count * thread // threads, count * (thread + 1) // threads):
        store_f32(y, t, total(x + 4 * t * width, width))


def angles(op, step, thread, threads):
    """For each token, cos and sin of position · frequency[i], times the magnitude: (T, 2, pairs).

    For interleaved pairs every value is stored twice, the first sine of a pair negated.
    """
    out, frequencies, pairs = load_i64(op, 0), load_i64(op, 1), load_i64(op, 2)
    repeat, magnitude, step = load_i64(op, 3), load_f64(op, 4), step + load_i64(op, 5)
    count, start = load_i64(step, TOKENS), load_i64(op, 6)
    for item in range(count * pairs * thread // threads, count * pairs * (thread + 1) // threads):
        t, i = item // pairs, item % pairs
        place = load_i32(load_i64(step, POSITIONS), t) - start
        angle = float(place) * float(load_f32(frequencies, i))
        cos = np.float32(math.cos(angle) * magnitude)
        sin = np.float32(math.sin(angle) * magnitude)
        cosines = out + 8 * t * pairs * repeat
        sines = cosines + 4 * pairs * repeat
        if repeat == 2:
            store_f32(cosines, 2 * i, cos)
            store_f32(cosines, 2 * i + 1, cos)
            store_f32(sines, 2 * i, -sin)
            store_f32(sines, 2 * i + 1, sin)
        else:
            store_f32(cosines, i, cos)
            store_f32(sines, i, sin)


@device
def rotate_halves(x, y, cosines, sines, pairs):
    """Pairs (i, i + pairs)."""
    for i in range(0, pairs, LANES):
        left, offset = min(pairs - i, LANES), 4 * i
        a, b = load_some(x + offset, left), load_some(x + 4 * pairs + offset, left)
        cos, sin = load_some(cosines + offset, left), load_some(sines + offset, left)
        first = subtract(multiply(a, cos), multiply(b, sin))
        store_some(y + offset, first, left)
        store_some(y + 4 * pairs + offset, fma(a, sin, multiply(b, cos)), left)


@device
def rotate_neighbours(x, y, cosines, sines, pairs):
    """Pairs (2i, 2i + 1)."""
    for i in range(0, 2 * pairs, LANES):
        left, offset = min(2 * pairs - i, LANES), 4 * i
        value = load_some(x + offset, left)
        cos, sin = load_some(cosines + offset, left), load_some(sines + offset, left)
        rotated = fma(swap_pairs(value), sin, multiply(value, cos))
        store_some(y + offset, rotated, left)


@device
def rotate(x, y, cosines, pairs, repeat, head):
    """Rotates one head by the angles of its token; columns beyond the pairs are copied."""
    sines = cosines + 4 * pairs * repeat
    if repeat == 2:
        rotate_neighbours(x, y, cosines, sines, pairs)
    else:
        rotate_halves(x, y, cosines, sines, pairs)
    for i in range(2 * pairs, head):
        store_f32(y, i, load_f32(x, i))


def rope(op, step, thread, threads):
    """Rotates every head by its token's angles."""
    x, y, table, pairs = load_i64(op, 0), load_i64(op, 1), load_i64(op, 2), load_i64(op, 3)
    head, heads, repeat = load_i64(op, 4), load_i64(op, 5), load_i64(op, 6)
    total = load_i64(step, load_i64(op, 7)) * heads
    for item in range(total * thread // threads, total * (thread + 1) // threads):
        here, there = x + 4 * item * head, y + 4 * item * head
        rotate(here, there, table + item // heads * 8 * pairs * repeat, pairs, repeat, head)


def temperature(op, step, thread, threads):
    """y = x · (1 + scale · ln(1 + floor((position + offset) / period)))."""
    x, y, width, step = load_i64(op, 0), load_i64(op, 1), load_i64(op, 2), step + load_i64(op, 3)
    count, factor, period = load_i64(step, TOKENS), load_f64(op, 4), load_i64(op, 5)
    for t in range(count * thread // threads, count * (thread + 1) // threads):
        position = load_i32(load_i64(step, POSITIONS), t) + load_i64(op, 6)
        times = np.float32(1 + factor * math.log1p(float(position // period)))
        for i in range(t * width, (t + 1) * width):
            store_f32(y, i, times * load_f32(x, i))


def select_outputs(op, step, thread, threads):
    """Copies the rows whose logits are wanted."""
    x, y, width = load_i64(op, 0), load_i64(op, 1), load_i64(op, 2)
    count, rows = load_i64(step, load_i64(op, 3)), load_i64(step, OUTPUT_ROWS)
    for t in range(count * thread // threads, count * (thread + 1) // threads):
        source = load_i32(rows, t)
        for i in range(width):
            store_f32(y, t * width + i, load_f32(x, source * width + i))
