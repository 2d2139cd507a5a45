"""Lookups in a table of 16 bytes, or in a large one of 16 bits an entry."""

import hashlib
from collections.abc import Callable, Sequence

from llvmlite import ir

from ops.cpu.instruction_sets.llvm import I8, I16, I32, LANES, by_parts, call, constant, shuffled
from ops.cpu.instruction_sets.rung import Builder, Value

Lookup = Callable[[Builder, Value, Sequence[int]], Value]
HALVES = ir.VectorType(I16, 2 * LANES)


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


def lookup_halves_by_lane(builder: Builder, x: Value, table: Sequence[int]) -> Value:
    """Loads entry by entry from memory."""
    place, result = _in_memory(builder, table), ir.Constant(HALVES, ir.Undefined)
    halves = builder.bitcast(x, HALVES)
    for n in range(HALVES.count):
        index = builder.zext(builder.extract_element(halves, I32(n)), I32)
        entry = builder.load(builder.gep(place, [I32(0), index]), align=2)
        result = builder.insert_element(result, entry, I32(n))
    return builder.bitcast(result, x.type)


def _in_memory(builder: Builder, table: Sequence[int]) -> Value:
    """A table among the constants of the kernel's code, each once."""
    entries = ir.Constant(ir.ArrayType(I16, len(table)), list(table))
    name = f"table.{hashlib.sha256(str(entries).encode()).hexdigest()[:16]}"
    place = builder.module.globals.get(name)
    if place is None:
        place = ir.GlobalVariable(builder.module, entries.type, name)
        place.linkage, place.global_constant, place.initializer = "internal", True, entries
    return place
