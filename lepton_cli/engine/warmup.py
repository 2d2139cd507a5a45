"""Compiling kernels ahead of the first run: the CPU's, and those of a card where there is one."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from lepton_cli.engine.loading import LoadOptions
from lepton_cli.engine.model import kernel_folder, open_model
from ops.cpu.compiling import all_kernels
from ops.cpu.machine import default_threads
from ops.cpu.objects import ObjectStore
from ops.cpu.shelves import cache_shelf
from ops.cuda.codes import CodeStore, NoLoader, code_shelf
from ops.cuda.kernels import KERNELS
from ops.cuda.probe import Card, find_card
from ops.shelves import Compiling, Shelf
from quant.errors import LeptonError

__all__ = ["Compiling", "Warmth", "warm_up"]

SHORTEST = 1  # tokens of context: a model is opened for its kernels alone
Hear = Callable[[Compiling], None]


@dataclass(frozen=True, slots=True)
class Warmth:
    """How many kernels were compiled for one kind of processor, and where they are kept."""

    compiled: int
    instructions: str
    folder: Path


def warm_up(models: Sequence[str], on_compile: Hear) -> list[Warmth]:
    """Without models: every kernel. Raises LeptonError where the kernels cannot be kept."""
    root, card = kernel_folder(), find_card()
    if root is None:
        raise LeptonError("there is no home folder to keep kernels in", "set the variable HOME")
    cpu, hear = _heard(on_compile)
    store = ObjectStore(root, hear)
    for name in models:
        open_model(name, LoadOptions(backend="cpu", ctx=SHORTEST), on_compile=hear).close()
    if not models:
        store.prepare(all_kernels())
    warmths = [_warmth(cpu, store.rung.name, cache_shelf(root, store.rung))]
    if isinstance(card, Card):
        gpu, hear = _heard(on_compile)
        for name in models:
            options = LoadOptions(backend="auto", ctx=SHORTEST)
            open_model(name, options, on_compile=hear).close()
        if not models:
            CodeStore(NoLoader(card.capability), root, default_threads().count, hear).prepare(
                KERNELS
            )
        warmths.append(_warmth(gpu, card.target, code_shelf(root, card.target)))
    return warmths


def _heard(on_compile: Hear) -> tuple[list[str], Hear]:
    """The kernels that were compiled, and what listens for them."""
    ready: list[str] = []

    def hear(compiling: Compiling) -> None:
        if compiling.kernel:
            ready.append(compiling.kernel)
        on_compile(compiling)

    return ready, hear


def _warmth(ready: Sequence[str], instructions: str, shelf: Shelf) -> Warmth:
    lost = [name for name in ready if shelf.read(name) is None]
    if lost:
        message = f"{len(lost)} kernels were compiled, but {shelf.folder} does not keep them"
        raise LeptonError(message, "it must be on Linux, writable, and have a megabyte of space")
    return Warmth(len(ready), instructions, shelf.folder)
