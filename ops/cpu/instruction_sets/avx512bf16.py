"""x86-64 with AVX-512 and its dot product of pairs of BF16 (Cooper Lake, Zen 4 and later)."""

from dataclasses import replace

from llvmlite import ir

from ops.cpu.instruction_sets.avx512 import AVX512
from ops.cpu.instruction_sets.llvm import BFLOAT, call
from ops.cpu.instruction_sets.rung import Builder, Value


def _dot_bf16(builder: Builder, total: Value, weights: Value, x: Value) -> Value:
    halves = ir.VectorType(BFLOAT, 32)
    pairs = (builder.bitcast(pair, halves) for pair in (weights, x))
    return call(builder, "llvm.x86.avx512bf16.dpbf16ps.512", total.type, total, *pairs)


AVX512BF16 = replace(
    AVX512,
    name="avx512bf16",
    features=f"{AVX512.features},+avx512bf16",
    needs=AVX512.needs | {"avx512bf16"},
    dot_bf16=_dot_bf16,
)
