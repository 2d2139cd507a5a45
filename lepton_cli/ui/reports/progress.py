"""How far work on a large file is: one line on stderr, redrawn, and erased at the end."""

import sys
import time

from lepton_cli.ui.reports.numbers import size
from lepton_cli.ui.terminal.terminal import redraws, sanitize, width_of
from lepton_cli.ui.terminal.wrapping import cut

ERASE_LINE = "\r\x1b[K"
PAUSE = 0.1  # seconds between two drawings


class ByteProgress:
    """Shows `what` with the share of bytes done; only on a terminal.

    with ByteProgress("checking a.gguf") as progress:
        work(progress)  # calls progress(done, whole)
    """

    def __init__(self, what: str) -> None:
        self._what, self._next = sanitize(what), 0.0
        self._draws = sys.stderr is not None and redraws(sys.stderr)

    def __enter__(self) -> "ByteProgress":
        return self

    def __exit__(self, *_: object) -> None:
        if self._draws and self._next:
            print(ERASE_LINE, end="", file=sys.stderr, flush=True)

    def __call__(self, done: int, whole: int) -> None:
        now = time.monotonic()
        if not self._draws or now < self._next:
            return
        self._next = now + PAUSE
        line = f"{100 * done // max(1, whole)} % of {size(whole)}: {self._what}"
        room = (width_of(sys.stderr) or 80) - 1
        print(ERASE_LINE + cut(line, room), end="", file=sys.stderr, flush=True)
