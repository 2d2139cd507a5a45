"""`lepton imatrix`: collects an importance matrix, merges some, or shows what one says."""

import sys
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import typer

from lepton_cli.engine.files.writing import check_names
from lepton_cli.engine.imatrix.collecting import (
    Collected,
    Collector,
    collecting_options,
    done_of,
    run_of,
)
from lepton_cli.engine.imatrix.files import layout_of, read_matrix, write_matrix
from lepton_cli.engine.imatrix.matrix import ImportanceMatrix, merged
from lepton_cli.engine.imatrix.statistics import weight_statistics
from lepton_cli.engine.library.catalogue import resolve
from lepton_cli.engine.library.sizes import counted
from lepton_cli.engine.library.stores import shard_paths
from lepton_cli.ui.arguments.options.measuring import (
    ImatrixOptions,
    MeasuredModelOptions,
    WindowOptions,
)
from lepton_cli.ui.commands.measuring.reading import STDIN, command_of, measuring_options, windowed
from lepton_cli.ui.open_model import open_measured
from lepton_cli.ui.reports.measuring.importance_table import importance_table
from lepton_cli.ui.reports.measuring.window_meter import WindowMeter
from lepton_cli.ui.terminal.interrupt import interrupting
from lepton_cli.ui.terminal.notes import note
from lepton_cli.ui.terminal.output import emit
from quant.errors import UsageError
from quant.gguf import GGUF


@dataclass(frozen=True, slots=True)
class ImatrixRequest:
    """The command line's request: `name` of the model, `word` for the text's file, options."""

    name: str
    word: str | None
    model: MeasuredModelOptions
    text: WindowOptions
    matrix: ImatrixOptions


class Output:
    """The file that a matrix is written to, and its copies."""

    def __init__(self, options: ImatrixOptions) -> None:
        self.path = Path(options.output).expanduser()
        given = options.output_format
        self.layout = layout_of(self.path) if given == "auto" else given
        self._every, self._keep_every = options.output_frequency, options.save_frequency
        self._overwrite = options.overwrite

    def there(self) -> ImportanceMatrix | None:
        """What the file holds, if it exists and is not to be replaced. Raises LeptonError."""
        return None if self._overwrite or not self.path.exists() else read_matrix(self.path)

    def check_apart(self, sources: Sequence[Path]) -> None:
        """Raises UsageError if it is one of these, which are read, or a folder."""
        check_names([self.path], sources, overwrite=True)

    def check_free(self) -> None:
        """Raises UsageError if a file is there that is not to be replaced."""
        check_names([self.path], [], overwrite=self._overwrite)

    def write(self, matrix: ImportanceMatrix) -> None:
        write_matrix(self.path, matrix, self.layout)

    def keep(self, collector: Collector, done: int) -> None:
        """Writes the matrix after so many windows, if it is time."""
        if done % self._every == 0:
            self.write(collector.matrix)
        if self._keep_every and done % self._keep_every == 0:
            copy = self.path.with_name(f"{self.path.name}.at_{done}")
            write_matrix(copy, collector.matrix, self.layout)


def collect_importance(request: ImatrixRequest) -> None:
    """Ctrl-C ends it after the present window; the same command continues.

    Raises typer.Exit after Ctrl-C, LeptonError.
    """
    path, options = resolve(request.name), request.matrix
    command = command_of("imatrix", request.name)
    text = windowed(path, command, request.word, request.text)
    windows, output = text.windows[options.chunk :], Output(options)
    if not windows:
        message = f"--chunk {options.chunk} skips all of {counted(len(text.windows), 'window')}"
        raise UsageError(message, "skip fewer, or give a longer text")
    others = [Path(name) for name in options.in_file or ()]
    output.check_apart([*shard_paths(path), *([] if text.name == STDIN else [Path(text.name)])])
    there = output.there()
    given = merged([(str(each), read_matrix(each)) for each in others]) if others else None
    for name, matrix in ((str(output.path), there), (", ".join(map(str, others)), given)):
        if matrix is not None:
            matrix.check_model(GGUF.open(path), name)
    wanted = collecting_options(
        measuring_options(request.model, text.cutting.size),
        text.cutting.size,
        of_output=options.process_output,
    )
    with open_measured(path, wanted, request.model) as model:
        run = run_of(text.name, model.identity, windows, others)
        if there is not None and not done_of(there, run):
            output.check_free()
        collector = Collector(model, windows, run, there or given)
        stopped = _collect(collector, output)
    if stopped is not None:
        raise typer.Exit(stopped)


def _collect(collector: Collector, output: Output) -> int | None:
    """The exit code if it was interrupted."""
    stop, last = threading.Event(), None
    with WindowMeter() as meter, interrupting(stop) as came:
        for last in collector.collect():
            output.keep(collector, last.done)
            meter.show(last.done, last.total, last.rate, "collected")
            if stop.is_set():
                break
    if last is None:
        note(f"{output.path} is complete")
        return None
    output.write(collector.matrix)
    return _tell(last, output, came.exit_code if stop.is_set() else None)


def _tell(last: Collected, output: Output, interrupted: int | None) -> int | None:
    note(f"{output.path}: {last.done} of {counted(last.total, 'window')}, {last.rate:.0f} t/s")
    if last.done == last.total:
        return None
    if output.layout == "dat":
        note("interrupted; a .dat does not say which windows are in it: it cannot be continued")
    else:
        note("interrupted; the same command continues")
    return interrupted


def merge_matrices(options: ImatrixOptions) -> None:
    """Raises LeptonError."""
    output = Output(options)
    output.check_free()
    matrix = merged([(name, read_matrix(Path(name))) for name in options.in_file or ()])
    output.write(matrix)
    weights, windows = counted(len(matrix.entries), "weight"), counted(matrix.chunks, "window")
    note(f"{output.path}: {weights}, {windows}")


def show_statistics(names: Sequence[str]) -> None:
    """Raises LeptonError."""
    if len(names) != 1:
        message = f"--show-statistics with {counted(len(names), 'file')}"
        raise UsageError(message, "name one: lepton imatrix --show-statistics --in-file FILE")
    emit(sys.stdout, importance_table(weight_statistics(read_matrix(Path(names[0])))))
