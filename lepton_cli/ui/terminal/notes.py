"""What is said on stderr beside the answer: notes, and errors with their hints."""

import re
import shlex
import sys
from itertools import pairwise

from lepton_cli.ui.terminal.terminal import sanitize, width_of
from lepton_cli.ui.terminal.wrapping import break_points, broken
from quant.errors import LeptonError

COMMAND = re.compile(  # at the end of a hint or of its first half
    r"(?<=: )(?:\S*/)?(?:lepton|hf|ollama|git|curl|unzip|gzip|iconv|cat) "
    r"""(?:'[^']*'|"[^"]*"|[^'";])*"""
)
GOES_ON = " \\"  # a command on several rows, as shells read it


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
    width, rows = width_of(sys.stderr), _hint_rows if kind == "hint" else broken
    print(line if width is None else rows(line, width), file=sys.stderr, flush=True)


def _hint_rows(line: str, width: int) -> str:
    """Broken at words; a command that would be broken gets rows of its own, to be copied."""
    rows, command = broken(line, width), COMMAND.search(line)
    if command is None or command[0].rstrip() in rows:
        return rows
    before, after = line[: command.start()].rstrip(), line[command.end() :]
    shown = [broken(before, width), _command_rows(command[0].rstrip(), width)]
    return "\n".join(shown + ([broken(after.lstrip("; "), width)] if after else []))


def _command_rows(command: str, width: int) -> str:
    """What ends within quotes goes on as it is: a prompt takes the new line for a blank."""
    room = width if len(command) <= width else width - len(GOES_ON)
    ends = [0, *break_points(command, room, fold=False), len(command)]
    shown = ""
    for start, end in pairwise(ends):
        mark = GOES_ON if end < len(command) and _is_whole(command[:end]) else ""
        shown += command[start:end].rstrip() + mark + "\n"
    return shown.removesuffix("\n")


def _is_whole(command: str) -> bool:
    """Whether no quotation is open."""
    try:
        shlex.split(command)
    except ValueError:
        return False
    return True
