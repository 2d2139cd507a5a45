"""ARM with products of 2 x 8 and 8 x 2 matrices of bytes (ARMv8.6; optional from ARMv8.2 on)."""

from dataclasses import replace

from ops.cpu.instruction_sets.dotprod import DOTPROD
from ops.cpu.instruction_sets.llvm import call
from ops.cpu.instruction_sets.rung import Builder, Value


def _multiply_pairs(builder: Builder, sums: Value, levels: Value, x: Value) -> Value:
    return call(builder, "llvm.aarch64.neon.smmla.v4i32.v16i8", sums.type, sums, levels, x)


I8MM = replace(
    DOTPROD,
    name="i8mm",
    features=f"{DOTPROD.features},+i8mm",
    needs=DOTPROD.needs | {"i8mm"},
    multiply_pairs=_multiply_pairs,
)
