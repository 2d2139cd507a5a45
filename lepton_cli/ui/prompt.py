r"""Where a prompt comes from: stdin, then files, then the words of the command line.

The parts are joined by blank lines. A pipe or a regular file on stdin is read to its end; a
terminal is not, nor a device, nor a stdin that was closed. One newline at the end of stdin or of a
file is dropped, as in llama.cpp: `echo hi | lepton run ...` asks "hi".
"""

import os
import re
import stat
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from lepton_cli.ui.notes import note
from quant.errors import UsageError

PATIENCE = 2.0  # seconds
ESCAPE = re.compile(rb"\\(?:x([0-9A-Fa-f]{2})|([nrt'\"\\]))")
ESCAPED = {b"n": b"\n", b"r": b"\r", b"t": b"\t"}


def compose(
    words: str | None, files: Sequence[str], stdin: TextIO | None, *, from_stdin: bool = True
) -> str:
    """The whole prompt. Raises UsageError when there is none, or when it is not text."""
    parts = []
    if "-" in files:
        parts.append(_text(_read(stdin), "stdin") if stdin is not None else "")
    elif from_stdin and stdin is not None and _flows(stdin):
        parts.append(_text(_read(stdin), "stdin"))
    parts += [read_text(name) for name in files if name != "-"]
    parts.append(checked(words or ""))
    prompt = "\n\n".join(part for part in parts if part)
    if not prompt:
        given = words is not None or len(parts) > 1
        raise UsageError("the prompt is empty" if given else "there is no prompt", HOW)
    return prompt


HOW = "give it as the last word, with -p or -f, or through a pipe; `lepton chat` to talk"


def read_text(name: str) -> str:
    """A UTF-8 file without its last newline. Raises UsageError naming it."""
    try:
        return _text(Path(name).read_bytes(), name)
    except OSError as error:
        raise UsageError(f"{name}: {error.strerror}", "check the path") from error


def checked(text: str) -> str:
    """Words of the command line. Raises UsageError where their bytes are not UTF-8."""
    return _decoded(os.fsencode(text), "the prompt")


def expand_escapes(text: str) -> str:
    r"""The backslash escapes that llama.cpp knows; any other stays. `\xHH` is a byte."""

    def replace(match: re.Match[bytes]) -> bytes:
        digits, letter = match.groups()
        return bytes.fromhex(digits.decode()) if digits else ESCAPED.get(letter, letter)

    return _decoded(ESCAPE.sub(replace, os.fsencode(text)), "the prompt with its escapes expanded")


def _flows(stdin: TextIO) -> bool:
    """Whether stdin has an end that is worth waiting for: a pipe, a socket or a regular file."""
    try:
        mode = os.fstat(stdin.fileno()).st_mode
    except (OSError, ValueError):  # closed
        return False
    return stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode) or stat.S_ISREG(mode)


def _read(stdin: TextIO) -> bytes:
    with _told_when_waiting():
        return stdin.buffer.read()


@contextmanager
def _told_when_waiting() -> Iterator[None]:
    timer = threading.Timer(PATIENCE, note, ["waiting for the end of stdin (see --no-stdin)"])
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def _text(raw: bytes, name: str) -> str:
    text = _decoded(raw, name)
    return text.removesuffix("\r\n") if text.endswith("\r\n") else text.removesuffix("\n")


def _decoded(raw: bytes, name: str) -> str:
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError as error:
        byte = f"byte {error.object[error.start]:#04x} at {error.start}"
        raise UsageError(f"{name} is not UTF-8: {byte}", "convert it, e.g. with iconv") from error
