"""How words and records reach stdout: as bytes that depend on neither locale nor system."""

from collections.abc import Mapping
from typing import TextIO

from lepton_cli.engine.plain import Plain, json_line
from lepton_cli.ui.terminal import sanitize


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
