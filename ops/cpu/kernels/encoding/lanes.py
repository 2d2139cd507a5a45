"""Sixteen sub-blocks side by side: element i of each is one register, lane n is sub-block n.

Levels are whole numbers in f32 registers. `nearest` rounds as the reference does, by the mantissa
of a sum: half to even, and what is too large for it becomes an arbitrary number, but the same one.
"""

import numpy as np
from numba import types
from numba.extending import intrinsic

from ops.cpu.instruction_sets.llvm import I1, I8, I16, I32, I64, call
from ops.cpu.kernels.packing import rows_apart
from ops.cpu.kernels.simd.compiler import device
from ops.cpu.kernels.simd.memory import load_f32 as load_number
from ops.cpu.kernels.simd.memory import store_f32 as store_number
from ops.cpu.kernels.simd.operations import (
    LANES,
    absolute,
    add,
    and_int,
    choose,
    float_bits,
    less,
    load_f32,
    multiply,
    store,
    subtract_int,
    to_float,
)
from ops.cpu.kernels.simd.registers import as_is, each, method, operation

EPSILON = np.float32(1e-15)
"""A sub-block whose largest weight is below it is stored as zeros."""
REGISTER = 64  # bytes
X, WEIGHTS, ROOM = 0, 2048, 4096  # in a thread's scratch memory: up to 32 registers each
LEVELS, BYTES, RESULTS = 6144, 6656, 7168
MORE = 8192  # what single families need besides
ZERO, ONE, MINUS_ONE = np.float32(0), np.float32(1), np.float32(-1)
MAGIC, MANTISSA, MIDDLE = np.float32(12582912), 0x7FFFFF, 0x400000

spread = operation("f32", as_is, 1)  # a scalar in every lane
both = operation("mask", method("and_"), 2)
root = operation("f32", lambda b, x: call(b, "llvm.sqrt.v16f32", x.type, x), 1)
whole = operation("f32", lambda b, x: call(b, "llvm.trunc.v16f32", x.type, x), 1)
equal = operation("mask", lambda b, x, y: b.fcmp_ordered("==", x, y), 2)
greater_int = operation("i32", lambda b, x, y: b.select(b.icmp_signed(">", x, y), x, y), 2)
smaller_int = operation("i32", lambda b, x, y: b.select(b.icmp_signed("<", x, y), x, y), 2)

words_apart, bytes_apart = rows_apart(I32, LANES), rows_apart(I8, LANES)
"""(source, row bytes, out): transposes 16 rows of 16."""


@device
def nearest(x):
    return subtract_int(and_int(float_bits(add(x, MAGIC)), MANTISSA), MIDDLE)


@device
def level(x, lowest, highest):
    """The nearest whole number between two."""
    return to_float(smaller_int(greater_int(nearest(x), lowest), highest))


@intrinsic
def bits_of(typing_context, value):
    """The bit pattern of an f32."""

    def code(context, builder, signature, arguments):
        return builder.zext(builder.bitcast(arguments[0], I32), I64)

    return types.int64(types.float32), code


@intrinsic
def first_lane(typing_context, mask):
    """The number of the first lane that is true; 16 if none is."""

    def code(context, builder, signature, arguments):
        [lanes] = each(builder, arguments[0])
        bits = builder.zext(builder.bitcast(lanes, I16), I64)
        return builder.cttz(builder.or_(bits, I64(1 << LANES)), I1(1))

    return types.int64(mask), code


@device
def nearest_number(x):
    """As `nearest`, of one number."""
    return (bits_of(x + MAGIC) & MANTISSA) - MIDDLE


@device
def negative(x):
    return multiply(x, MINUS_ONE)


@device
def side_by_side(source, count, n, out):
    """`count` sub-blocks of n floats, one after the other -> n registers.

    Lanes without a sub-block repeat the last one.
    """
    if count == LANES:
        for i in range(0, n, LANES):
            words_apart(source + 4 * i, 4 * n, out + REGISTER * i)
        return
    for lane in range(LANES):
        first = n * min(lane, count - 1)
        for i in range(n):
            store_number(out, LANES * i + lane, load_number(source, first + i))


@device
def in_order(levels, n, out):
    """n registers of levels as bytes (n, 16) -> (16, n): one sub-block after the other.

    For n = 32 the first halves of all sub-blocks come before the second halves.
    """
    for i in range(0, n, LANES):
        bytes_apart(levels + LANES * i, LANES, out + LANES * i)


@device
def largest_of(x, n):
    """The largest magnitude, and the element that has it, with its sign; the first one wins."""
    most, signed = spread(ZERO), spread(ZERO)
    for i in range(n):
        value = load_f32(x + REGISTER * i)
        larger = less(most, absolute(value))
        most, signed = choose(larger, absolute(value), most), choose(larger, value, signed)
    return most, signed


@device
def square_weights(x, n, out):
    """Without importance: a weight counts by its square."""
    for i in range(n):
        value = load_f32(x + REGISTER * i)
        store(out + REGISTER * i, multiply(value, value))


@device
def importance_weights(x, n, variance, out):
    """importance · √(variance + x²); `out` holds the importance, `variance` is a number."""
    for i in range(n):
        value = load_f32(x + REGISTER * i)
        size = root(add(multiply(value, value), variance))
        store(out + REGISTER * i, multiply(load_f32(out + REGISTER * i), size))


@device
def sum_of(values, n):
    """Of each lane, from the first on."""
    total = spread(ZERO)
    for i in range(n):
        total = add(total, load_f32(values + REGISTER * i))
    return total


@device
def sum_of_squares(x, n):
    """A number: of n floats, one after the other."""
    total = ZERO
    for i in range(n):
        value = load_number(x, i)
        total += value * value
    return total
