"""Chooses what to leave out of a model file as a request asks, and tells what is left."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from lepton_cli.engine.library.paths import kernel_folder
from lepton_cli.engine.loading import plan as loading
from lepton_cli.engine.pruning.choosing import Chooser, Wanted
from lepton_cli.engine.pruning.edits import Edited
from lepton_cli.engine.pruning.ranking import Open, SquareSums, block_influence
from lepton_cli.engine.pruning.sparsity import SparseTensors, Sparsity
from lepton_cli.engine.pruning.targets import By, fitted
from lepton_cli.engine.pruning.writing import CONTEXT, edited
from ops.backend import CpuBackend, Resources
from ops.compiled.kernel_folder import Compiling
from ops.machine import default_threads
from quant.errors import UsageError
from quant.gguf import GGUF


@dataclass(frozen=True, slots=True)
class Request:
    """What is to be left out. `count`: of the least important layers; `most`: bytes of the file."""

    wanted: Wanted = field(default_factory=Wanted)
    count: int = 0
    most: int | None = None
    by: By = "layers"
    sparsity: Sparsity | None = None

    @property
    def ranks_layers(self) -> bool:
        """Whether the layers' importance has to be known."""
        return self.count > 0 or (self.most is not None and self.by == "layers")


@dataclass(frozen=True, slots=True)
class Part:
    """How many units of a kind each layer had, and has."""

    kind: str
    before: int
    after: int


@dataclass(frozen=True, slots=True)
class Pruned:
    """What a request comes to. `influences`: of each layer, where they were needed."""

    result: Edited
    before: int  # bytes
    after: int
    layers: tuple[int, ...]  # that are left out
    parts: tuple[Part, ...]
    influences: tuple[float, ...] | None


def prune(
    file: GGUF,
    request: Request,
    windows: Sequence[Sequence[int]],
    sums: SquareSums | None = None,
    start: Open | None = None,
) -> Pruned:
    """Chooses; writes nothing (see `write_edited`). Raises LeptonError.

    `windows`: tokens of a text, by which layers are ranked. `sums`: of matrices' inputs over a
    text; see `unit_importance`.
    """
    program = loading.build(file, CONTEXT)
    if request.ranks_layers and program.entangled_layer is not None:
        message = f"{file.path}: layer {program.entangled_layer} reads what layers before it keep"
        raise UsageError(message, "leave out channels, heads or experts")
    if request.count >= program.layers:
        raise UsageError(f"the model has {program.layers} layers", "leave out fewer")
    chooser, influences, order = Chooser(file, program, sums), None, list[int]()
    wanted = request.wanted
    if request.ranks_layers:
        influences = block_influence(program, windows, start or open_on_cpu())
        order = [int(n) for n in np.argsort(influences, kind="stable") if n not in wanted.layers]
        wanted = replace(wanted, layers=wanted.layers | {*order[: request.count]})
    if request.most is not None:
        wanted = fitted(chooser, wanted, request.by, request.most, order)
    zeros = request.sparsity
    sparse = None if zeros is None else SparseTensors(program, zeros, sums)
    result = edited(file, chooser.choose(wanted), sparse)
    shown = None if influences is None else tuple(influences.tolist())
    after = result.header().file_bytes
    layers_out = tuple(sorted(wanted.layers))
    return Pruned(result, file.file_bytes, after, layers_out, _parts(result), shown)


def _parts(result: Edited) -> tuple[Part, ...]:
    found = dict[Part, None]()
    for cut, units in result.edit.units.items():
        each = cut.each if cut.kind == "channels" else 1
        found[Part(cut.kind, cut.units * each, (cut.units - len(units)) * each)] = None
    return tuple(found)


def open_on_cpu(
    threads: int | None = None, on_compile: Callable[[Compiling], None] = lambda _: None
) -> Open:
    """What opens programs on the CPU."""
    resources = Resources(threads or default_threads().count, kernel_folder(), on_compile)
    return CpuBackend(("f16", "f16"), resources).open


def numbers_of(text: str, layers: int) -> frozenset[int]:
    """Reads `20,21` or `20-23`. Raises UsageError."""
    found = set[int]()
    for part in text.split(","):
        first, dash, last = (word.strip() for word in part.partition("-"))
        ends = (first, last if dash else first)
        if not all(end.isascii() and end.isdigit() for end in ends):
            raise UsageError(f"{text!r} is no list of layers", "give numbers like 20,21 or 20-23")
        low, high = map(int, ends)
        if not low <= high < layers:
            message = f"{part.strip()!r} names no layers of the model"
            raise UsageError(message, f"they are numbered from 0 to {layers - 1}")
        found.update(range(low, high + 1))
    return frozenset(found)
