"""Rungs of the ladder of instruction sets: what kernels are compiled for, the best one first.

A kernel is compiled for a rung and never for the very CPU at hand: so the objects of a rung serve
every machine that reaches it, and a wheel may carry them.
"""

import platform
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from quant.errors import UsageError

VARIABLE = "LEPTON_CPU"


@dataclass(frozen=True, slots=True)
class Rung:
    """A set of instructions by LLVM's names, and what a machine must have to reach it."""

    name: str
    processor: str  # LLVM's name of a processor model
    features: str = ""  # beyond that model's
    needs: frozenset[str] = frozenset()
    tokens: int = 1  # whose sums for two panels fit into the registers
    queries: int = 1  # whose sums fit there for as many registers of positions


AVX2 = frozenset({"avx2", "bmi", "bmi2", "f16c", "fma", "lzcnt", "movbe"})
AVX512 = AVX2 | {"avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl", "avx512vnni"}

X86 = (
    Rung("avx512", "x86-64-v4", "+avx512vnni,-prefer-256-bit", AVX512, 5, 4),
    Rung("avxvnni", "x86-64-v3", "+avxvnni", AVX2 | {"avxvnni"}, 2, 2),
    Rung("avx2", "x86-64-v3", "", AVX2, 3, 2),
    Rung("generic", "x86-64"),
)
ARM = (
    Rung("dotprod", "generic", "+dotprod,+fullfp16", frozenset({"dotprod", "fullfp16"}), 2, 2),
    Rung("generic", "generic"),
)
OTHER = (Rung("generic", "generic"),)
LADDERS = {"x86_64": X86, "AMD64": X86, "aarch64": ARM, "arm64": ARM}


def ladder(machine: str | None = None) -> tuple[Rung, ...]:
    """The rungs of a kind of machine (`platform.machine()`), best first."""
    return LADDERS.get(machine or platform.machine(), OTHER)


def reached(features: Collection[str], rungs: tuple[Rung, ...]) -> tuple[Rung, ...]:
    """The rungs that a CPU with these features can run; the last one always."""
    return tuple(rung for rung in rungs if rung.needs <= set(features))


def choose_rung(
    features: Collection[str], environment: Mapping[str, str], machine: str | None = None
) -> Rung:
    """The best rung, or the one that LEPTON_CPU asks for. Raises UsageError."""
    rungs = reached(features, ladder(machine))
    wanted = environment.get(VARIABLE, "")
    if not wanted:
        return rungs[0]
    for rung in rungs:
        if rung.name == wanted:
            return rung
    names = ", ".join(rung.name for rung in rungs)
    raise UsageError(f"{VARIABLE} is {wanted!r}", f"this CPU can run {names}")
