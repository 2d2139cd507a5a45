"""`lepton chat`: a person and a model take turns, or a pipe's lines are answered one by one."""

import io
import sys
import time
from collections.abc import Iterator

from lepton_cli.engine.events import Done
from lepton_cli.engine.model import Model
from lepton_cli.ui.commands import run_command
from lepton_cli.ui.dialogue import ENDINGS, ChatOptions, Dialogue, Draft, LoadModel
from lepton_cli.ui.figures import amount
from lepton_cli.ui.interrupt import interrupting
from lepton_cli.ui.line_editor import LineEditor
from lepton_cli.ui.notes import note
from lepton_cli.ui.options import ReasoningMode
from lepton_cli.ui.report import PlainReport
from quant.errors import LeptonError, UsageError

INTERRUPTED = 130
TWICE = 2.0  # seconds within which a second Ctrl-C leaves


def chat(model: Model, options: ChatOptions, load_model: LoadModel) -> int:
    """Returns the exit code. A model that `/model` opened is closed, the given one is the caller's.

    Raises LeptonError when the saved chat cannot be loaded, or when a line of a pipe fails.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a locale without a character shows "?"
    by_hand = sys.stdin.isatty() and (sys.stdout.isatty() or sys.stderr.isatty())
    dialogue = Dialogue(model, options, load_model, by_hand=by_hand)
    try:
        dialogue.tell_template()
        if options.load is not None:
            dialogue.load(options.load)
        if options.system is not None:
            dialogue.session.set_system(options.system)
        return _talk(dialogue, options) if by_hand else _answer_lines(dialogue, options)
    finally:
        if dialogue.session.model is not model:
            dialogue.session.model.close()


def _talk(dialogue: Dialogue, options: ChatOptions) -> int:
    _greet(dialogue)
    editor = LineEditor(dialogue, history=options.history)
    hinted = float("-inf")
    first = options.prompt
    while not dialogue.is_over:
        try:
            if first is None:
                typed = editor.read()
            else:
                typed, first = first, None
                dialogue.say((dialogue.draft.mark, "bold cyan"), typed)
            asked = _take(dialogue, typed)
            if asked and options.single_turn:
                return 0
        except EOFError:
            return 0
        except KeyboardInterrupt:
            if dialogue.is_over or time.monotonic() - hinted < TWICE:
                return INTERRUPTED
            hinted = time.monotonic()
            dialogue.note("Ctrl-C again or Ctrl-D leaves")
        except LeptonError as error:
            dialogue.complain(error)
    return 0


def _greet(dialogue: Dialogue) -> None:
    model = dialogue.session.model
    about = (
        f"{model.architecture}, {amount(model.parameters)} parameters, context {model.context_size}"
    )
    dialogue.say((model.name, "bold"), (f"  {about} · /help lists the commands", "dim"))


def _take(dialogue: Dialogue, typed: str) -> bool:
    """Does what a line asks for; whether it was words for the model."""
    if typed.startswith("/") and not typed.startswith("//"):
        dialogue.draft = Draft()
        run_command(dialogue, typed)
        return False
    if not typed.strip():
        dialogue.draft = Draft()
        return False
    dialogue.ask(typed.removeprefix("/"))
    return True


def _answer_lines(dialogue: Dialogue, options: ChatOptions) -> int:
    """Each line is a turn, never a command: what a file says cannot do anything."""
    session = dialogue.session
    reasoning: ReasoningMode = "hide" if dialogue.reasoning == "hide" else "stderr"
    for text in _lines(options):
        report, done = PlainReport(reasoning, sys.stdout, sys.stderr), None
        try:
            with interrupting(session.interrupt):
                for event in session.send(text):
                    report.event(event)
                    done = event if isinstance(event, Done) else None
        finally:
            report.close()
        if done is None or done.reason == "interrupted":
            return INTERRUPTED
        _tell(done)
        if options.single_turn:
            break
    return 0


def _tell(done: Done) -> None:
    if done.stats.dropped_tokens:
        note(f"the oldest {done.stats.dropped_tokens} tokens did not fit and were left out")
    if done.reason != "stop":
        note(ENDINGS[done.reason])


def _lines(options: ChatOptions) -> Iterator[str]:
    if options.prompt is not None:
        yield options.prompt
    for number, raw in enumerate(sys.stdin.buffer, 1):
        try:
            text = raw.decode("utf-8").rstrip("\r\n")
        except UnicodeDecodeError as error:
            raise UsageError(
                f"line {number} of stdin is not UTF-8", "convert it, e.g. with iconv"
            ) from error
        if text.strip():
            yield text
