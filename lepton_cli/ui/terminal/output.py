"""Writing to stdout, with the same bytes for every locale and system."""

from collections.abc import Callable, Mapping
from typing import TextIO

from lepton_cli.engine.library.json_values import Plain, json_line
from lepton_cli.ui.terminal.terminal import sanitize


def emit(stream: TextIO, text: str) -> None:
    """Writes text at once, as UTF-8 for every locale (file names as their original bytes).

    Control characters are removed for a terminal.
    """
    stream.buffer.write(
        (sanitize(text) if stream.isatty() else text).encode(errors="surrogateescape")
    )
    stream.flush()


def emit_json(stream: TextIO, record: Mapping[str, Plain]) -> None:
    emit(stream, json_line(record) + "\n")


class LineWriter:
    """Writes a text that comes in pieces: to a terminal at once, otherwise by whole lines.

    Each `put` is one system call, so that lines of programs that share a pipe or a file
    (`xargs -P`, `>>`) do not mix. The caller ends the last line.
    """

    def __init__(self, stream: TextIO, put: Callable[[TextIO, str], None] = emit) -> None:
        self._stream, self._put, self._at_once = stream, put, stream.isatty()
        self._line: list[str] = []  # the unwritten part of the last line

    def write(self, text: str) -> None:
        lines, newline, rest = text.rpartition("\n")
        if self._at_once:
            self._put(self._stream, text)
        elif newline:
            whole = "".join([*self._line, lines, newline])
            self._line = [rest]
            self._put(self._stream, whole)
        else:
            self._line.append(rest)
