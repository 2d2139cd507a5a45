"""x86-64 with AVX-512 and its dot product of bytes (VNNI)."""

from ops.cpu.instruction_sets.halves import narrow_by_instruction, widen_by_instruction
from ops.cpu.instruction_sets.llvm import call, multiply_add
from ops.cpu.instruction_sets.rung import Builder, Rung, Value
from ops.cpu.instruction_sets.tables import lookup_by_shuffle
from ops.cpu.instruction_sets.x86 import AVX2_FEATURES, pause


def _dot(builder: Builder, total: Value, weights: Value, x: Value) -> Value:
    return call(builder, "llvm.x86.avx512.vpdpbusd.512", total.type, total, weights, x)


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
    fma=multiply_add,
    widen_half=widen_by_instruction,
    narrow_half=narrow_by_instruction,
    pause=pause,
    tokens=5,
    queries=4,
    rotate=_rotate,
)
