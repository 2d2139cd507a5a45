"""ARM with the dot product of signed bytes and with half floats (ARMv8.2)."""

from ops.cpu.instruction_sets.arm import pause
from ops.cpu.instruction_sets.halves import narrow_by_instruction, widen_by_instruction
from ops.cpu.instruction_sets.llvm import by_parts, call, constant, multiply_add
from ops.cpu.instruction_sets.rung import Builder, Rung, Value
from ops.cpu.instruction_sets.tables import lookup_by_shuffle, lookup_halves_by_lane


def _dot_small(builder: Builder, total: Value, weights: Value, x: Value) -> Value:
    def part(total: Value, weights: Value, x: Value) -> Value:
        name = "llvm.aarch64.neon.sdot.v4i32.v16i8"
        return call(builder, name, total.type, total, weights, x)

    return by_parts(builder, 4, part, total, weights, x)


def _dot(builder: Builder, total: Value, weights: Value, x: Value) -> Value:
    """w = (w - 128) - (-128): both factors fit into signed bytes."""
    signed = builder.xor(weights, constant("u8", 128))
    total = _dot_small(builder, total, signed, x)
    zero = constant("i32", 0)
    return builder.sub(total, _dot_small(builder, zero, constant("u8", 128), x))


DOTPROD = Rung(
    name="dotprod",
    processor="generic",
    features="+dotprod,+fullfp16",
    needs=frozenset({"dotprod", "fullfp16"}),
    dot=_dot,
    dot_small=_dot_small,
    lookup=lookup_by_shuffle("llvm.aarch64.neon.tbl1.v16i8", 16),
    lookup_halves=lookup_halves_by_lane,
    fma=multiply_add,
    widen_half=widen_by_instruction,
    narrow_half=narrow_by_instruction,
    pause=pause,
    tokens=2,
    queries=2,
)
