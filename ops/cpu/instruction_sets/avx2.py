"""x86-64 with AVX2, FMA and F16C."""

from llvmlite import ir

from ops.cpu.instruction_sets.dots import even_and_odd
from ops.cpu.instruction_sets.halves import narrow_by_instruction, widen_by_instruction
from ops.cpu.instruction_sets.llvm import I16, by_parts, call, multiply_add
from ops.cpu.instruction_sets.rung import Builder, Rung, Value
from ops.cpu.instruction_sets.tables import lookup_by_shuffle, lookup_halves_by_lane
from ops.cpu.instruction_sets.x86 import AVX2_FEATURES, pause


def _dot(builder: Builder, total: Value, weights: Value, x: Value) -> Value:
    def part(total: Value, weights: Value, x: Value) -> Value:
        for pair in even_and_odd(builder, weights, x):
            sums = call(builder, "llvm.x86.avx2.pmadd.wd", total.type, *pair)
            total = builder.add(total, sums)
        return total

    return by_parts(builder, 2, part, total, weights, x)


def _dot_small(builder: Builder, total: Value, weights: Value, x: Value) -> Value:
    """Sums of two products stay below 2^15 for weights below 128."""
    words, ones = ir.VectorType(I16, 16), ir.Constant(ir.VectorType(I16, 16), [1] * 16)

    def part(total: Value, weights: Value, x: Value) -> Value:
        pairs = call(builder, "llvm.x86.avx2.pmadd.ub.sw", words, weights, x)
        return builder.add(total, call(builder, "llvm.x86.avx2.pmadd.wd", total.type, pairs, ones))

    return by_parts(builder, 2, part, total, weights, x)


AVX2 = Rung(
    name="avx2",
    processor="x86-64-v3",
    features="",
    needs=AVX2_FEATURES,
    dot=_dot,
    dot_small=_dot_small,
    lookup=lookup_by_shuffle("llvm.x86.avx2.pshuf.b", 32),
    lookup_halves=lookup_halves_by_lane,
    fma=multiply_add,
    widen_half=widen_by_instruction,
    narrow_half=narrow_by_instruction,
    pause=pause,
    tokens=3,
    queries=2,
)
