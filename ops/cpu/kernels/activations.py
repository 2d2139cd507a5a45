"""Activations before a product: normalised and quantized to signed bytes."""

import numpy as np

from ops.cpu.kernels.simd.compiler import device
from ops.cpu.kernels.simd.memory import (
    load_f64,
    load_i64,
    parts_of,
    store_f32,
    store_i32,
)
from ops.cpu.kernels.simd.operations import (
    LANES,
    absolute,
    load_bf16,
    load_f32,
    load_some,
    maximum,
    multiply,
    reduce_add_int,
    reduce_max,
    rounded,
    store_bf16,
    store_i8,
    subtract,
    to_int,
)
from ops.cpu.kernels.simd.vectors import inverse_rms
from ops.cpu.layout import (
    ACTIVATION_BLOCK,
    ACTIVATION_BYTES,
    BF16_BYTES,
    BF16_COLUMNS,
    MINUS_HALF_SUMS,
    MINUS_SCALED_HALF_SUMS,
    MINUS_SCALED_SUM,
    MINUS_SUM,
    SCALE,
)


@device
def quantize_block(first, second, out):
    """Quantizes 32 floats (two registers) to signed bytes with one scale: the largest is ±127."""
    largest = reduce_max(maximum(absolute(first), absolute(second)))
    inverse = np.float32(127) / largest if largest > 0 else np.float32(0)
    scale = largest / np.float32(127)
    first = to_int(rounded(multiply(first, inverse)))
    second = to_int(rounded(multiply(second, inverse)))
    store_i8(out, first)
    store_i8(out + 16, second)
    sum_1, sum_2 = -reduce_add_int(first), -reduce_add_int(second)
    store_f32(out + SCALE, 0, scale)
    store_f32(out + MINUS_SCALED_SUM, 0, scale * np.float32(sum_1 + sum_2))
    store_i32(out + MINUS_SUM, 0, sum_1 + sum_2)
    store_i32(out + MINUS_HALF_SUMS, 0, sum_1)
    store_i32(out + MINUS_HALF_SUMS, 1, sum_2)
    store_f32(out + MINUS_SCALED_HALF_SUMS, 0, scale * np.float32(sum_1))
    store_f32(out + MINUS_SCALED_HALF_SUMS, 1, scale * np.float32(sum_2))


def quantize(op, step, thread, threads):
    """(rows, N) -> (rows, N / 32) blocks of 64 bytes (layout.py draws them)."""
    x, out, blocks = load_i64(op, 0), load_i64(op, 1), load_i64(op, 2)
    total = load_i64(step, load_i64(op, 3)) * load_i64(op, 4) * blocks
    for b in range(total * thread // threads, total * (thread + 1) // threads):
        here = x + 4 * ACTIVATION_BLOCK * b
        quantize_block(load_f32(here), load_f32(here + 64), out + ACTIVATION_BYTES * b)


def round_to_bf16(op, step, thread, threads):
    """(stretches, N) -> (stretches, N / 32, terms, 32) BF16; zeros fill the last 32 columns."""
    x, out, columns = load_i64(op, 0), load_i64(op, 1), load_i64(op, 2)
    total, terms = load_i64(step, load_i64(op, 3)) * load_i64(op, 4), load_i64(op, 5)
    parts = parts_of(columns, BF16_COLUMNS)
    for n in range(total * thread // threads, total * (thread + 1) // threads):
        here, there = x + 4 * columns * n, out + BF16_BYTES * terms * parts * n
        for c in range(0, BF16_COLUMNS * parts, LANES):
            value = here + 4 * c
            rest = load_f32(value) if c + LANES <= columns else load_some(value, columns - c)
            place = there + BF16_BYTES * terms * (c // BF16_COLUMNS) + 2 * (c % BF16_COLUMNS)
            store_bf16(place, rest)
            for term in range(1, terms):
                rest = subtract(rest, load_bf16(place + BF16_BYTES * (term - 1)))
                store_bf16(place + BF16_BYTES * term, rest)


def rms_norm_quantize(op, step, thread, threads):
    """RMS norm of each row, then quantization."""
    x, out, weight, blocks = load_i64(op, 0), load_i64(op, 1), load_i64(op, 2), load_i64(op, 3)
    count, eps = load_i64(step, load_i64(op, 4)) * load_i64(op, 5), np.float32(load_f64(op, 6))
    width = ACTIVATION_BLOCK * blocks
    for t in range(count * thread // threads, count * (thread + 1) // threads):
        row = x + 4 * width * t
        factor = inverse_rms(row, width, eps)
        for b in range(blocks):
            here, there = row + 128 * b, weight + 128 * b
            first = multiply(multiply(load_f32(here), factor), load_f32(there))
            second = multiply(multiply(load_f32(here + 64), factor), load_f32(there + 64))
            quantize_block(first, second, out + ACTIVATION_BYTES * (t * blocks + b))
