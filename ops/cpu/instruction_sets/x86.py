"""What the instruction sets of x86 share."""

from llvmlite import ir

from ops.cpu.instruction_sets.llvm import call
from ops.cpu.instruction_sets.rung import Builder

AVX2_FEATURES = frozenset({"avx2", "bmi", "bmi2", "f16c", "fma", "lzcnt", "movbe"})


def pause(builder: Builder) -> None:
    call(builder, "llvm.x86.sse2.pause", ir.VoidType())
