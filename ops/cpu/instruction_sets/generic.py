"""The lowest rung of each kind of machine: what all of its processors can run."""

from dataclasses import replace

from ops.cpu.instruction_sets import arm, x86
from ops.cpu.instruction_sets.dots import dot_by_words
from ops.cpu.instruction_sets.halves import (
    narrow_by_instruction,
    narrow_by_integers,
    widen_by_instruction,
    widen_by_integers,
)
from ops.cpu.instruction_sets.llvm import multiply_add, multiply_then_add
from ops.cpu.instruction_sets.rung import Builder, Rung
from ops.cpu.instruction_sets.tables import lookup_by_choice, lookup_halves_by_lane


def _fence(builder: Builder) -> None:
    """Stands for a pause where we know no instruction for it."""
    builder.fence("seq_cst")


GENERIC = Rung(
    name="generic",
    processor="generic",
    features="",
    needs=frozenset(),
    dot=dot_by_words,
    dot_small=dot_by_words,
    lookup=lookup_by_choice,
    lookup_halves=lookup_halves_by_lane,
    fma=multiply_then_add,
    widen_half=widen_by_integers,
    narrow_half=narrow_by_integers,
    pause=_fence,
)
GENERIC_X86 = replace(GENERIC, processor="x86-64", pause=x86.pause)
GENERIC_ARM = replace(
    GENERIC,
    features="+neon",  # every one has it; so its name differs from that of other machines
    fma=multiply_add,
    widen_half=widen_by_instruction,
    narrow_half=narrow_by_instruction,
    pause=arm.pause,
)
