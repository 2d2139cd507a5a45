"""Compiling the CPU's kernels: which process does it, and how it is told its rung."""

from collections.abc import Iterator, Sequence

from ops.compiled import compiling
from ops.compiled.compiling import Worker
from ops.cpu.instruction_sets.rung import Rung

MODULE = "ops.cpu.kernels.worker"


def compiled(names: Sequence[str], rung: Rung, processes: int) -> Iterator[tuple[str, bytes]]:
    """Kernels by name, each as it is ready, packed for the store. Raises LeptonError."""
    told = (("NUMBA_CPU_NAME", rung.processor), ("NUMBA_CPU_FEATURES", rung.features))
    return compiling.compiled(names, Worker(MODULE, variables=told), processes)


def all_kernels() -> list[str]:
    """The names of all kernels there are."""
    return compiling.all_kernels(Worker(MODULE))
