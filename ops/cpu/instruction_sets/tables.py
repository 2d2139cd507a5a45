"""Lookups in a table of 16 bytes."""

from collections.abc import Callable, Sequence

from llvmlite import ir

from ops.cpu.instruction_sets.llvm import I8, by_parts, call, constant, shuffled
from ops.cpu.instruction_sets.rung import Builder, Value

Lookup = Callable[[Builder, Value, Sequence[int]], Value]


def lookup_by_shuffle(function: str, width: int) -> Lookup:
    """`function` looks up each of `width` bytes in 16 of them; it takes (table, bytes)."""

    def lookup(builder: Builder, x: Value, table: Sequence[int]) -> Value:
        entries = ir.Constant(ir.VectorType(I8, 16), list(table))
        repeated = shuffled(builder, entries, entries, list(range(16)) * (width // 16))

        def part(x: Value) -> Value:
            return call(builder, function, x.type, repeated, x)

        return by_parts(builder, 64 // width, part, x)

    return lookup


def lookup_by_choice(builder: Builder, x: Value, table: Sequence[int]) -> Value:
    """Compares with every index: for machines without a shuffle of bytes."""
    result = constant("u8", table[0])
    for index, entry in enumerate(table[1:], 1):
        same = builder.icmp_unsigned("==", x, constant("u8", index))
        result = builder.select(same, constant("u8", entry), result)
    return result
