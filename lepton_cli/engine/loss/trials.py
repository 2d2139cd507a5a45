"""How far variants of a model, that exist only in memory, are from it on a text."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lepton_cli.engine.loss.divergence import Divergence, token_scores
from lepton_cli.engine.loss.windows import TokenWindow
from ops.interface import Step
from ops.memory_plan import Limits
from ops.program import Program
from ops.runners.runner import Runner
from ops.state.sequence import SequenceState
from quant.errors import UsageError

Logits = NDArray[np.float32]
Open = Callable[[Program, Limits], Runner]

TOKENS, ROWS = 128, 32  # of a step; of logits in it
KEPT = 1 << 28  # bytes of the model's own logits, which are kept


def check_predicts(program: Program, path: Path) -> None:
    """Raises UsageError for a model whose loss on a text cannot be measured."""
    if program.output.kind != "logits" or program.sees_whole_runs or program.encoder is not None:
        message = f"{path} does not predict a text token by token: its loss cannot be measured"
        raise UsageError(message, "leave out -f and what needs a text, or use another model")


class Trials:
    """Compares variants of a program with it, on as many windows as memory is kept for."""

    def __init__(self, program: Program, windows: Sequence[TokenWindow], start: Open) -> None:
        """Raises LeptonError."""
        rows = max(1, KEPT // (4 * program.vocabulary))
        self._windows = _enough(windows, rows)
        self._start = start
        self._reference = [np.array(part) for part in self._logits(program)]

    @property
    def scored(self) -> int:
        """Tokens that are compared."""
        return sum(map(len, self._reference))

    def divergence(self, variant: Program) -> Divergence:
        """Of the variant from the model. Raises LeptonError."""
        found = Divergence()
        tokens = np.concatenate([np.array(window.scored, np.int64) for window in self._windows])
        begin = 0
        for reference, rows in zip(self._reference, self._logits(variant), strict=True):
            end = begin + len(rows)
            found.add(token_scores(reference, rows, tokens[begin:end]))
            begin = end
        return found

    def _logits(self, program: Program) -> Iterator[Logits]:
        """Those that predict the scored tokens, in parts that are valid until the next one."""
        runner = self._start(program, Limits(TOKENS, ROWS))
        try:
            for window in self._windows:
                state = SequenceState(runner.pool)
                for first, stop, rows in _steps(len(window.ids) - 1, window.first - 1):
                    ids = np.array(window.ids[first:stop], np.int32)
                    positions = np.arange(first, stop, dtype=np.int32)
                    step = Step(ids, positions, np.array(rows, np.int32))
                    logits = np.asarray(runner.run(step, [state]))
                    if len(rows):
                        yield logits
                state.clear()
        finally:
            runner.close()


def _steps(count: int, first: int) -> Iterator[tuple[int, int, range]]:
    """Steps over `count` tokens: where each begins and ends, and its rows that are wanted."""
    start = 0
    while start < count:
        stop = min(start + TOKENS, count, max(start, first) + ROWS)
        yield start, stop, range(max(first - start, 0), stop - start)
        start = stop


def _enough(windows: Sequence[TokenWindow], rows: int) -> list[TokenWindow]:
    """The first windows, with so many scored tokens at most, but one at least."""
    found, left = list[TokenWindow](), rows
    for window in windows:
        left -= len(window.scored)
        if found and left < 0:
            break
        found.append(window)
    return found
