"""x86-64 with AVX-512 and its dot product of bytes (VNNI)."""

from collections.abc import Sequence

from llvmlite import ir

from ops.cpu.instruction_sets.halves import narrow_by_instruction, widen_by_instruction
from ops.cpu.instruction_sets.llvm import call, multiply_add
from ops.cpu.instruction_sets.rung import Builder, Rung, Value
from ops.cpu.instruction_sets.tables import HALVES, lookup_by_shuffle, lookup_halves_by_lane
from ops.cpu.instruction_sets.x86 import AVX2_FEATURES, pause

MOST_PERMUTED = 512  # entries


def _dot(builder: Builder, total: Value, weights: Value, x: Value) -> Value:
    return call(builder, "llvm.x86.avx512.vpdpbusd.512", total.type, total, weights, x)


def _lookup_halves(builder: Builder, x: Value, table: Sequence[int]) -> Value:
    """By registers of 32 entries: a permutation chooses from two by six bits of the number.

    The bits above choose between permutations: so of many entries it is faster to load them.
    """
    if len(table) > MOST_PERMUTED:
        return lookup_halves_by_lane(builder, x, table)
    numbers, wide = builder.bitcast(x, HALVES), HALVES.count
    rows = [ir.Constant(HALVES, list(table[n : n + wide])) for n in range(0, len(table), wide)]
    found = [
        call(builder, "llvm.x86.avx512.vpermi2var.hi.512", HALVES, first, numbers, second)
        for first, second in zip(rows[::2], rows[1::2], strict=True)
    ]
    bit = 2 * wide
    while len(found) > 1:
        masked = builder.and_(numbers, ir.Constant(HALVES, [bit] * wide))
        is_second = builder.icmp_unsigned("!=", masked, ir.Constant(HALVES, [0] * wide))
        pairs = zip(found[::2], found[1::2], strict=True)
        found = [builder.select(is_second, second, first) for first, second in pairs]
        bit *= 2
    return builder.bitcast(found[0], x.type)


def _rotate(builder: Builder, words: Value, counts: Value) -> Value:
    return call(builder, "llvm.fshr.v16i32", words.type, words, words, counts)


AVX512 = Rung(
    name="avx512",
    processor="x86-64-v4",
    features="+avx512vnni,-prefer-256-bit",
    needs=AVX2_FEATURES | {"avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl", "avx512vnni"},
    dot=_dot,
    dot_small=_dot,
    lookup=lookup_by_shuffle("llvm.x86.avx512.pshuf.b.512", 64),
    lookup_halves=_lookup_halves,
    fma=multiply_add,
    widen_half=widen_by_instruction,
    narrow_half=narrow_by_instruction,
    pause=pause,
    tokens=5,
    queries=4,
    rotate=_rotate,
)
