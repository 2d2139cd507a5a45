"""TQ1_0: | trits 48, five a byte | trits 4, four a byte | d f16 |, levels -1, 0 and 1.

Columns 0-159 are the first 32 bytes five times over, 160-239 the next 16, and 240-255 the last 4
four times over. Trit n of a byte v is the carry of 3 · (3^n v mod 256).
"""

import numpy as np

from ops.cpu.kernels.formats.records import Quantized
from ops.cpu.kernels.simd.compiler import device
from ops.cpu.kernels.simd.memory import load_f16 as one_f16
from ops.cpu.kernels.simd.memory import load_u8 as one_u8
from ops.cpu.kernels.simd.memory import store_f32
from ops.cpu.kernels.simd.operations import (
    add_int,
    and_int,
    as_bytes,
    load_f16,
    load_i32,
    multiply_int,
    or_int,
    shift_left,
    shift_right,
)
from quant.format import FORMATS

POWERS = np.array([1, 3, 9, 27, 81], np.int64)
EVEN = 0x00FF00FF  # bytes, each with room above it


@device
def place_of(part, g):
    """Which word has columns 4g .. 4g + 3 of a part, and which trit of its bytes they are."""
    rest = 8 * (part - 5) + g
    if part < 5:
        return g, part
    if rest < 20:
        return 8 + rest % 4, rest // 4
    return 12, rest - 20


@device
def dequantize(block, out):
    d = one_f16(block + 52, 0)
    for n in range(64):
        word, trit = place_of(n // 8, n % 8)
        for i in range(4):
            fraction = one_u8(block, 4 * word + i) * POWERS[trit] & 255
            store_f32(out, 4 * n + i, d * np.float32((fraction * 3 >> 8) - 1))


@device
def trits(words, power):
    """Of every other byte, the trit that the power brings to the front."""
    fraction = and_int(multiply_int(words, power), EVEN)
    thrice = add_int(fraction, shift_left(fraction, 1))
    return and_int(shift_right(thrice, 8), 0x00030003)


@device
def levels(w, part, g):
    word, trit = place_of(part, g)
    words, power = load_i32(w + 64 * word), POWERS[trit]
    even = trits(and_int(words, EVEN), power)
    odd = trits(and_int(shift_right(words, 8), EVEN), power)
    return as_bytes(or_int(even, shift_left(odd, 8)))


@device
def factors(w, part):
    d = load_f16(w + 16 * 52)
    return d, d, d, d


KERNELS = Quantized(
    FORMATS["TQ1_0"],
    dequantize,
    levels,
    factors,
    offset=0,
)
