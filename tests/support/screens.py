"""A minimal terminal emulator: what is visible after the bytes that were written."""

import re
from dataclasses import dataclass, field

from rich.cells import get_character_cell_size

KNOWN = re.compile(r"\x1b\[(\d*)([AJ])|\x1b\[[\d;]*m|([\n\r\t])|([^\x00-\x1f\x7f-\x9f])")


@dataclass
class Terminal:
    """Supports newlines, moving up and erasing below; ignores colours; all else is an error."""

    width: int = 80
    rows: list[str] = field(default_factory=lambda: [""])
    row: int = 0
    column: int = 0
    highest: int = 0  # the topmost row that was moved to since it was last asked for

    def write(self, data: str) -> None:
        at = 0
        while at < len(data):
            found = KNOWN.match(data, at)
            assert found, f"the terminal was sent {data[at : at + 8]!r}"
            self._do(found)
            at = found.end()

    def _do(self, found: re.Match[str]) -> None:
        count, move, control, character = found.groups()
        if move == "A":
            self.row = max(0, self.row - int(count or 1))
            self.highest = min(self.highest, self.row)
        elif move == "J":
            del self.rows[self.row + 1 :]
            self.rows[self.row] = self.rows[self.row][: self.column]
        elif control == "\r":
            self.column = 0
        elif control == "\n":
            self._next_row()
        elif control == "\t":
            self.rows[self.row] += control
            self.column = min(self.width - 1, self.column // 8 * 8 + 8)
        elif character:
            self._put(character)

    def _put(self, character: str) -> None:
        if self.column + get_character_cell_size(character) > self.width:
            self._next_row()
        self.rows[self.row] += character
        self.column += get_character_cell_size(character)

    def _next_row(self) -> None:
        self.row, self.column = self.row + 1, 0
        if self.row == len(self.rows):
            self.rows.append("")

    @property
    def shown(self) -> list[str]:
        return [row.rstrip() for row in self.rows]
