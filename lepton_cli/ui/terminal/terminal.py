"""Terminals: sanitizing text, detecting colour and cursor support, restoring modes."""

import contextlib
import os
import re
import select
import signal
import sys
from collections.abc import Iterator, Mapping
from types import FrameType
from typing import TextIO

if sys.platform != "win32":
    import termios

CONTROL = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f"  # C0 except tab and newline, delete, C1
    "\u061c\u200e\u200f\u202a-\u202e\u2066-\u206f"  # direction and shapes of letters
    "\u2028\u2029"  # separators that some programs treat as newlines
    "\u180e\ufff9-\ufffb\U0001bca0-\U0001bca3\U0001d173-\U0001d17a"  # annotations, notations
    "\U00013430-\U00013455"  # joiners and brackets of hieroglyphs
    "\U000e0000-\U000e007f"  # tags: invisible text
    "\ud800-\udfff]"  # lone surrogates: cannot be encoded
)


def sanitize(text: str) -> str:
    """The text with control characters replaced by visible symbols.

    Characters are replaced one by one, so that a sequence split over several pieces is harmless,
    too. Carriage returns, which would overwrite their line, are dropped.
    """
    return CONTROL.sub(_visible, text)


def _visible(match: re.Match[str]) -> str:
    code = ord(match[0])
    if code == 0x0D:
        return ""
    if code < 0x20:
        return chr(0x2400 + code)  # control pictures: ␀ ... ␛ ... ␟
    return "\u2421" if code == 0x7F else "\ufffd"


def uses_color(stream: TextIO, environ: Mapping[str, str] = os.environ) -> bool:
    """Whether to use colours: by NO_COLOR, then CLICOLOR_FORCE, then the stream."""
    if environ.get("NO_COLOR"):
        return False
    if environ.get("CLICOLOR_FORCE", "0") not in ("", "0"):
        return True
    return redraws(stream, environ)


def redraws(stream: TextIO, environ: Mapping[str, str] = os.environ) -> bool:
    """Whether the stream is a terminal whose cursor can be moved."""
    return stream.isatty() and environ.get("TERM") != "dumb"


def width_of(stream: TextIO) -> int | None:
    """The terminal's columns; None if it is not a terminal or they are unknown."""
    if not stream.isatty():
        return None
    try:
        return os.get_terminal_size(stream.fileno()).columns or None
    except OSError:
        return None


PLAIN = b"\x1b[?2004l\x1b[?25h\x1b[0m\r\n"  # no bracketed paste, the cursor, no colour, a new line


@contextlib.contextmanager
def modes_kept(keys: TextIO | None, screen: TextIO | None) -> Iterator[None]:
    """Restores the terminal's modes at the end, even if SIGTERM or SIGHUP ends the process.

    The exit code is then 128 + the signal's number. Ignored signals (nohup) stay ignored. `keys` is
    None if key modes are not changed: a background job that sets them is stopped by the system.
    """
    if sys.platform == "win32" or not (is_terminal(keys) or is_terminal(screen)):
        yield
        return
    before = termios.tcgetattr(keys) if keys is not None and is_terminal(keys) else None

    def restore() -> None:
        if keys is not None and before is not None:
            with contextlib.suppress(termios.error):  # the terminal is gone
                termios.tcsetattr(keys, termios.TCSANOW, before)

    def end(number: int, frame: FrameType | None) -> None:
        restore()
        if screen is not None and redraws(screen):
            with contextlib.suppress(OSError):  # as above
                os.write(screen.fileno(), PLAIN)
        os._exit(128 + number)

    caught = [
        number
        for number in (signal.SIGTERM, signal.SIGHUP)
        if signal.getsignal(number) is signal.SIG_DFL
    ]
    for number in caught:
        signal.signal(number, end)
    try:
        yield
    finally:
        for number in caught:
            signal.signal(number, signal.SIG_DFL)
        restore()


def is_terminal(stream: TextIO | None) -> bool:
    """Whether it is a terminal; None is a closed stream."""
    return stream is not None and stream.isatty()


@contextlib.contextmanager
def silent_keys(stream: TextIO) -> Iterator[None]:
    """Switches echo off; keys typed meanwhile stay for the next prompt, even after Ctrl-C."""
    if sys.platform == "win32" or not stream.isatty():
        yield
        return
    before = termios.tcgetattr(stream)
    silent = before[:]
    silent[3] = (silent[3] & ~termios.ECHO) | termios.NOFLSH
    termios.tcsetattr(stream, termios.TCSANOW, silent)
    try:
        yield
    finally:
        termios.tcsetattr(stream, termios.TCSANOW, before)


def keys_wait(stream: TextIO) -> bool:
    """Whether input is waiting, even half a line."""
    if sys.platform == "win32" or not stream.isatty():
        return False
    before = termios.tcgetattr(stream)
    raw = before[:]
    raw[3] &= ~termios.ICANON
    termios.tcsetattr(stream, termios.TCSANOW, raw)
    try:
        return bool(select.select([stream], [], [], 0)[0])
    finally:
        termios.tcsetattr(stream, termios.TCSANOW, before)
