"""`lepton compare`: two models on one text, side by side."""

import sys
import threading
from contextlib import ExitStack
from dataclasses import dataclass

import typer

from lepton_cli.engine.library.catalogue import resolve
from lepton_cli.engine.library.sizes import counted
from lepton_cli.engine.loss.comparison import Comparison, compare
from lepton_cli.engine.model import Model
from lepton_cli.ui.arguments.options.measuring import (
    ComparisonArguments,
    RunningOptions,
    WindowOptions,
)
from lepton_cli.ui.commands.measuring.reading import command_of, measuring_options, windowed
from lepton_cli.ui.open_model import open_measured
from lepton_cli.ui.reports.measuring.comparison_table import (
    comparison_record,
    comparison_table,
    side_of,
)
from lepton_cli.ui.reports.measuring.window_meter import WindowMeter
from lepton_cli.ui.terminal.interrupt import interrupting
from lepton_cli.ui.terminal.notes import note
from lepton_cli.ui.terminal.output import emit, emit_json
from quant.errors import OutOfMemoryError


@dataclass(frozen=True, slots=True)
class ComparisonRequest:
    """The command line's request."""

    words: ComparisonArguments
    running: RunningOptions
    text: WindowOptions
    json: bool


def show_comparison(request: ComparisonRequest) -> None:
    """Prints a table, or JSON; after Ctrl-C that of the windows read so far.

    Raises typer.Exit after Ctrl-C, LeptonError.
    """
    words = request.words
    paths = resolve(words.reference), resolve(words.other)
    command = command_of("compare", words.reference, words.other)
    text = windowed(paths[0], command, words.text, request.text)
    wanted = measuring_options(request.running, text.cutting.size)
    stop, last = threading.Event(), None
    with ExitStack() as opened:
        reference = opened.enter_context(open_measured(paths[0], wanted, request.running))
        try:
            beside = open_measured(paths[1], wanted, request.running, reference)
            other = opened.enter_context(beside)
        except OutOfMemoryError as error:
            hint = "both models are open at once: use a smaller -c or -ub, or smaller models"
            raise OutOfMemoryError(error.message, hint) from error
        with WindowMeter() as meter, interrupting(stop) as came:
            for last in compare(reference, other, text.windows, stop):
                meter.show(last.done, last.total, min(last.rates), _figure(last))
        if last is not None:
            _print(last, (reference, other), request)
    if stop.is_set():
        note(f"interrupted after {counted(last.done if last else 0, 'window')}")
        raise typer.Exit(came.exit_code)


def _figure(found: Comparison) -> str:
    mean = found.divergence.mean
    return f"KL divergence {mean.value:.6f} +/- {mean.error:.6f}"


def _print(found: Comparison, models: tuple[Model, Model], request: ComparisonRequest) -> None:
    one, other = map(side_of, models)
    if request.json:
        emit_json(sys.stdout, comparison_record(found, (one, other)))
    else:
        emit(sys.stdout, comparison_table(found, (one, other)))
