"""Compiling kernels ahead of the first run: the CPU's, or what some models need, of a card too."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from lepton_cli.engine.loading import LoadOptions
from lepton_cli.engine.model import kernel_folder, open_model
from ops.cpu.compiling import all_kernels
from ops.cpu.objects import ObjectStore
from ops.cpu.shelves import cache_shelf
from ops.cuda.probe import Card, find_card
from ops.shelves import Compiling
from quant.errors import LeptonError

__all__ = ["Compiling", "Warmth", "warm_up"]

SHORTEST = 1  # tokens of context: a model is opened for its kernels alone


@dataclass(frozen=True, slots=True)
class Warmth:
    """How many kernels were compiled, for which instructions, and where they are kept."""

    compiled: int
    instructions: str
    folder: Path


def warm_up(models: Sequence[str], on_compile: Callable[[Compiling], None]) -> Warmth:
    """Without models: every kernel. Raises LeptonError where the kernels cannot be kept."""
    root, ready, on_card = kernel_folder(), list[str](), list[str]()
    if root is None:
        raise LeptonError("there is no home folder to keep kernels in", "set the variable HOME")

    def hear(compiling: Compiling) -> None:
        if compiling.kernel:
            ready.append(compiling.kernel)
        on_compile(compiling)

    def hear_of_card(compiling: Compiling) -> None:
        if compiling.kernel:
            on_card.append(compiling.kernel)
        on_compile(compiling)

    has_card = isinstance(find_card(), Card)
    store = ObjectStore(root, hear)
    for name in models:
        open_model(name, LoadOptions(backend="cpu", ctx=SHORTEST), on_compile=hear).close()
        if has_card:
            on_it = LoadOptions(backend="auto", ctx=SHORTEST)
            open_model(name, on_it, on_compile=hear_of_card).close()
    if not models:
        store.prepare(all_kernels())
    shelf = cache_shelf(root, store.rung)
    lost = [name for name in ready if shelf.read(name) is None]
    if lost:
        message = f"{len(lost)} kernels were compiled, but {shelf.folder} does not keep them"
        raise LeptonError(message, "it must be on Linux, writable, and have a megabyte of space")
    return Warmth(len(ready) + len(on_card), store.rung.name, shelf.folder)
