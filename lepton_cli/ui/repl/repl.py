"""The chat loop: interactive at a terminal; from a pipe, each line is answered in turn."""

import io
import sys
import time
from collections.abc import Iterator
from typing import TextIO

from lepton_cli.engine.events import Done
from lepton_cli.engine.model import Model
from lepton_cli.engine.text.reading import decoded
from lepton_cli.ui.arguments.options.chat import ReasoningMode
from lepton_cli.ui.open_model import keep_weights
from lepton_cli.ui.repl.dialogue import ChatOptions, Dialogue, Draft, LoadModel, remarks
from lepton_cli.ui.repl.line_editor import LineEditor
from lepton_cli.ui.repl.slash_commands import run_command
from lepton_cli.ui.reports.numbers import amount
from lepton_cli.ui.reports.report import PlainReport
from lepton_cli.ui.terminal.interrupt import interrupting
from lepton_cli.ui.terminal.notes import note
from lepton_cli.ui.terminal.terminal import is_terminal, modes_kept
from quant.errors import LeptonError

INTERRUPTED = 130
TWICE = 2.0  # seconds within which a second Ctrl-C exits


def chat(model: Model, options: ChatOptions, load_model: LoadModel) -> int:
    """Runs a chat; returns the exit code. Closes models opened by `/model`, not the given one.

    Raises LeptonError when the saved chat cannot be loaded, or when a line of a pipe fails.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # prints "?" for characters that the locale lacks
    with modes_kept(sys.stdin, sys.stdout):
        return _chat(model, options, load_model)


def _chat(model: Model, options: ChatOptions, load_model: LoadModel) -> int:
    by_hand = is_terminal(sys.stdin) and (is_terminal(sys.stdout) or is_terminal(sys.stderr))
    dialogue = Dialogue(model, options, load_model, by_hand=by_hand)
    try:
        if by_hand:
            _greet(dialogue)
        dialogue.note_template()
        if options.resume is not None:
            dialogue.open(options.resume)
        if options.system is not None:
            dialogue.session.set_system(options.system)
        code = _talk(dialogue, options) if by_hand else _answer_lines(dialogue, options)
        if by_hand:
            dialogue.note_saved()
        keep_weights(dialogue.session.model)
        return code
    finally:
        if dialogue.session.model is not model:
            dialogue.session.model.close()


def _talk(dialogue: Dialogue, options: ChatOptions) -> int:
    """Runs until Ctrl-C twice within two seconds, Ctrl-D, or `/exit`."""
    editor = LineEditor(dialogue, history=options.history)
    first, hinted = options.prompt, float("-inf")
    while not dialogue.is_over:
        try:
            if first is not None:
                words, first = first, None
                dialogue.say(("> ", "mark"), words)
                dialogue.ask(words)
            else:
                _take(dialogue, editor.read())
            dialogue.is_over |= options.single_turn and dialogue.last is not None
        except EOFError:
            break
        except KeyboardInterrupt:
            if dialogue.is_over or time.monotonic() - hinted < TWICE:
                return INTERRUPTED
            hinted = time.monotonic()
            dialogue.note("press Ctrl-C again or Ctrl-D to exit")
        except LeptonError as error:
            dialogue.complain(error)
    return 0


def _greet(dialogue: Dialogue) -> None:
    model = dialogue.session.model
    size = f"{amount(model.parameter_count)} parameters, context {model.context_size}"
    about = f"  {model.architecture}, {size} · /help"
    dialogue.say((model.name, "bold"), (about, "faint"))


def _take(dialogue: Dialogue, typed: str) -> None:
    """Handles an input: empty, a command, or a message."""
    if not typed.strip():
        dialogue.draft = Draft()
    elif typed.startswith("/") and not typed.startswith("//"):
        dialogue.draft = Draft()
        run_command(dialogue, typed)
    else:
        dialogue.ask(typed.removeprefix("/"))


def _answer_lines(dialogue: Dialogue, options: ChatOptions) -> int:
    """Answers each line of a pipe. Lines are never commands, so a file cannot trigger any."""
    session = dialogue.session
    reasoning: ReasoningMode = "hide" if dialogue.reasoning == "hide" else "stderr"
    for text in _lines(options, sys.stdin):
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
        for remark in remarks(done):
            note(remark)
        if done.unmet:
            raise done.unmet
        if options.single_turn:
            break
    dialogue.snapshot()
    return 0


def _lines(options: ChatOptions, stdin: TextIO | None) -> Iterator[str]:
    if options.prompt is not None:
        yield options.prompt
    for number, raw in enumerate(() if stdin is None else stdin.buffer, 1):
        text = decoded(raw, f"line {number} of stdin").rstrip("\r\n")
        if text.strip():
            yield text
