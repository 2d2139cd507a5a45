"""Compiles kernels ahead of the first run, for the CPU and for a card if there is one."""

import contextlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from lepton_cli.engine.library.paths import kernel_folder
from lepton_cli.engine.loading.plan import LoadOptions
from lepton_cli.engine.model import open_model
from ops.backend import all_kernels
from ops.compiled.compiling import MAX_PROCESSES
from ops.compiled.kernel_folder import Compiling
from ops.machine import default_threads
from quant.errors import OutOfMemoryError

__all__ = ["Compiling", "WarmupResult", "seconds", "warm_up"]

FIXED_SECONDS, SECONDS_PER_KERNEL = 3, 2  # of one process, on a busy machine
MIN_CONTEXT = 1  # tokens: the model is only opened for its kernels
OnCompile = Callable[[Compiling], None]


@dataclass(frozen=True, slots=True)
class WarmupResult:
    """How many kernels were compiled for one processor, and in which folder they are.

    `unpacked`: the formats whose weights are unpacked once for many tokens from now on, and how
    many times as fast that was here. `left_out`: which models were not opened on it, and why.
    """

    compiled: int
    instructions: str
    folder: Path
    unpacked: Mapping[str, float]
    left_out: tuple[str, ...] = ()


def seconds(kernels: int) -> int:
    """An upper estimate of the time to compile."""
    together = min(default_threads().count, MAX_PROCESSES)
    return FIXED_SECONDS + -(-SECONDS_PER_KERNEL * kernels // together)


def warm_up(models: Sequence[str], on_compile: OnCompile) -> list[WarmupResult]:
    """Compiles the kernels of these models, or all. Raises LeptonError if they cannot be stored.

    A model that fits only on a card is left out for the CPU; otherwise raises OutOfMemoryError.
    """

    def report(compiling: Compiling) -> None:
        if compiling.lost:
            raise compiling.lost
        on_compile(compiling)

    kinds = all_kernels(kernel_folder(), report)
    before = [kind.count() for kind in kinds]
    left_out: list[list[str]] = [[] for _ in kinds]
    for name in models:
        full = _open_on_cpu(name, report)
        if len(kinds) > 1:
            why = _open_on_card(name, report)
            if full and why:
                raise full
            left_out[0] += [f"{name} is for the card only: {full}"] if full else []
            left_out[1] += [f"{name}: {why}"] if why else []
        elif full:
            raise full
    if not models:
        for kind in kinds:
            kind.compile_all()
    unpacked = [kind.choose_shapes() for kind in kinds]
    return [
        WarmupResult(kind.count() - count, kind.instructions, kind.folder, faster, tuple(left))
        for kind, count, faster, left in zip(kinds, before, unpacked, left_out, strict=True)
    ]


def _open_on_cpu(name: str, hear: OnCompile) -> OutOfMemoryError | None:
    try:
        open_model(name, LoadOptions(backend="cpu", ctx=MIN_CONTEXT), on_compile=hear).close()
    except OutOfMemoryError as error:
        return error
    return None


def _open_on_card(name: str, hear: OnCompile) -> str | None:
    """The reason why it could not be opened there, or None."""
    try:
        model = open_model(name, LoadOptions(backend="auto", ctx=MIN_CONTEXT), on_compile=hear)
    except OutOfMemoryError as error:
        return str(error)
    with contextlib.closing(model):
        return None if model.gpu else model.no_gpu or "the card was not used"
