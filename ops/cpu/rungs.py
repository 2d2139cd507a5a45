"""The ladder of instruction sets: what kernels are compiled for, the best one first.

A kernel is compiled for a rung, never for the exact CPU of the machine: so its object code runs on
every machine that has the rung's instructions, and a wheel may contain it.
"""

import platform
from collections.abc import Collection, Mapping

from ops.cpu.instruction_sets.amx import AMX
from ops.cpu.instruction_sets.avx2 import AVX2
from ops.cpu.instruction_sets.avx512 import AVX512
from ops.cpu.instruction_sets.avx512bf16 import AVX512BF16
from ops.cpu.instruction_sets.avxvnni import AVXVNNI
from ops.cpu.instruction_sets.dotprod import DOTPROD
from ops.cpu.instruction_sets.generic import GENERIC, GENERIC_ARM, GENERIC_X86
from ops.cpu.instruction_sets.i8mm import I8MM
from ops.cpu.instruction_sets.rung import Rung
from quant.errors import LeptonError, UsageError

VARIABLE = "LEPTON_CPU"

X86 = (AMX, AVX512BF16, AVX512, AVXVNNI, AVX2, GENERIC_X86)
ARM = (I8MM, DOTPROD, GENERIC_ARM)
OTHER = (GENERIC,)
LADDERS = {"x86_64": X86, "AMD64": X86, "aarch64": ARM, "arm64": ARM}


def ladder(machine: str | None = None) -> tuple[Rung, ...]:
    """The rungs of a kind of machine (`platform.machine()`), best first."""
    return LADDERS.get(machine or platform.machine(), OTHER)


def reached(features: Collection[str], rungs: tuple[Rung, ...]) -> tuple[Rung, ...]:
    """The rungs that a CPU with these features can run, and this process may; the last one always.

    This prepares the process for those that need it, before it has threads that run kernels.
    """
    return tuple(rung for rung in rungs if obstacle(rung, features) is None)


def obstacle(rung: Rung, features: Collection[str]) -> str | None:
    """Why a process on a CPU with these features cannot run the rung; None if it can."""
    if missing := sorted(rung.needs - set(features)):
        return f"the CPU lacks {', '.join(missing)}"
    try:
        if rung.prepare_process:
            rung.prepare_process()
    except LeptonError as error:
        return error.message
    return None


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
