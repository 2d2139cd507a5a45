"""Messages on stderr: notes, and errors with hints."""

import re
import shlex
import sys
from itertools import pairwise

from lepton_cli.ui.terminal.terminal import sanitize, width_of
from lepton_cli.ui.terminal.wrapping import break_points, broken
from quant.errors import LeptonError

COMMAND = re.compile(  # a command at the end of a hint or of its first half
    r"(?<=: )(?:\S*/)?(?:lepton|hf|ollama|git|curl|unzip|gzip|iconv|cat) "
    r"""(?:'[^']*'|"[^"]*"|[^'";])*"""
)
CONTINUATION = " \\"  # a command over several rows, as in shells


def note(text: str) -> None:
    _say("note", text)


def complain(error: LeptonError) -> None:
    """Prints an error: one line with the message, one with the hint."""
    _say("error", error.message)
    if error.hint:
        _say("hint", error.hint)


def _say(kind: str, text: str) -> None:
    """Prints one line; control characters are removed, since names of files may contain them."""
    words = " ".join(part.strip() for part in text.splitlines())
    line = sanitize(f"lepton: {kind}: {words}")
    width, rows = width_of(sys.stderr), _hint_rows if kind == "hint" else broken
    print(line if width is None else rows(line, width), file=sys.stderr, flush=True)


def _hint_rows(line: str, width: int) -> str:
    """A hint wrapped at words; a command gets rows of its own, so that it can be copied."""
    rows, command = broken(line, width), COMMAND.search(line)
    if command is None or command[0].rstrip() in rows:
        return rows
    before, after = line[: command.start()].rstrip(), line[command.end() :]
    shown = [broken(before, width), _command_rows(command[0].rstrip(), width)]
    return "\n".join(shown + ([broken(after.lstrip("; "), width)] if after else []))


def _command_rows(command: str, width: int) -> str:
    """A command over several rows; a newline inside quotes needs no backslash."""
    room = width if len(command) <= width else width - len(CONTINUATION)
    ends = [0, *break_points(command, room, fold=False), len(command)]
    shown = ""
    for start, end in pairwise(ends):
        mark = CONTINUATION if end < len(command) and _is_whole(command[:end]) else ""
        shown += command[start:end].rstrip() + mark + "\n"
    return shown.removesuffix("\n")


def _is_whole(command: str) -> bool:
    """Whether all quotes are closed."""
    try:
        shlex.split(command)
    except ValueError:
        return False
    return True
