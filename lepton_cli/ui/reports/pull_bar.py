"""The progress of a download on stderr: one line that is redrawn, or a line now and then."""

import sys
import time
from collections import deque
from collections.abc import Callable

from lepton_cli.engine.hub.events import Checking, Event, Progress, Remark
from lepton_cli.ui.reports.numbers import size
from lepton_cli.ui.terminal.notes import note
from lepton_cli.ui.terminal.terminal import redraws, sanitize, width_of
from lepton_cli.ui.terminal.wrapping import cut

ERASE_LINE = "\r\x1b[K"
REDRAW_SECONDS, LOG_SECONDS = 0.1, 10.0
WINDOW_SECONDS = 10.0  # over which the rate is measured
BAR_CELLS = 20


class PullBar:
    """Shows the events of a download. `quiet`: only remarks, which tell of trouble."""

    def __init__(self, *, quiet: bool = False, clock: Callable[[], float] = time.monotonic) -> None:
        self._quiet, self._clock = quiet, clock
        self._draws = sys.stderr is not None and redraws(sys.stderr)
        self._marks = deque[tuple[float, int]]()  # of the last seconds: when, and bytes
        self._shown = clock()
        self._is_drawn = False

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
        if self._is_drawn:
            print(ERASE_LINE, end="", file=sys.stderr, flush=True)
            self._is_drawn = False

    def _progress(self, event: Progress) -> None:
        now = self._clock()
        self._marks.append((now, event.done))
        while self._marks[-1][0] - self._marks[0][0] > WINDOW_SECONDS:
            self._marks.popleft()
        if now - self._shown >= (REDRAW_SECONDS if self._draws else LOG_SECONDS):
            self._shown = now
            self._put(progress_line(event, self._rate(), bar=self._draws))

    def _rate(self) -> float:
        """Bytes per second; 0 if it is not known yet."""
        (begin, before), (end, after) = self._marks[0], self._marks[-1]
        return max(0, after - before) / (end - begin) if end > begin else 0.0

    def _put(self, text: str) -> None:
        if not self._draws:
            note(text)
            return
        width = width_of(sys.stderr)
        line = sanitize(text.replace("\n", " "))
        # columns stay free for the ^C that a terminal shows: it must not begin a row
        shown = line if width is None else cut(line, width - len("^C "))
        print(ERASE_LINE + shown, end="", file=sys.stderr, flush=True)
        self._is_drawn = True


def progress_line(event: Progress, rate: float, *, bar: bool) -> str:
    """The most important first, as a narrow terminal cuts the line."""
    fast = f", {size(int(rate))}/s" if rate else ""
    if not event.total:
        return f"{size(event.done)}{fast}  {event.name}"
    share = min(1.0, event.done / event.total)
    left = f", {_duration((event.total - event.done) / rate)} left" if rate else ""
    filled = int(share * BAR_CELLS)
    drawn = f"  [{'#' * filled}{'.' * (BAR_CELLS - filled)}]" if bar else ""
    sizes = f"{size(event.done)} of {size(event.total)}"
    return f"{share:.0%} {sizes}{fast}{left}{drawn}  {event.name}"


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
