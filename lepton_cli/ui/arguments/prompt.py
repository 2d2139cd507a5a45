r"""Assembles the prompt: stdin, then files, then the command line.

The parts are joined by blank lines. A pipe or a regular file on stdin is read to its end; a
terminal is not, nor a device, nor a stdin that was closed. One newline at the end of stdin or of a
file is dropped, as in llama.cpp: `echo hi | lepton run ...` asks "hi".
"""

import os
import re
import stat
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO

from lepton_cli.engine.library.sizes import counted
from lepton_cli.engine.text.reading import (
    checked,
    decoded,
    read_limited,
    read_text,
    utf8,
    without_newline,
)
from lepton_cli.ui.arguments.options.prompt import PromptOptions
from lepton_cli.ui.terminal.notes import note
from quant.errors import UsageError

PATIENCE = 2.0  # seconds
HOW = "give it as the last word, with -p or -f, or through a pipe; to talk: lepton chat"
BYTES = r"each \xHH is a byte of UTF-8: é is \xC3\xA9"
ESCAPE = re.compile(rb"\\(?:x([0-9A-Fa-f]{2})|([nrt'\"\\]))")
ESCAPED = {b"n": b"\n", b"r": b"\r", b"t": b"\t"}


def gather(words: str | None, options: PromptOptions, stdin: TextIO | None) -> str:
    """The whole prompt; `words` is the positional argument.

    Raises UsageError when there is no prompt, or when it is not text.
    """
    typed = typed_prompt(words, options.prompt, escape=options.escape)
    files = options.file or []
    parts = [_read_part(name) for name in files if name != "-"]
    if typed is not None:
        parts.append(typed)
    unasked = stdin is not None and not options.no_stdin and "-" not in files and has_end(stdin)
    if unasked or "-" in files:
        raw = read_stdin(stdin)
        parts.insert(0, without_newline(decoded(raw, "stdin")))
        if unasked and raw and len(parts) > 1:
            _note_stdin_used(len(raw))
    prompt = "\n\n".join(part for part in parts if part)
    if not prompt:
        raise UsageError("the prompt is empty" if parts else "there is no prompt", HOW)
    return prompt


def text_of_file(name: str | None, stdin: TextIO | None, *, example: str) -> str:
    """The text of a file without its last newline, or of stdin: `-`, or no name. Raises UsageError.

    `example`: a command that has a text.
    """
    if name is None and (stdin is None or not has_end(stdin)):
        raise UsageError("there is no text", f"name its file: {example}")
    if name in (None, "-"):
        text, place = without_newline(decoded(read_stdin(stdin), "stdin")), "stdin"
    else:
        text, place = read_text(name), name
    if not text:
        raise UsageError(f"{place} is empty", f"give a text, for example: {example}")
    return text


def typed_prompt(words: str | None, prompt: str | None, *, escape: bool) -> str | None:
    """The positional words, taken literally, or the text of -p with escapes expanded."""
    if words is not None and prompt is not None:
        raise UsageError("the prompt is given twice: as an argument, and with -p", "give it once")
    if prompt is not None:
        return expand_escapes(prompt, "-p") if escape else checked(prompt, "-p")
    return words if words is None else checked(words, "the prompt")


def expand_escapes(text: str, flag: str) -> str:
    r"""Expands llama.cpp's backslash escapes; others stay. `\xHH` is a byte.

    Raises UsageError naming the flag if the bytes are not UTF-8.
    """

    def replace(match: re.Match[bytes]) -> bytes:
        digits, letter = match.groups()
        return bytes.fromhex(digits.decode()) if digits else ESCAPED.get(letter, letter)

    return utf8(ESCAPE.sub(replace, os.fsencode(text)), flag, BYTES)


def _read_part(name: str) -> str:
    text = read_text(name)
    if not text:
        note(f"{name} is empty")
    return text


def has_end(stdin: TextIO) -> bool:
    """Whether stdin is a pipe, a socket or a regular file, which is read to its end."""
    try:
        mode = os.fstat(stdin.fileno()).st_mode
    except (OSError, ValueError):  # closed
        return False
    return stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode) or stat.S_ISREG(mode)


def read_stdin(stdin: TextIO | None) -> bytes:
    """All of stdin; empty if it is closed."""
    if stdin is None:
        return b""
    with _note_when_waiting():
        return read_limited(stdin.buffer, "stdin")


def _note_stdin_used(count: int) -> None:
    """Tells a user at a terminal, since the `read` of a shell loop would find stdin empty."""
    if sys.stderr.isatty():
        note(f"stdin: {counted(count, 'byte')} put before the prompt; --no-stdin ignores stdin")


@contextmanager
def _note_when_waiting() -> Iterator[None]:
    timer = threading.Timer(PATIENCE, note, ["waiting for the end of stdin (see --no-stdin)"])
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        timer.join(1.0)  # let it finish its line before the process ends
