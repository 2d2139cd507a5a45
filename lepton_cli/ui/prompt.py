r"""Where a prompt comes from: stdin, then files, then the words of the command line.

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
from pathlib import Path
from typing import BinaryIO, TextIO

from lepton_cli.engine.sizes import counted
from lepton_cli.ui.notes import note
from lepton_cli.ui.options import PromptOptions
from quant.errors import UsageError

PATIENCE = 2.0  # seconds
MOST_BYTES = 1 << 28  # no context holds as much: it must be an endless stream
HOW = "give it as the last word, with -p or -f, or through a pipe; to talk: lepton chat"
ESCAPE = re.compile(rb"\\(?:x([0-9A-Fa-f]{2})|([nrt'\"\\]))")
ESCAPED = {b"n": b"\n", b"r": b"\r", b"t": b"\t"}


def gather(words: str | None, options: PromptOptions, stdin: TextIO | None) -> str:
    """The whole prompt; `words` are what stands on the command line without a flag.

    Raises UsageError when there is no prompt, or when it is not text.
    """
    typed = typed_prompt(words, options.prompt, escape=options.escape)
    files = options.file or []
    parts = [read_text(name) for name in files if name != "-"]
    if typed is not None:
        parts.append(typed)
    unasked = stdin is not None and not options.no_stdin and "-" not in files and _flows(stdin)
    if unasked or "-" in files:
        raw = _read(stdin)
        parts.insert(0, _text(raw, "stdin"))
        if unasked and raw and len(parts) > 1:
            _tell_taken(len(raw))
    prompt = "\n\n".join(part for part in parts if part)
    if not prompt:
        raise UsageError("the prompt is empty" if parts else "there is no prompt", HOW)
    return prompt


def typed_prompt(words: str | None, prompt: str | None, *, escape: bool) -> str | None:
    """The words as they are, or the `prompt` of -p, in which escapes are expanded."""
    if words is not None and prompt is not None:
        raise UsageError("the prompt is given twice: as a word, and with -p", "give it once")
    if prompt is not None:
        words = expand_escapes(prompt) if escape else prompt
    return words if words is None else checked(words)


def read_text(name: str) -> str:
    """A UTF-8 file without its last newline. Raises UsageError naming it."""
    try:
        with Path(name).open("rb") as file:
            return _text(_limited(file, name), name)
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

    return _decoded(ESCAPE.sub(replace, os.fsencode(text)), "the text with its escapes expanded")


def _flows(stdin: TextIO) -> bool:
    """Whether stdin has an end that is worth waiting for: a pipe, a socket or a regular file."""
    try:
        mode = os.fstat(stdin.fileno()).st_mode
    except (OSError, ValueError):  # closed
        return False
    return stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode) or stat.S_ISREG(mode)


def _read(stdin: TextIO | None) -> bytes:
    """Everything; of a stdin that the caller closed, nothing."""
    if stdin is None:
        return b""
    with _told_when_waiting():
        return _limited(stdin.buffer, "stdin")


def _tell_taken(count: int) -> None:
    """To a person, for a loop's `read` finds nothing there any more."""
    if sys.stderr.isatty():
        note(f"stdin: {counted(count, 'byte')} put before the prompt; --no-stdin leaves it alone")


def _limited(file: BinaryIO, name: str) -> bytes:
    raw = file.read(MOST_BYTES + 1)
    if len(raw) > MOST_BYTES:
        raise UsageError(f"{name} does not end within {MOST_BYTES} bytes", "give less text")
    return raw


@contextmanager
def _told_when_waiting() -> Iterator[None]:
    timer = threading.Timer(PATIENCE, note, ["waiting for the end of stdin (see --no-stdin)"])
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        timer.join(1.0)  # amid its line it holds stderr, and the process may be about to end


def _text(raw: bytes, name: str) -> str:
    text = _decoded(raw, name)
    return text.removesuffix("\r\n") if text.endswith("\r\n") else text.removesuffix("\n")


def _decoded(raw: bytes, name: str) -> str:
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError as error:
        byte = f"byte {error.object[error.start]:#04x} at {error.start}"
        raise UsageError(f"{name} is not UTF-8: {byte}", "convert it, e.g. with iconv") from error
