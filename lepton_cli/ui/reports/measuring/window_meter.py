"""The progress of a measurement over windows of a text, with its figure so far."""

import time
from collections.abc import Callable

from lepton_cli.ui.reports.numbers import duration
from lepton_cli.ui.terminal.notes import note
from lepton_cli.ui.terminal.status_line import StatusLine

BETWEEN_LINES, BETWEEN_NOTES = 0.1, 10.0  # seconds: on a terminal, elsewhere


class WindowMeter:
    """A status line on a terminal, erased at the end; elsewhere a note every ten seconds."""

    def __init__(
        self, unit: str = "window", *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._unit, self._clock, self._line = unit, clock, StatusLine()
        self._pause = BETWEEN_LINES if self._line.draws else BETWEEN_NOTES
        self._next = clock() + (0 if self._line.draws else self._pause)
        self._first: tuple[float, int] | None = None  # the first call: when, and what was done

    def __enter__(self) -> "WindowMeter":
        return self

    def __exit__(self, *_: object) -> None:
        self._line.clear()

    def show(self, done: int, total: int, rate: float, figure: str) -> None:
        """`rate`: tokens per second. The time left is that of the windows since the first call."""
        now = self._clock()
        begun, before = self._first = self._first or (now, done)
        if now < self._next:
            return
        self._next = now + self._pause
        left = ""
        if before < done < total:
            left = f", {duration((now - begun) / (done - before) * (total - done))} left"
        text = f"{self._unit} {done} of {total}: {figure}, {rate:.0f} t/s{left}"
        if self._line.draws:
            self._line(text)
        else:
            note(text)
