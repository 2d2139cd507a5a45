"""Compiles the CPU kernels: starts the worker with the target of a rung."""

from collections.abc import Iterator, Sequence

from ops.compiled import compiling
from ops.compiled.compiling import Worker
from ops.cpu.instruction_sets.rung import Rung

MODULE = "ops.cpu.kernels.worker"


def compile_kernels(
    names: Sequence[str], rung: Rung, processes: int
) -> Iterator[tuple[str, bytes]]:
    """Yields (name, packed kernel) as each one is ready. Raises LeptonError."""
    variables = (("NUMBA_CPU_NAME", rung.processor), ("NUMBA_CPU_FEATURES", rung.features))
    return compiling.compile_kernels(names, Worker(MODULE, variables=variables), processes)


def all_kernels() -> list[str]:
    """The names of all kernels there are."""
    return compiling.all_kernels(Worker(MODULE))
