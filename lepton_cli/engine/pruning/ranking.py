"""How much each layer, channel, head and expert does, so that the least are left out."""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lepton_cli.engine.imatrix.files import read_matrix
from lepton_cli.engine.loss.trials import Open, Trials, opened, rows_of
from lepton_cli.engine.pruning.cuts import Cut
from ops.program import Program
from quant.errors import UsageError
from quant.format import dequantize
from quant.gguf import GGUF

Scores = NDArray[np.float64]
SquareSums = Mapping[str, NDArray[np.float64]]
"""Of a matrix's input, column by column, over the tokens of a text: (experts, columns)."""

STEP = 32  # tokens: what enters every layer stands side by side, for each of them
ROWS = 4096  # of a matrix that are read at a time


def block_influence(program: Program, windows: Iterable[Sequence[int]], start: Open) -> Scores:
    """How far each layer turns what enters it: 1 - cosine, the mean over all tokens of a text.

    (Men et al. 2024.) Not of a program with an `entangled_layer`. Raises LeptonError.
    """
    crossings = program.crossings()
    total, count = np.zeros(program.layers), 0
    with opened(program.giving(crossings), start, STEP, STEP) as passes:
        for window in windows:
            for part in rows_of(passes, window):
                x = np.asarray(part).reshape(len(part), len(crossings), -1).astype(np.float64)
                lengths = np.linalg.norm(x, axis=-1)
                products = np.einsum("tld,tld->tl", x[:, :-1], x[:, 1:])
                scale = np.maximum(lengths[:, :-1] * lengths[:, 1:], np.finfo(np.float64).tiny)
                total += (1 - products / scale).sum(axis=0)
                count += len(part)
    return total / max(1, count)


def by_influence(influences: Scores, dropped: Collection[int]) -> Iterator[int]:
    """The layers, those that change least what enters them first."""
    for layer in np.argsort(influences, kind="stable").tolist():
        if layer not in dropped:
            yield layer


def by_divergence(
    program: Program,
    trials: Trials,
    dropped: Collection[int],
    tell: Callable[[int, float], None] = lambda layer, divergence: None,
) -> Iterator[int]:
    """The layers, the next one always that without which the model diverges least.

    `tell` is called after each trial. Not of a program with an `entangled_layer`.
    """
    gone = {*dropped}
    while left := [layer for layer in range(program.layers) if layer not in gone]:
        losses = dict[int, float]()
        for layer in left:
            losses[layer] = trials.divergence(program.without({*gone, layer})).mean.value
            tell(layer, losses[layer])
        least = min(left, key=losses.__getitem__)
        gone.add(least)
        yield least


def read_sums(path: Path, file: GGUF) -> SquareSums:
    """Of all of a model's matrices that the importance matrix at `path` knows.

    Raises UsageError for another file, or of another model; ModelFileError for a damaged one.
    """
    matrix = read_matrix(path)
    matrix.check_model(file, str(path))
    return {
        name: entry.of_experts(file.tensors[name].experts).sums
        for name, entry in matrix.entries.items()
    }


def sums_of(sums: SquareSums, name: str, experts: int) -> NDArray[np.float64]:
    """(experts, columns). Raises UsageError if it has none."""
    if name not in sums:
        message = f"the importance matrix has no entry for {name}"
        raise UsageError(message, "make one of this model: lepton imatrix MODEL TEXT")
    return sums[name].reshape(experts, -1)


def unit_importance(file: GGUF, cut: Cut, sums: SquareSums | None) -> Scores:  # (units,)
    """What the matrix behind the units makes of each: Σ (w² · Σ x²) over its columns.

    `sums` are those of its input over a text; without them all inputs count alike.
    """
    tensor = file.tensors[cut.reader]
    experts, columns = tensor.experts, tensor.shape[-1]
    own = np.ones((experts, columns)) if sums is None else sums_of(sums, cut.reader, experts)
    squares = np.zeros((experts, columns))
    data = tensor.data.reshape(experts, -1, tensor.data.shape[1])
    for expert in range(experts):
        for begin in range(0, data.shape[1], ROWS):
            rows = dequantize(tensor.format, data[expert, begin : begin + ROWS])
            squares[expert] += np.einsum("rc,rc->c", rows, rows, dtype=np.float64)
    squares *= own.reshape(-1, columns)
    if cut.kind != "experts":
        squares = squares.sum(axis=0).reshape(cut.units, -1)
    scores: Scores = squares.sum(axis=1)
    return scores
