"""How far variants of a model, that exist only in memory, are from it on a text."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from lepton_cli.engine.decoding.window import Passes, Window
from lepton_cli.engine.library.paths import kernel_folder
from lepton_cli.engine.loss.divergence import Divergence, token_scores
from lepton_cli.engine.loss.windows import TokenWindow
from ops.backend import CpuBackend, Resources
from ops.compiled.kernel_folder import Compiling
from ops.interface import Weight
from ops.logits import Logits
from ops.machine import default_threads
from ops.memory_plan import Limits
from ops.program import Program
from ops.runners.runner import Runner
from quant.bits import Bytes
from quant.errors import UsageError
from quant.format import Format
from quant.gguf import GGUF

Open = Callable[[Program, Limits], Runner]

TOKENS, ROWS = 128, 32  # of a pass; of logits in it
KEPT = 1 << 28  # bytes of the model's own logits, which are kept


def with_bytes(
    program: Program, file: GGUF, changed: Mapping[str, Bytes], kind: Format | None = None
) -> Program:
    """A file's program with other bytes in some tensors. `kind`: theirs, if it is another one."""

    def change(weight: Weight) -> Weight:  # which may be some rows of a tensor
        if weight.name not in changed:
            return weight
        whole = file.tensors[weight.name].data
        return weight.of(whole, changed[weight.name], kind or weight.format)

    return program.weighing(change)


def check_predicts(program: Program, path: Path) -> None:
    """Raises UsageError for a model whose loss on a text cannot be measured."""
    if not program.predicts_next:
        message = f"{path} does not predict a text token by token: its loss cannot be measured"
        raise UsageError(message, "leave out -f and what needs a text, or use another model")


def open_on_cpu(
    threads: int = 0, on_compile: Callable[[Compiling], None] = lambda compiling: None
) -> Open:
    """What opens programs on the CPU; with fewer threads than one, the usual number."""
    count = threads if threads > 0 else default_threads().count
    return CpuBackend(("f16", "f16"), Resources(count, kernel_folder(), on_compile)).open


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
            found.add(token_scores(reference, np.asarray(rows), tokens[begin:end]))
            begin = end
        return found

    def _logits(self, program: Program) -> Iterator[Logits]:
        """Those that predict the scored tokens, in parts that are valid until the next one."""
        with opened(program, self._start, TOKENS, ROWS) as passes:
            for window in self._windows:
                yield from rows_of(passes, window.ids[:-1], window.first - 1)


@contextmanager
def opened(program: Program, start: Open, tokens: int, rows: int) -> Iterator[Passes]:
    """A program that exists only in memory: at most so many tokens a pass, and rows of results."""
    runner = start(program, Limits(tokens, rows))
    try:
        yield Passes(runner, tokens, rows)
    finally:
        runner.close()


def rows_of(passes: Passes, ids: Sequence[int], first: int = 0) -> Iterator[Logits]:
    """The results for ids[first:], see `Window.logits_from`."""
    window = Window(passes, len(ids))
    yield from window.logits_from(first, ids)
    window.clear()


def _enough(windows: Sequence[TokenWindow], rows: int) -> list[TokenWindow]:
    """The first windows, with so many scored tokens at most, but one at least."""
    found, left = list[TokenWindow](), rows
    for window in windows:
        left -= len(window.scored)
        if found and left < 0:
            break
        found.append(window)
    return found
