"""Whether a terminal is light: by its own report (OSC 11), else by COLORFGBG.

The question for the colour is followed by one that every terminal answers, so that no answer is
seen at once. What a person typed meanwhile is given back, and an answer that comes too late for
us is taken out of what is typed then.
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
PATIENCE = 0.5  # seconds: far more than a terminal takes, also behind most networks
COLOR = re.compile(r"\x1b\]11;(?:rgba?:([\da-fA-F/]+))?[^\x07\x1b]*(?:\x07|\x1b\\)")
LAST = re.compile(r"\x1b\[\?[\d;]*c")
BEGUN = re.compile(r"\x1b(?:\]|\]1|\]11|\]11;[^\x07\x1b]*\x1b?|\[|\[\?[\d;]*)\Z")
MIDDLE = 0.179  # of luminance: black and white stand out equally from it


@dataclass(frozen=True, slots=True)
class Report:
    """`typed` is what came beside the answers; where they are not complete, more may come."""

    is_light: bool | None
    typed: str = ""
    is_complete: bool = True


def ask_background(keys: TextIO, screen: TextIO, environ: Mapping[str, str] = os.environ) -> Report:
    """Both streams are the terminal's."""
    if sys.platform == "win32":
        return Report(_by_environment(environ))
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
    told = judge(came)
    if told.is_light is not None:
        return told
    return Report(_by_environment(environ), told.typed, told.is_complete)


def judge(came: str) -> Report:
    """What the terminal said, and what was typed."""
    color, last = COLOR.search(came), LAST.search(came)
    typed = LAST.sub("", COLOR.sub("", came), count=1)
    return Report(_is_light(color[1]) if color and color[1] else None, typed, last is not None)


def _read(keys: int) -> str:
    came, end = b"", time.monotonic() + PATIENCE
    while (left := end - time.monotonic()) > 0 and select.select([keys], [], [], left)[0]:
        data = os.read(keys, 4096)
        came += data
        if not data or LAST.search(came.decode("latin-1")):
            break
    return came.decode(errors="replace")


def _is_light(color: str) -> bool | None:
    """X11's `ffff/ffff/ffff`, of one to four digits each."""
    parts = [int(part, 16) / (16 ** len(part) - 1) for part in color.split("/")[:3] if part]
    return luminance(*parts) > MIDDLE if len(parts) == 3 else None


def _by_environment(environ: Mapping[str, str]) -> bool | None:
    """COLORFGBG, as rxvt and konsole set it: `15;0`, the background's number last."""
    number = environ.get("COLORFGBG", "").rpartition(";")[2]
    return int(number) in (7, *range(9, 16)) if number.isdecimal() else None


class Reader(Protocol):
    """Of what is typed, as prompt-toolkit has it."""

    closed: bool

    def read(self, count: int = ...) -> str: ...


class LateAnswers:
    """A reader that leaves out the answers that have not come yet."""

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
