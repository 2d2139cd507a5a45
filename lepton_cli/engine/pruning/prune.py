"""Chooses what to leave out of a model file as a request asks, and tells what is left."""

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal, get_args

import numpy as np

from lepton_cli.engine.files.trial import CONTEXT
from lepton_cli.engine.loading import plan as loading
from lepton_cli.engine.loss.divergence import Divergence
from lepton_cli.engine.loss.trials import (
    Open,
    Trials,
    check_predicts,
    open_on_cpu,
    with_bytes,
)
from lepton_cli.engine.loss.windows import TokenWindow
from lepton_cli.engine.pruning.choosing import Chooser, Wanted
from lepton_cli.engine.pruning.edits import Edited, silenced
from lepton_cli.engine.pruning.ranking import (
    SquareSums,
    block_influence,
    by_divergence,
    by_influence,
)
from lepton_cli.engine.pruning.sparsity import SparseTensors, Sparsity
from lepton_cli.engine.pruning.targets import By, without_layers, without_shares
from lepton_cli.engine.pruning.writing import check_left
from ops.program import Program
from quant.bits import Bytes
from quant.errors import UsageError
from quant.gguf import GGUF

Ranking = Literal["influence", "kld"]
"""How far a layer turns what enters it, or how far the model without it diverges."""

RANKING = 16  # windows of a text: more hardly change the order of the layers


@dataclass(frozen=True, slots=True)
class Request:
    """What is to be left out. `count`: of the least important layers; `most`: bytes of the file."""

    wanted: Wanted = field(default_factory=Wanted)
    count: int = 0
    most: int | None = None
    by: By = "layers"
    rank: Ranking = "influence"
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
    windows: Sequence[TokenWindow],
    sums: SquareSums | None = None,
    start: Open | None = None,
    tell: Callable[[int, float], None] = lambda layer, divergence: None,
) -> Pruned:
    """Chooses; writes nothing (see `output_of`). Raises LeptonError.

    `windows`: of a text, by which layers are ranked. `sums`: of squares of matrices' inputs over a
    text; see `unit_importance`. `tell`: after each trial without a layer, with its divergence.
    """
    program = loading.build(file, CONTEXT)
    _check(request, program.layers)
    if windows:
        check_predicts(program, file.path)
    elif request.ranks_layers:
        message = "layers are ranked by a text, and none is given"
        raise UsageError(message, "give one like those the model is for: -f text.txt")
    chooser, wanted, influences = Chooser(file, program, sums), request.wanted, None
    if request.ranks_layers:
        _check_untangled(file, program)
        begin, texts = start or open_on_cpu(), windows[:RANKING]
        if request.rank == "kld":
            order = by_divergence(program, Trials(program, texts, begin), wanted.layers, tell)
        else:
            influences = block_influence(program, [each.ids for each in texts], begin)
            order = by_influence(influences, wanted.layers)
        least = itertools.islice(order, request.count)
        wanted = replace(wanted, layers=wanted.layers | {*least})
        if request.most is not None and request.by == "layers":
            wanted = without_layers(chooser, wanted, request.most, order)
    if request.most is not None and request.by != "layers":
        wanted = without_shares(chooser, wanted, request.by, request.most)
    zeros = request.sparsity
    sparse = None if zeros is None else SparseTensors(program, zeros, sums)
    edit = chooser.choose(wanted)
    if not edit.layers and not edit.units and sparse is None:
        hint = "ask for more: a larger share, or a smaller size"
        raise UsageError(f"nothing of {file.path} would be left out", hint)
    result = Edited(file, program, edit, sparse)
    check_left(result)
    shown = None if influences is None else tuple(influences.tolist())
    after = result.header().file_bytes
    layers_out = tuple(sorted(wanted.layers))
    return Pruned(result, file.file_bytes, after, layers_out, _parts(result), shown)


def program_left(found: Pruned) -> Program | None:
    """What would be left, in memory: silent units in place of left out ones.

    None where experts leave: others are chosen in their place.
    """
    result, edit = found.result, found.result.edit
    if any(cut.kind == "experts" for cut in edit.units):
        return None
    program = result.program.without(edit.layers) if edit.layers else result.program
    tensors, changed = result.file.tensors, dict[str, Bytes]()
    for cut, units in edit.units.items():
        columns = (units[:, None] * cut.each + np.arange(cut.each)).ravel()
        changed[cut.reader] = silenced(tensors[cut.reader], columns)
    if result.sparse is not None:
        for name in result.sparse.names:
            changed[name] = np.concatenate([*result.sparse.rows(tensors[name])])
    return with_bytes(program, result.file, changed)


def lost(
    found: Pruned, windows: Sequence[TokenWindow], out: Path | None, start: Open | None = None
) -> Divergence | None:
    """How far what is left is from the model, on the first windows of a text.

    `out`: the file, if it is written: without it None where experts leave. Raises LeptonError.
    """
    left = program_left(found) if out is None else loading.build(GGUF.open(out), CONTEXT)
    if left is None:
        return None
    return Trials(found.result.program, windows[:RANKING], start or open_on_cpu()).divergence(left)


def _check(request: Request, layers: int) -> None:
    """Raises UsageError for what cannot be asked of a model with so many layers."""
    wanted = request.wanted
    shares = {"channels": wanted.channels, "heads": wanted.heads, "experts": wanted.experts}
    for name, share in shares.items():
        if not 0 <= share < 1:
            raise UsageError(f"--{name} is {share:g}", "give a share from 0 to 1, like 0.25")
    for option, value, known in (("by", request.by, By), ("rank", request.rank, Ranking)):
        if value not in get_args(known):
            raise UsageError(f"{option} is {value!r}", f"it may be {', '.join(get_args(known))}")
    if request.sparsity is not None and any(shares.values()):
        message = "--sparsity and a share of channels, heads or experts are both given"
        raise UsageError(message, "prune first, then make the result sparse")
    asked = (wanted.layers, request.count, request.sparsity, request.most, *shares.values())
    if not any(asked):
        message = "nothing is said of what to leave out"
        raise UsageError(message, "for example: --layers 4, --channels 0.25 or --target-size 3G")
    if request.count < 0 or not wanted.layers <= {*range(layers)}:
        message = f"layers {sorted(wanted.layers)} and {request.count} more are to be left out"
        raise UsageError(message, f"the model's are numbered from 0 to {layers - 1}")
    if len(wanted.layers) + request.count >= layers:
        raise UsageError(f"the model has {layers} layers", "leave out fewer")


def _check_untangled(file: GGUF, program: Program) -> None:
    if program.entangled_layer is not None:
        message = f"{file.path}: layer {program.entangled_layer} reads what layers before it keep"
        raise UsageError(message, "leave out channels, heads or experts")


def _parts(result: Edited) -> tuple[Part, ...]:
    found = dict[Part, None]()
    for cut, units in result.edit.units.items():
        each = cut.each if cut.kind == "channels" else 1
        found[Part(cut.kind, cut.units * each, (cut.units - len(units)) * each)] = None
    return tuple(found)


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
