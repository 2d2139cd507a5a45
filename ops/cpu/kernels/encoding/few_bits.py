"""One and two bits a weight: Q1_0, Q2_0, TQ1_0, TQ2_0 (layouts: see quant.few_bits)."""

import numpy as np

from ops.cpu.kernels.encoding.lanes import LANES, LEVELS, ZERO, greater_int
from ops.cpu.kernels.encoding.legacy import half_away_from_zero, inverse_of
from ops.cpu.kernels.simd.compiler import device
from ops.cpu.kernels.simd.memory import load_f32 as load_number
from ops.cpu.kernels.simd.memory import load_u8 as load_byte
from ops.cpu.kernels.simd.memory import store_f16, store_u8
from ops.cpu.kernels.simd.operations import (
    absolute,
    add_int,
    load_f32,
    load_u8,
    maximum,
    multiply,
    or_int,
    reduce_max,
    shift_left,
    store_i8,
    to_int,
)

ANY = -1 << 31


@device
def find_levels(x, n, lowest, levels):
    """-1, 0, 1 of n weights, plus 1, as bytes; returns the scale, the largest magnitude.

    `lowest` bounds what a scale too small to be inverted makes of them.
    """
    largest = absolute(load_f32(x))
    for i in range(LANES, n, LANES):
        largest = maximum(largest, absolute(load_f32(x + 4 * i)))
    d = reduce_max(largest)
    inverse = inverse_of(d)
    for i in range(0, n, LANES):
        rounded = half_away_from_zero(multiply(load_f32(x + 4 * i), inverse))
        store_i8(levels + i, greater_int(add_int(to_int(rounded), 1), lowest))
    return d


@device
def put_trits(levels, apart, count, bytes_, out):
    """Byte m: `count` trits, of the levels m, m + apart, ...; as a fraction of 256, rounded up."""
    for m in range(bytes_):
        total = 0
        for n in range(5):
            total = 3 * total + (load_byte(levels, m + apart * n) if n < count else 0)
        store_u8(out, m, (256 * total + 242) // 243)


@device
def encode_tq1_0(row, importance, columns, out, scratch, tables):
    levels = scratch + LEVELS
    for b in range(columns // 256):
        block = out + 54 * b
        d = find_levels(row + 1024 * b, 256, ANY, levels)
        put_trits(levels, 32, 5, 32, block)
        put_trits(levels + 160, 16, 5, 16, block + 32)
        put_trits(levels + 240, 4, 4, 4, block + 48)
        store_f16(block + 52, 0, d)


@device
def encode_tq2_0(row, importance, columns, out, scratch, tables):
    levels = scratch + LEVELS
    for b in range(columns // 256):
        block = out + 66 * b
        d = find_levels(row + 1024 * b, 256, ANY, levels)
        for n in range(4):
            source = levels + 128 * (n // 2) + LANES * (n % 2)
            packed = load_u8(source)
            for part in range(1, 4):
                packed = or_int(packed, shift_left(load_u8(source + 32 * part), 2 * part))
            store_i8(block + LANES * n, packed)
        store_f16(block + 64, 0, d)


@device
def encode_q1_0(row, importance, columns, out, scratch, tables):
    for b in range(columns // 128):
        x, block, total = row + 512 * b, out + 18 * b, ZERO
        for j in range(128):
            total += abs(load_number(x, j))
        store_f16(block, 0, total / np.float32(128))
        for n in range(16):
            bits = 0
            for j in range(8):
                bits |= (1 if load_number(x, 8 * n + j) >= ZERO else 0) << j
            store_u8(block, 2 + n, bits)


@device
def encode_q2_0(row, importance, columns, out, scratch, tables):
    levels = scratch + LEVELS
    for b in range(columns // 64):
        block = out + 18 * b
        d = find_levels(row + 256 * b, 64, 0, levels)
        store_f16(block, 0, d)
        for n in range(16):
            bits = 0
            for j in range(4):
                bits |= load_byte(levels, 4 * n + j) << 2 * j
            store_u8(block, 2 + n, bits)


ENCODERS = {
    "TQ1_0": encode_tq1_0,
    "TQ2_0": encode_tq2_0,
    "Q1_0": encode_q1_0,
    "Q2_0": encode_q2_0,
}
