"""The progress of a download on stderr: one line that is redrawn, or a line now and then."""

import time
from collections import deque
from collections.abc import Callable

from lepton_cli.engine.hub.events import Checking, Event, Progress, Remark
from lepton_cli.ui.reports.numbers import duration, size
from lepton_cli.ui.terminal.notes import note
from lepton_cli.ui.terminal.status_line import StatusLine

REDRAW_SECONDS, LOG_SECONDS = 0.1, 10.0
WINDOW_SECONDS = 10.0  # over which the rate is measured
BAR_CELLS = 20


class PullBar:
    """Shows the events of a download. `quiet`: only remarks, which tell of trouble."""

    def __init__(self, *, quiet: bool = False, clock: Callable[[], float] = time.monotonic) -> None:
        self._quiet, self._clock = quiet, clock
        self._line = StatusLine()
        self._marks = deque[tuple[float, int]]()  # of the last seconds: when, and bytes
        self._shown = clock()

    def __call__(self, event: Event) -> None:
        match event:
            case Remark():
                self.close()
                note(event.text)
            case Checking() if not self._quiet:
                self._put(f"checking {event.name}")
            case Progress() if not self._quiet:
                self._progress(event)

    def close(self) -> None:
        """Erases the line."""
        self._line.clear()

    def _progress(self, event: Progress) -> None:
        now = self._clock()
        self._marks.append((now, event.done))
        while self._marks[-1][0] - self._marks[0][0] > WINDOW_SECONDS:
            self._marks.popleft()
        if now - self._shown >= (REDRAW_SECONDS if self._line.draws else LOG_SECONDS):
            self._shown = now
            self._put(progress_line(event, self._rate(), bar=self._line.draws))

    def _rate(self) -> float:
        """Bytes per second; 0 if it is not known yet."""
        (begin, before), (end, after) = self._marks[0], self._marks[-1]
        return max(0, after - before) / (end - begin) if end > begin else 0.0

    def _put(self, text: str) -> None:
        if self._line.draws:
            self._line(text)
        else:
            note(text)


def progress_line(event: Progress, rate: float, *, bar: bool) -> str:
    """The most important first, as a narrow terminal cuts the line."""
    fast = f", {size(int(rate))}/s" if rate else ""
    if not event.total:
        return f"{size(event.done)}{fast}  {event.name}"
    share = min(1.0, event.done / event.total)
    left = f", {duration((event.total - event.done) / rate)} left" if rate else ""
    filled = int(share * BAR_CELLS)
    drawn = f"  [{'#' * filled}{'.' * (BAR_CELLS - filled)}]" if bar else ""
    sizes = f"{size(event.done)} of {size(event.total)}"
    return f"{share:.0%} {sizes}{fast}{left}{drawn}  {event.name}"
