"""Dot products of bytes, and tables of bytes.

Each 32-bit lane of a sum gains four products of unsigned weights and signed activations.
"""

from ops.cpu.instruction_sets.llvm import register
from ops.cpu.kernels.simd.compiler import target
from ops.cpu.kernels.simd.registers import operation


def lookup(table):
    """Each byte 0 .. 15 replaced by the table's entry."""
    return operation("u8", lambda builder, x: target().lookup(builder, x, table), 1)


def lookup_halves(table):
    """Each half of a word, the number of an entry of 16 bits, replaced by the table's entry.

    The table has a power of two of entries, at least 64.
    """
    return operation("i32", lambda builder, x: target().lookup_halves(builder, x, table), 1)


def _dot(builder, total, weights, x):
    return target().dot(builder, total, weights, builder.bitcast(x, register("u8")))


def _dot_small(builder, total, weights, x):
    return target().dot_small(builder, total, weights, builder.bitcast(x, register("u8")))


dot = operation("i32", _dot, 3)  # (i32 totals, 64 weights of 0 .. 255, i32 of 4 signed bytes)
dot_small = operation("i32", _dot_small, 3)  # weights of 0 .. 127
