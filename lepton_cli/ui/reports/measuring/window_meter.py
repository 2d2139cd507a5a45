"""The progress of a measurement over windows of a text, with its figure so far."""

import sys
import time

from lepton_cli.ui.reports.measuring.status_line import StatusLine
from lepton_cli.ui.terminal.notes import note

BETWEEN_LINES, BETWEEN_NOTES = 0.1, 10.0  # seconds: on a terminal, elsewhere


class WindowMeter:
    """A status line on a terminal; elsewhere a note every ten seconds."""

    def __init__(self, unit: str = "window") -> None:
        self._unit = unit
        self._line, self._terminal = StatusLine(sys.stderr), sys.stderr.isatty()
        self._next = time.monotonic() + (0 if self._terminal else BETWEEN_NOTES)

    def show(self, done: int, total: int, rate: float, figure: str, per: float = 0.0) -> None:
        """`rate`: tokens per second; `per`: seconds of a window, for the time left."""
        now = time.monotonic()
        if now < self._next:
            return
        left = f", {_duration((total - done) * per)} left" if per and done < total else ""
        text = f"{self._unit} {done} of {total}: {figure}, {rate:.0f} t/s{left}"
        if self._terminal:
            self._line(text)
        else:
            note(text)
        self._next = now + (BETWEEN_LINES if self._terminal else BETWEEN_NOTES)

    def clear(self) -> None:
        self._line.clear()


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
