"""The status line: one row on stderr that is redrawn while work goes on, and erased at the end."""

import sys

from lepton_cli.ui.terminal.terminal import redraws, sanitize, width_of
from lepton_cli.ui.terminal.wrapping import cut

ERASE_LINE = "\r\x1b[K"


class StatusLine:
    """Shows a text in place of the last one; only on a terminal whose cursor can be moved.

    with StatusLine() as line:  # erased at the end, also before an error is printed
        line("window 1 of 3")
    """

    def __init__(self) -> None:
        self.draws = sys.stderr is not None and redraws(sys.stderr)
        self._is_drawn = False

    def __enter__(self) -> "StatusLine":
        return self

    def __exit__(self, *_: object) -> None:
        self.clear()

    def __call__(self, text: str) -> None:
        """An empty text erases what another one has drawn, too."""
        if self.draws:
            line = sanitize(text.replace("\n", " "))
            # columns stay free for the ^C that a terminal shows: it must not begin a row
            room = (width_of(sys.stderr) or 80) - len("^C ")
            print(ERASE_LINE + cut(line, room), end="", file=sys.stderr, flush=True)
            self._is_drawn = bool(text)

    def clear(self) -> None:
        """Erases the line, before a note or an answer is printed."""
        if self._is_drawn:
            self("")
