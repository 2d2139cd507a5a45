"""x86-64 with AVX2 and the dot product of bytes in 256 bits (AVX-VNNI)."""

from ops.cpu.instruction_sets.halves import narrow_by_instruction, widen_by_instruction
from ops.cpu.instruction_sets.llvm import by_parts, call, multiply_add
from ops.cpu.instruction_sets.rung import Builder, Rung, Value
from ops.cpu.instruction_sets.tables import lookup_by_shuffle, lookup_halves_by_lane
from ops.cpu.instruction_sets.x86 import AVX2_FEATURES, pause


def _dot(builder: Builder, total: Value, weights: Value, x: Value) -> Value:
    def part(total: Value, weights: Value, x: Value) -> Value:
        return call(builder, "llvm.x86.avx512.vpdpbusd.256", total.type, total, weights, x)

    return by_parts(builder, 2, part, total, weights, x)


AVXVNNI = Rung(
    name="avxvnni",
    processor="x86-64-v3",
    features="+avxvnni",
    needs=AVX2_FEATURES | {"avxvnni"},
    dot=_dot,
    dot_small=_dot,
    lookup=lookup_by_shuffle("llvm.x86.avx2.pshuf.b", 32),
    lookup_halves=lookup_halves_by_lane,
    fma=multiply_add,
    widen_half=widen_by_instruction,
    narrow_half=narrow_by_instruction,
    pause=pause,
    tokens=2,
    queries=2,
)
