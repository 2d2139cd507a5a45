"""How far work on a large file is: a status line on a terminal, nothing elsewhere."""

import time

from lepton_cli.ui.reports.numbers import size
from lepton_cli.ui.terminal.status_line import StatusLine

PAUSE = 0.1  # seconds between two drawings


class ByteProgress:
    """Shows `what` with the share of bytes done.

    with ByteProgress("checking a.gguf") as progress:
        work(progress)  # calls progress(done, whole)
    """

    def __init__(self, what: str) -> None:
        self._what, self._next, self._line = what, 0.0, StatusLine()

    def __enter__(self) -> "ByteProgress":
        return self

    def __exit__(self, *_: object) -> None:
        self._line.clear()

    def __call__(self, done: int, whole: int) -> None:
        now = time.monotonic()
        if now >= self._next:
            self._next = now + PAUSE
            self._line(f"{100 * done // max(1, whole)} % of {size(whole)}: {self._what}")
