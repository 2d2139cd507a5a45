"""MXFP4: | e u8 | nibbles 16 |, levels by a table, scale 2^(e - 128)."""

from ops.cpu.kernels.formats.arithmetic import add_scaled, offset_sums
from ops.cpu.kernels.formats.legacy.nibbles import nibble_levels
from ops.cpu.kernels.formats.records import Quantized
from ops.cpu.kernels.formats.tables.nibble_table import spread_by
from ops.cpu.kernels.simd.compiler import device, inlined
from ops.cpu.kernels.simd.dots import dot_small, lookup
from ops.cpu.kernels.simd.memory import bits_to_f32
from ops.cpu.kernels.simd.memory import load_u8 as one_u8
from ops.cpu.kernels.simd.operations import (
    add_int,
    bits_to_float,
    broadcast_i32,
    high_nibbles,
    load_bytes,
    load_u8,
    low_nibbles,
    multiply,
    shift_left,
    shift_right,
    subtract_int,
)
from ops.cpu.layout import MINUS_SUM
from quant.format import FORMATS
from quant.microscaling import LEVELS

spread = spread_by(LEVELS)
table = lookup([level + 16 for level in LEVELS])  # moved up to be unsigned


@device
def dequantize(block, out):
    e = one_u8(block, 0)
    # 2^(e - 128); below the normal numbers the exponent field holds one bit of the mantissa
    d = bits_to_f32(e - 1 << 23) if e > 1 else bits_to_f32(0x200000 << e)
    spread(block + 1, out, d)


@device
def scale_factors(w):
    """Two powers whose product is the scale: that may be subnormal, they are not."""
    e = load_u8(w)
    half = shift_right(e, 1)
    first = bits_to_float(shift_left(add_int(half, 63), 23))
    second = bits_to_float(shift_left(add_int(subtract_int(e, half), 63), 23))
    return first, second


@device
def levels(w, part, g):
    return table(nibble_levels(w + 16, g))


@device
def factors(w, part):
    first, second = scale_factors(w)
    scale = multiply(first, second)
    return scale, scale, scale, scale


@inlined
def block(w, x, offset, total):
    first, second = scale_factors(w)
    sums = offset_sums(w, x, offset + MINUS_SUM, 4)
    for g in range(4):
        packed = load_bytes(w + 16 + 64 * g)
        sums = dot_small(sums, table(low_nibbles(packed)), broadcast_i32(x, offset + 4 * g))
        upper = table(high_nibbles(packed))
        sums = dot_small(sums, upper, broadcast_i32(x, offset + 16 + 4 * g))
    return add_scaled(sums, multiply(first, second), x, offset, total)


KERNELS = Quantized(
    FORMATS["MXFP4"],
    dequantize,
    levels,
    factors,
    offset=4,
    block=block,
)
