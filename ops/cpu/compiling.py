"""Compiles the CPU kernels: starts the worker with the target of a rung."""

from collections.abc import Iterator, Sequence
from importlib import import_module
from typing import Any

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


def aim(rung: Rung) -> None:
    """Sets the rung of a process that compiles its own kernels.

    To be called before it imports any: Numba then makes its target machine.
    """
    config: Any = import_module("numba.core.config")  # sets its own attributes
    config.CPU_NAME, config.CPU_FEATURES = rung.processor, rung.features


def all_kernels() -> list[str]:
    """The names of all kernels there are."""
    return compiling.all_kernels(Worker(MODULE))
