"""How words and records reach stdout: as bytes that depend on neither locale nor system."""

from collections.abc import Callable, Mapping
from typing import TextIO

from lepton_cli.engine.library.json_values import Plain, json_line
from lepton_cli.ui.terminal.terminal import sanitize


def emit(stream: TextIO, text: str) -> None:
    """At once, as UTF-8 whatever the locale (but a file's name as its bytes are).

    A terminal gets nothing that steers it.
    """
    stream.buffer.write(
        (sanitize(text) if stream.isatty() else text).encode(errors="surrogateescape")
    )
    stream.flush()


def emit_json(stream: TextIO, record: Mapping[str, Plain]) -> None:
    emit(stream, json_line(record) + "\n")


class LineWriter:
    """A text that comes in pieces: a terminal gets each at once, all else whole lines.

    Each `put` is one write of the system's, so that the lines of programs that share a pipe or a
    file (`xargs -P`, `>>`) do not mix. Whoever ends the text ends its last line.
    """

    def __init__(self, stream: TextIO, put: Callable[[TextIO, str], None] = emit) -> None:
        self._stream, self._put, self._at_once = stream, put, stream.isatty()
        self._line: list[str] = []  # what of the last line is not written yet

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
