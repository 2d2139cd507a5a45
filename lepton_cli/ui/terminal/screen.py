"""Output at the bottom of a terminal: settled lines, and below them rows that can be redrawn."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import takewhile
from typing import TextIO

from rich.console import Console
from rich.segment import Segments
from rich.text import Text
from rich.theme import Theme

from lepton_cli.ui.terminal.terminal import redraws, uses_color
from lepton_cli.ui.terminal.theme import STYLES
from lepton_cli.ui.terminal.wrapping import most_cells, wrap

UP, ERASE_BELOW = "\x1b[{}A", "\r\x1b[J"


def open_console(stream: TextIO, *, plain: bool = False) -> Console:
    """A console without markup, with colours as this stream supports."""
    color, moves = uses_color(stream) and not plain, redraws(stream) and not plain
    return Console(
        file=stream,
        force_terminal=color or moves,
        color_system="auto" if color or moves else None,
        no_color=not color,
        markup=False,
        highlight=False,
        emoji=False,
        legacy_windows=False,
        theme=Theme(STYLES["none"]),
    )


@dataclass(frozen=True, slots=True)
class _Row:
    written: str  # with colour sequences
    cells: int


class Screen:
    """Redraws the open rows from the first that differs.

    The cursor is after the last open row, or in the first column if there is none.
    """

    def __init__(self, console: Console) -> None:
        self.console = console
        self._open: list[_Row] = []
        self._drawn_width = 0

    @property
    def width(self) -> int:
        """The usable width: one column stays free, as terminals differ on full rows."""
        return max(1, self.console.width - 1)

    @property
    def has_open_rows(self) -> bool:
        return bool(self._open)

    def draw(self, settled: Sequence[Text], open_lines: Sequence[Text]) -> None:
        """Writes `settled` where the open rows were, and `open_lines` below."""
        still_open = self._rows(self._fitting(open_lines))
        rows = self._rows(settled) + still_open
        if not still_open or rows != self._open or self.width != self._drawn_width:
            self._rewrite(rows, len(still_open))
        self._open, self._drawn_width = still_open, self.width

    def _rewrite(self, rows: Sequence[_Row], still_open: int) -> None:
        same = _common(rows, self._open) if self.width == self._drawn_width else 0
        if still_open and same == len(rows):
            same -= 1  # rewrite the last row, so that the cursor ends after it
        written = self._to(same) + "\n".join(row.written for row in rows[same:])
        if rows[same:] and not still_open:
            written += "\n"
        self.console.file.write(written)
        self.console.file.flush()

    def _to(self, row: int) -> str:
        """The sequence to move to an open row (or below the last) and erase from there."""
        if row == len(self._open):
            return "\n" if row else ""
        up = sum(self._height(below) for below in self._open[row:]) - 1
        return (UP.format(up) if up else "") + ERASE_BELOW

    def _height(self, row: _Row) -> int:
        """The row's height in terminal rows: it may be wrapped after a resize."""
        return max(1, math.ceil(row.cells / self.console.width))

    def _fitting(self, lines: Sequence[Text]) -> list[Text]:
        """The last lines that fit on the screen, since only visible rows can be redrawn."""
        wrapped = [row for line in lines for row in self._wrapped(line)]
        return wrapped[-max(1, self.console.height - 1) :]

    def _wrapped(self, line: Text) -> list[Text]:
        return [line] if most_cells(line.plain) <= self.width else wrap(line, self.width)

    def _rows(self, lines: Sequence[Text]) -> list[_Row]:
        return [_Row(self._written(line), line.cell_len) for line in lines]

    def _written(self, line: Text) -> str:
        """The line with colours, neither wrapped nor cut, with its tabs."""
        plain = Text().append_text(line)  # includes the line's own style
        with self.console.capture() as capture:
            self.console.print(Segments(plain.render(self.console)), crop=False, end="")
        return capture.get()


def _common(rows: Sequence[_Row], others: Sequence[_Row]) -> int:
    """The number of common first rows."""
    pairs = zip(rows, others, strict=False)
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))
