"""What a terminal may be sent, whether it shows colour and redraws, and how its keys rest."""

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

HOSTILE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f"  # C0 but tab and newline, delete, C1
    "\u061c\u200e\u200f\u202a-\u202e\u2066-\u206f"  # direction and shapes of letters
    "\u2028\u2029"  # separators that some terminals and programs take for newlines
    "\u180e\ufff9-\ufffb\U0001bca0-\U0001bca3\U0001d173-\U0001d17a"  # annotations, notations
    "\U00013430-\U00013455"  # joiners and brackets of hieroglyphs
    "\U000e0000-\U000e007f"  # tags: a text that nobody sees
    "\ud800-\udfff]"  # halves of surrogate pairs: cannot be encoded
)


def sanitize(text: str) -> str:
    """The text with nothing in it that steers a terminal; what would is shown as a symbol.

    Each character is judged by itself, so that a sequence that comes in several pieces is as
    harmless as one that comes whole. A carriage return, which would overwrite its line, is dropped.
    """
    return HOSTILE.sub(_visible, text)


def _visible(match: re.Match[str]) -> str:
    code = ord(match[0])
    if code == 0x0D:
        return ""
    if code < 0x20:
        return chr(0x2400 + code)  # control pictures: ␀ ... ␛ ... ␟
    return "\u2421" if code == 0x7F else "\ufffd"


def uses_color(stream: TextIO, environ: Mapping[str, str] = os.environ) -> bool:
    """By NO_COLOR, then CLICOLOR_FORCE, then what this very stream is."""
    if environ.get("NO_COLOR"):
        return False
    if environ.get("CLICOLOR_FORCE", "0") not in ("", "0"):
        return True
    return redraws(stream, environ)


def redraws(stream: TextIO, environ: Mapping[str, str] = os.environ) -> bool:
    """Whether the stream is a terminal whose cursor can be moved."""
    return stream.isatty() and environ.get("TERM") != "dumb"


def width_of(stream: TextIO) -> int | None:
    """The columns of the terminal that the stream is; None where it is none, or does not tell."""
    if not stream.isatty():
        return None
    try:
        return os.get_terminal_size(stream.fileno()).columns or None
    except OSError:
        return None


PLAIN = b"\x1b[?2004l\x1b[?25h\x1b[0m\r\n"  # no bracketed paste, the cursor, no colour, a new line


@contextlib.contextmanager
def modes_kept(keys: TextIO | None, screen: TextIO | None) -> Iterator[None]:
    """The terminal is left as it was found, also where SIGTERM or SIGHUP ends the process.

    The exit code is then 128 and the signal's number. A signal that is ignored stays so (nohup).
    `keys` is None for what changes no modes of keys: a job in the background that sets them,
    be it to what they are, is stopped.
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
    """None is a stream that the caller has closed."""
    return stream is not None and stream.isatty()


@contextlib.contextmanager
def silent_keys(stream: TextIO) -> Iterator[None]:
    """Typing ahead is kept for the next prompt, also by Ctrl-C, but does not show meanwhile."""
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
    """Whether something was typed ahead, be it half a line."""
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
