"""How words and records reach stdout: as bytes that depend on neither locale nor system."""

import json
import re
from collections.abc import Mapping
from typing import TextIO

from lepton_cli.engine.plain import Plain
from lepton_cli.ui.terminal import sanitize

LATE_CONTROLS = re.compile("[\x7f-\x9f\ud800-\udfff]")  # what json leaves as it is


def emit(stream: TextIO, text: str) -> None:
    """At once, as UTF-8 whatever the locale (but a file's name as its bytes are).

    A terminal gets nothing that steers it.
    """
    stream.buffer.write(
        (sanitize(text) if stream.isatty() else text).encode(errors="surrogateescape")
    )
    stream.flush()


def emit_json(stream: TextIO, record: Mapping[str, Plain]) -> None:
    line = json.dumps(record, ensure_ascii=False, allow_nan=False)
    emit(stream, LATE_CONTROLS.sub(lambda found: f"\\u{ord(found[0]):04x}", line) + "\n")
