"""Whether a terminal's background is light: from its OSC 11 report, else from COLORFGBG.

The colour query is followed by one that every terminal answers, so that a missing answer is noticed
at once. Keys typed meanwhile are returned, and an answer that comes too late is removed from the
input.
"""

import os
import re
import select
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol, TextIO

from lepton_cli.ui.terminal.theme import luminance

if sys.platform != "win32":
    import termios

QUESTION = "\x1b]11;?\x1b\\\x1b[c"
PATIENCE = 0.5  # seconds: far more than a terminal takes, even over most networks
COLOR = re.compile(r"\x1b\]11;(?:rgba?:([\da-fA-F/]+))?[^\x07\x1b]*(?:\x07|\x1b\\)")
LAST = re.compile(r"\x1b\[\?[\d;]*c")
BEGUN = re.compile(r"\x1b(?:\]|\]1|\]11|\]11;[^\x07\x1b]*\x1b?|\[|\[\?[\d;]*)\Z")
MIDDLE = 0.179  # luminance with equal contrast to black and white


@dataclass(frozen=True, slots=True)
class BackgroundReport:
    """`typed`: other input that came with the answers; if incomplete, more may follow."""

    is_light: bool | None
    typed: str = ""
    is_complete: bool = True


def ask_background(
    keys: TextIO, screen: TextIO, environ: Mapping[str, str] = os.environ
) -> BackgroundReport:
    """Queries the terminal, which both streams belong to."""
    if sys.platform == "win32":
        return BackgroundReport(_by_environment(environ))
    before = termios.tcgetattr(keys)
    raw = before[:]
    raw[3] &= ~(termios.ECHO | termios.ICANON)
    termios.tcsetattr(keys, termios.TCSANOW, raw)
    try:
        screen.write(QUESTION)
        screen.flush()
        came = _read(keys.fileno())
    finally:
        termios.tcsetattr(keys, termios.TCSANOW, before)
    report = parse_answers(came)
    if report.is_light is not None:
        return report
    return BackgroundReport(_by_environment(environ), report.typed, report.is_complete)


def parse_answers(came: str) -> BackgroundReport:
    """Splits input into the terminal's answers and typed keys."""
    color, last = COLOR.search(came), LAST.search(came)
    typed = LAST.sub("", COLOR.sub("", came), count=1)
    return BackgroundReport(
        _is_light(color[1]) if color and color[1] else None, typed, last is not None
    )


def _read(keys: int) -> str:
    came, end = b"", time.monotonic() + PATIENCE
    while (left := end - time.monotonic()) > 0 and select.select([keys], [], [], left)[0]:
        data = os.read(keys, 4096)
        came += data
        if not data or LAST.search(came.decode("latin-1")):
            break
    return came.decode(errors="replace")


def _is_light(color: str) -> bool | None:
    """Parses X11's `ffff/ffff/ffff`, with one to four digits each."""
    parts = [int(part, 16) / (16 ** len(part) - 1) for part in color.split("/")[:3] if part]
    return luminance(*parts) > MIDDLE if len(parts) == 3 else None


def _by_environment(environ: Mapping[str, str]) -> bool | None:
    """Parses COLORFGBG of rxvt and konsole: `15;0`, the background last."""
    number = environ.get("COLORFGBG", "").rpartition(";")[2]
    return int(number) in (7, *range(9, 16)) if number.isdecimal() else None


class Reader(Protocol):
    """prompt-toolkit's interface for reading keys."""

    closed: bool

    def read(self, count: int = ...) -> str: ...


class LateAnswers:
    """A reader that removes late answers from the input."""

    def __init__(self, reader: Reader) -> None:
        self._reader, self._held, self._waits = reader, "", True

    @property
    def closed(self) -> bool:
        return self._reader.closed

    def read(self, count: int = 1024) -> str:
        came = self._held + self._reader.read(count)
        if not self._waits:
            return came
        self._waits = not LAST.search(came)
        came = LAST.sub("", COLOR.sub("", came), count=1)
        begun = BEGUN.search(came) if self._waits else None
        self._held = begun[0] if begun else ""
        return came.removesuffix(self._held)
