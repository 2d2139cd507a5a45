"""`lepton perplexity`: the running mean on stderr, the result on stdout."""

import sys
import threading
from collections.abc import Sequence
from dataclasses import dataclass

import typer

from lepton_cli.engine.library.catalogue import resolve
from lepton_cli.engine.library.json_values import Plain, plain
from lepton_cli.engine.library.sizes import counted
from lepton_cli.engine.loss.perplexity import Perplexity, measure_perplexity
from lepton_cli.engine.loss.windows import Cutting
from lepton_cli.ui.arguments.options.measuring import (
    MeasuredModelOptions,
    PerplexityOutputOptions,
    ScoringOptions,
    WindowOptions,
)
from lepton_cli.ui.commands.measuring.reading import command_of, measuring_options, windowed
from lepton_cli.ui.open_model import open_measured
from lepton_cli.ui.reports.measuring.loss_plot import draw_losses
from lepton_cli.ui.reports.measuring.window_meter import WindowMeter
from lepton_cli.ui.terminal.interrupt import interrupting
from lepton_cli.ui.terminal.notes import note
from lepton_cli.ui.terminal.output import emit, emit_json

SCHEMA = "lepton.perplexity.v1"


@dataclass(frozen=True, slots=True)
class PerplexityRequest:
    """The command line's request: `name` of the model, `word` for the text's file, options."""

    name: str
    word: str | None
    model: MeasuredModelOptions
    text: WindowOptions
    scoring: ScoringOptions
    output: PerplexityOutputOptions


def show_perplexity(request: PerplexityRequest) -> None:
    """Prints the result; Ctrl-C prints that of the windows read so far.

    Raises typer.Exit after Ctrl-C, LeptonError.
    """
    path, command = resolve(request.name), command_of("perplexity", request.name)
    text = windowed(path, command, request.word, request.text, request.scoring.ppl_stride)
    options = measuring_options(request.model, text.cutting.size)
    stop, curve, last = threading.Event(), list[float](), None
    with open_measured(path, options, request.model) as model:
        with WindowMeter() as meter, interrupting(stop) as came:
            for last in measure_perplexity(model, text.windows, stop):
                curve.append(last.of_window)
                meter.show(last.done, last.total, last.rate, _figure(last))
        if last is not None:
            _print(model.name, last, curve, text.cutting, request)
    if stop.is_set():
        note(f"interrupted after {counted(last.done if last else 0, 'window')}")
        raise typer.Exit(came.exit_code)


def _figure(found: Perplexity) -> str:
    of = found.perplexity
    return f"PPL = {of.value:.4f} +/- {of.error:.4f}"


def _print(
    model: str,
    found: Perplexity,
    curve: Sequence[float],
    cutting: Cutting,
    request: PerplexityRequest,
) -> None:
    output = request.output
    if output.plot:
        stream = sys.stderr if output.json else sys.stdout
        draw_losses(stream, found.of_places, curve, first=cutting.size - len(found.of_places))
    if output.json:
        emit_json(sys.stdout, _record(model, found, curve, cutting))
    else:
        emit(sys.stdout, f"{_figure(found)}\n")


def _record(
    model: str, found: Perplexity, curve: Sequence[float], cutting: Cutting
) -> dict[str, Plain]:
    return {
        "schema": SCHEMA,
        "model": model,
        "perplexity": plain(found.perplexity.value),
        "error": plain(found.perplexity.error),
        "loss": found.loss.value,
        "loss_error": found.loss.error,
        "windows": found.done,
        "windows_of_text": found.total,
        "scored_tokens": found.scored,
        "context": cutting.size,
        "stride": cutting.stride,
        "seconds": found.seconds,
        "tokens_per_second": found.rate,
        "curve": {
            "first_place": cutting.size - len(found.of_places),
            "loss_of_places": [*found.of_places],
            "loss_of_windows": [*curve],
        },
    }
