"""Compiling kernels ahead of the first run: the CPU's, and those of a card where there is one."""

import contextlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from lepton_cli.engine.loading.plan import LoadOptions
from lepton_cli.engine.model import kernel_folder, open_model
from ops.backend import all_kernels
from ops.compiled.compiling import MAX_PROCESSES
from ops.compiled.kernel_folder import Compiling
from ops.machine import default_threads
from quant.errors import OutOfMemoryError

__all__ = ["Compiling", "Warmth", "seconds", "warm_up"]

FEWEST_SECONDS, SECONDS_A_KERNEL = 3, 2  # of one process, on a machine that has more to do
SHORTEST = 1  # tokens of context: a model is opened for its kernels alone
Hear = Callable[[Compiling], None]


@dataclass(frozen=True, slots=True)
class Warmth:
    """How many kernels were compiled for one kind of processor, and where they are kept.

    `left_out` says which models were not opened on it, and why.
    """

    compiled: int
    instructions: str
    folder: Path
    left_out: tuple[str, ...] = ()


def seconds(kernels: int) -> int:
    """Roughly how long compiling takes: rather more than less."""
    together = min(default_threads().count, MAX_PROCESSES)
    return FEWEST_SECONDS + -(-SECONDS_A_KERNEL * kernels // together)


def warm_up(models: Sequence[str], on_compile: Hear) -> list[Warmth]:
    """Without models: every kernel. Raises LeptonError where the kernels cannot be stored.

    A model that only a card has room for is left out on the CPU; else it is an OutOfMemoryError.
    """

    def hear(compiling: Compiling) -> None:
        if compiling.lost:
            raise compiling.lost
        on_compile(compiling)

    kinds = all_kernels(kernel_folder(), hear)
    before = [kind.count() for kind in kinds]
    left_out: list[list[str]] = [[] for _ in kinds]
    for name in models:
        full = _open_on_cpu(name, hear)
        if len(kinds) > 1:
            why = _open_on_card(name, hear)
            if full and why:
                raise full
            left_out[0] += [f"{name} is for the card only: {full}"] if full else []
            left_out[1] += [f"{name}: {why}"] if why else []
        elif full:
            raise full
    if not models:
        for kind in kinds:
            kind.compile_all()
    return [
        Warmth(kind.count() - count, kind.instructions, kind.folder, tuple(left))
        for kind, count, left in zip(kinds, before, left_out, strict=True)
    ]


def _open_on_cpu(name: str, hear: Hear) -> OutOfMemoryError | None:
    try:
        open_model(name, LoadOptions(backend="cpu", ctx=SHORTEST), on_compile=hear).close()
    except OutOfMemoryError as error:
        return error
    return None


def _open_on_card(name: str, hear: Hear) -> str | None:
    """Why it was not; None: it was."""
    try:
        model = open_model(name, LoadOptions(backend="auto", ctx=SHORTEST), on_compile=hear)
    except OutOfMemoryError as error:
        return str(error)
    with contextlib.closing(model):
        return None if model.gpu else model.no_gpu or "the card was not used"
