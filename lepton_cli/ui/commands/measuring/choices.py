"""`lepton perplexity --choices`: how often a model finds the right ending most likely."""

import sys
import threading
from collections.abc import Sequence
from dataclasses import dataclass

import typer

from lepton_cli.engine.jobs.rows import Row
from lepton_cli.engine.library.catalogue import resolve
from lepton_cli.engine.library.json_values import Plain
from lepton_cli.engine.library.sizes import counted
from lepton_cli.engine.loading.plan import trained_context
from lepton_cli.engine.loss.choices import (
    Choices,
    EncodedQuestion,
    Question,
    encode,
    measure_choices,
)
from lepton_cli.engine.loss.estimates import Estimate
from lepton_cli.engine.text.tokenizer import Tokenizer, build_tokenizer
from lepton_cli.ui.arguments.input_rows import read_input
from lepton_cli.ui.arguments.options.measuring import (
    MeasuredModelOptions,
    PerplexityOutputOptions,
)
from lepton_cli.ui.commands.measuring.reading import measuring_options
from lepton_cli.ui.open_model import open_measured
from lepton_cli.ui.reports.measuring.window_meter import WindowMeter
from lepton_cli.ui.terminal.interrupt import interrupting
from lepton_cli.ui.terminal.notes import note
from lepton_cli.ui.terminal.output import emit, emit_json
from quant.errors import ContextOverflowError, UsageError
from quant.gguf import GGUF

SCHEMA = "lepton.choices.v1"


@dataclass(frozen=True, slots=True)
class ChoicesRequest:
    """The command line's request: `file` of questions; `text` that was named as well."""

    name: str
    file: str
    text: str | None
    model: MeasuredModelOptions
    output: PerplexityOutputOptions


def show_choices(request: ChoicesRequest) -> None:
    """Prints the accuracy; Ctrl-C prints that of the questions read so far.

    Raises typer.Exit after Ctrl-C, LeptonError.
    """
    if request.text is not None or request.output.plot:
        what = "--plot" if request.text is None else f"the text {request.text}"
        raise UsageError(f"--choices takes no text and no plot: {what}", "leave it out")
    path = resolve(request.name)
    file = GGUF.open(path)
    tokenizer = build_tokenizer(file.metadata)
    questions = encoded(read_input(request.file, "auto", None), tokenizer, trained_context(file))
    longest = max(question.longest for question in questions)
    options = measuring_options(request.model, longest)
    stop, last = threading.Event(), None
    with open_measured(path, options, request.model) as model:
        with WindowMeter("question") as meter, interrupting(stop) as came:
            for last in measure_choices(model, questions, stop):
                meter.show(last.done, last.total, last.rate, _figure(last))
        if last is not None:
            _print(last, model.name, request)
    if stop.is_set():
        note(f"interrupted after {counted(last.done if last else 0, 'question')}")
        raise typer.Exit(came.exit_code)


def encoded(rows: Sequence[Row], tokenizer: Tokenizer, context: int) -> list[EncodedQuestion]:
    """Raises UsageError, ContextOverflowError, naming the row."""
    found = []
    for row in rows:
        try:
            if row.error is not None:
                raise row.error
            question = encode(Question.of(row.columns), tokenizer)
        except UsageError as error:
            raise UsageError(f"row {row.number}: {error.message}", error.hint) from error
        if question.longest > context:
            message = f"row {row.number} has {counted(question.longest, 'token')}"
            message += f", the model's context holds {context}"
            raise ContextOverflowError(message, "leave the row out, or shorten its prompt")
        found.append(question)
    if not found:
        raise UsageError("there are no questions", "give a file with a JSON object in each line")
    return found


def _figure(found: Choices) -> str:
    return f"accuracy {_percent(found.accuracy)}, normalized {_percent(found.normalized)}"


def _percent(estimate: Estimate) -> str:
    return f"{100 * estimate.value:.2f} +/- {100 * estimate.error:.2f} %"


def _print(found: Choices, model: str, request: ChoicesRequest) -> None:
    if not request.output.json:
        emit(sys.stdout, f"{_figure(found)}\n")
        return
    record: dict[str, Plain] = {
        "schema": SCHEMA,
        "model": model,
        "accuracy": found.accuracy.value,
        "accuracy_error": found.accuracy.error,
        "normalized_accuracy": found.normalized.value,
        "normalized_accuracy_error": found.normalized.error,
        "questions": found.done,
        "questions_of_file": found.total,
        "seconds": found.seconds,
    }
    emit_json(sys.stdout, record)
