"""What the instruction sets of ARM share."""

from llvmlite import ir

from ops.cpu.instruction_sets.llvm import I32, call
from ops.cpu.instruction_sets.rung import Builder

YIELD = 1


def pause(builder: Builder) -> None:
    call(builder, "llvm.aarch64.hint", ir.VoidType(), I32(YIELD))
