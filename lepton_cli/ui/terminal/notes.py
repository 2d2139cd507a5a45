"""What is said on stderr beside the answer: notes, and errors with their hints."""

import sys

from lepton_cli.ui.terminal.terminal import sanitize, width_of
from lepton_cli.ui.terminal.wrapping import broken
from quant.errors import LeptonError


def note(text: str) -> None:
    _say("note", text)


def complain(error: LeptonError) -> None:
    """One line that says what is wrong, and one that says what to do."""
    _say("error", error.message)
    if error.hint:
        _say("hint", error.hint)


def _say(kind: str, text: str) -> None:
    """Names and texts of files get in here: one line, and nothing that steers a terminal."""
    words = " ".join(part.strip() for part in text.splitlines())
    line = sanitize(f"lepton: {kind}: {words}")
    width = width_of(sys.stderr)
    print(line if width is None else broken(line, width), file=sys.stderr, flush=True)
