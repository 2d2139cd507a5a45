"""Collects an importance matrix: reads the windows of a text, and adds up what enters products."""

import hashlib
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from lepton_cli.engine.imatrix.matrix import Entry, ImportanceMatrix, Progress, merged
from lepton_cli.engine.loading.plan import LoadOptions
from lepton_cli.engine.loss.scoring import check_window, options_for
from lepton_cli.engine.loss.windows import TokenWindow, TokenWindows
from lepton_cli.engine.model import Model
from ops.operations.observing import Squares
from quant.errors import ModelFileError


@dataclass(frozen=True, slots=True)
class Collected:
    """How far it is: `done` of `total` windows, of which so many tokens were read just now."""

    done: int
    total: int
    read: int
    seconds: float

    @property
    def rate(self) -> float:
        """Tokens per second."""
        return self.read / self.seconds if self.seconds else 0.0


def collecting_options(options: LoadOptions, size: int, *, of_output: bool) -> LoadOptions:
    """To open a model whose products are observed, for windows of so many tokens."""
    return replace(options_for(options, size), observed="all" if of_output else "blocks")


@dataclass(frozen=True, slots=True)
class Run:
    """A command: `dataset` is the text's name; `key` changes with whatever changes the result."""

    dataset: str
    key: str


def run_of(dataset: str, identity: str, windows: TokenWindows, others: Sequence[Path]) -> Run:
    """Of a model, a text and the matrices that it is added to. Raises OSError."""
    digest = hashlib.sha256(f"{identity} {windows.size} {windows.starts} {windows.bos}".encode())
    digest.update(np.array(windows.ids, "<i4").tobytes())
    for path in others:
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    return Run(dataset, digest.hexdigest())


class Collector:
    """Adds up what an open model reads of a text, to what `before` holds: other texts, or a part.

    `run` names the command; a `before` of the same is continued.
    """

    def __init__(
        self, model: Model, windows: TokenWindows, run: Run, before: ImportanceMatrix | None
    ) -> None:
        """`model` was opened with `collecting_options`."""
        self._model, self._windows, self._run = model, windows, run
        self._observed = [_Sum(squares) for squares in model.observations]
        self._before = before or ImportanceMatrix({})
        self._begun = self._done = done_of(before, run)

    def collect(self) -> Iterator[Collected]:
        """Reads window by window; the matrix holds whole windows. Raises LeptonError."""
        begun, read = time.perf_counter(), 0
        for window in self._windows[self._done :]:
            self._read(window)
            self._done += 1
            read += len(window.ids)
            yield Collected(self._done, len(self._windows), read, time.perf_counter() - begun)

    @property
    def matrix(self) -> ImportanceMatrix:
        """Of all windows so far."""
        added = [
            ImportanceMatrix({name: Entry(each.sums.copy(), each.counts.copy())})
            for each in self._observed  # a weight may be used at several places
            for name in dict.fromkeys(each.squares.names)
        ]
        together = merged([(str(self._model.path), each) for each in (self._before, *added)])
        return replace(
            together,
            datasets=tuple(dict.fromkeys([*self._before.datasets, self._run.dataset])),
            chunks=self._before.chunks + self._done - self._begun,
            chunk_size=self._windows.size,
            progress=Progress(self._run.key, self._done),
        )

    def _read(self, window: TokenWindow) -> None:
        check_window(self._model, window.ids)
        for _ in self._model.window.logits_from(0, window.ids):
            for each in self._observed:
                each.add_pass()
        for each in self._observed:
            each.add_tokens(len(window.ids))
        if not all(np.isfinite(each.sums).all() for each in self._observed):
            hint = "the file is probably damaged: lepton verify looks for the place"
            raise ModelFileError(f"{self._model.path}: activations are not finite", hint)


class _Sum:
    """Of what a model's passes add up for one input."""

    def __init__(self, squares: Squares) -> None:
        self.squares = squares
        self.sums, self.counts = squares.sums.astype(float), squares.counts.astype(float)

    def add_pass(self) -> None:
        self.sums += self.squares.sums
        if self.squares.ids is not None:
            self.counts += self.squares.counts

    def add_tokens(self, tokens: int) -> None:
        """Each token counts alike, but where it chooses experts."""
        if self.squares.ids is None:
            self.counts += tokens * self.squares.x.multiple


def done_of(matrix: ImportanceMatrix | None, run: Run) -> int:
    """How many windows of a run a matrix holds."""
    progress = matrix.progress if matrix else None
    return progress.done if progress is not None and progress.run == run.key else 0
