"""Floats of 16 and of 4 bits: F16, BF16, MXFP4, NVFP4 (layouts: see quant.microscaling)."""

import numpy as np

from ops.cpu.kernels.encoding.lanes import (
    LANES,
    LEVELS,
    REGISTER,
    ZERO,
    bits_of,
    spread,
)
from ops.cpu.kernels.encoding.legacy import put_levels
from ops.cpu.kernels.simd import operations as simd
from ops.cpu.kernels.simd.compiler import device
from ops.cpu.kernels.simd.memory import bits_to_f32, store_bf16, store_f16, store_u8
from ops.cpu.kernels.simd.memory import load_f32 as load_number
from ops.cpu.kernels.simd.memory import load_u8 as load_byte
from ops.cpu.kernels.simd.operations import (
    absolute,
    choose,
    less,
    load_f32,
    maximum,
    reduce_max,
    store_i8,
    subtract,
    to_int,
)
from quant.microscaling import LEVELS as TABLE

ENTRIES = tuple(np.float32(entry) for entry in TABLE)
ONE = np.float32(1)
LOG2_E = 1.4426950408889634
NORMAL, NORMAL_BITS = np.float32(2.0**-126), np.float32(2.0**24)
LAST_EXPONENT, HIGHEST = 15 << 3, 0x7E


def by_sixteen(store_many, store_one):
    @device
    def encode_row(row, importance, columns, out, scratch, tables):
        for i in range(0, columns - columns % LANES, LANES):
            store_many(out + 2 * i, load_f32(row + 4 * i))
        for i in range(columns - columns % LANES, columns):
            store_one(out, i, load_number(row, i))

    return encode_row


@device
def nearest_entries(x, d):
    """The index of the table's entry that times d is nearest to each of 16 weights."""
    best, error = spread(ZERO), absolute(subtract(spread(ENTRIES[0] * d), x))
    for n in range(1, 16):
        new = absolute(subtract(spread(ENTRIES[n] * d), x))
        better = less(new, error)
        best, error = choose(better, np.float32(n), best), choose(better, new, error)
    return to_int(best)


@device
def log2_below(x):
    """The whole part of log2 x, as the C function gives it for f32: it may round up to a power."""
    shift = 0
    if x < NORMAL:
        x, shift = x * NORMAL_BITS, 24
    bits = bits_of(x)
    exponent, below = (bits >> 23) - 127 - shift, (1 << 23) - (bits & 0x7FFFFF)
    above = exponent + 1
    if np.float32(above - below * 2.0**-24 * LOG2_E) == np.float32(above):
        return above
    return exponent


@device
def encode_mxfp4(row, importance, columns, out, scratch, tables):
    for b in range(columns // 32):
        x, block = row + 128 * b, out + 17 * b
        first, second = load_f32(x), load_f32(x + REGISTER)
        largest = reduce_max(maximum(absolute(first), absolute(second)))
        exponent = log2_below(largest) + 125 & 255 if largest > ZERO else 0
        store_u8(block, 0, exponent)
        d = bits_to_f32(exponent - 1 << 23) if exponent > 1 else bits_to_f32(0x200000 << exponent)
        put_levels(nearest_entries(first, d), nearest_entries(second, d), block + 1)


@device
def to_e4m3(x):
    """A positive number, halves rounded up; without a sign and without NaN.

    From 256 on all become 448, as the reference does it.
    """
    if not x > ZERO:
        return 0
    bits = bits_of(x)
    exponent = (bits >> 23) - 120
    if exponent <= 0:
        return min(7, int(x * np.float32(512) + np.float32(0.5)))
    rounded = (exponent << 3 | bits >> 20 & 7) + (bits >> 19 & 1)
    return rounded if rounded < LAST_EXPONENT else HIGHEST


@device
def half_of_e4m3(bits):
    exponent, mantissa = bits >> 3, bits & 7
    if exponent == 0:
        return np.float32(mantissa) * np.float32(2.0**-10)
    return bits_to_f32(exponent + 119 << 23 | mantissa << 20)


@device
def encode_nvfp4(row, importance, columns, out, scratch, tables):
    for b in range(columns // 64):
        for n in range(4):
            x, block = load_f32(row + 256 * b + REGISTER * n), out + 36 * b
            scale = to_e4m3(reduce_max(absolute(x)) / np.float32(6))
            store_u8(block, n, scale)
            store_i8(scratch + LEVELS, nearest_entries(x, half_of_e4m3(scale)))
            for j in range(8):
                low, high = load_byte(scratch + LEVELS, j), load_byte(scratch + LEVELS, 8 + j)
                store_u8(block, 4 + 8 * n + j, low | high << 4)


ENCODERS = {
    "F16": by_sixteen(simd.store_f16, store_f16),
    "BF16": by_sixteen(simd.store_bf16, store_bf16),
    "MXFP4": encode_mxfp4,
    "NVFP4": encode_nvfp4,
}
