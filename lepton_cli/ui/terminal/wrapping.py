"""Line wrapping, and the number of columns that a terminal may need for a text.

Terminals differ on characters of several code points: a family emoji takes two columns in one and
six in another. A row that fits by the larger count fits in all of them.
"""

import re
import unicodedata
from collections.abc import Iterator
from functools import lru_cache
from itertools import pairwise
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.text import Text

TAB = 8  # columns, at most
WORD = re.compile(r"\s*\S+\s*")
JOINER, EMOJI_STYLE = "\u200d", "\ufe0f"
EMOJI = range(0x1F000, 0x1FB00)  # includes those newer than Python's tables
SKIN_TONES = range(0x1F3FB, 0x1F400)
FLAG_LETTERS = range(0x1F1E6, 0x1F200)  # two of them are a flag


def most_cells(text: str) -> int:
    """The columns of the text in a terminal that does not join code points."""
    if text.isascii() and "\t" not in text:
        return len(text)
    return sum(map(_cells, text))


@lru_cache(4096)
def _cells(character: str) -> int:
    code, category = ord(character), unicodedata.category(character)
    if character == "\t":
        return TAB
    if character == EMOJI_STYLE:
        return 1  # makes the preceding character wide
    if category in ("Mn", "Me") or (category == "Cf" and code >= 0x200B):
        return 0
    is_wide = code in EMOJI or unicodedata.east_asian_width(character) in ("W", "F")
    return 2 if is_wide else 1


def break_points(line: str, width: int, *, fold: bool) -> list[int]:
    """The indices where new rows begin, at words; too wide words are folded or left whole."""
    points, used = list[int](), 0
    for found in WORD.finditer(line):
        start, word = found.start(), found[0]
        wide = most_cells(word.rstrip())
        if used and used + wide > width:
            points.append(start)
            used = 0
        if fold and wide > width:
            folds = _folds(word.rstrip(), width)
            points += [start + cut for cut in folds]
            word = word[folds[-1] :] if folds else word
        used += most_cells(word)
    return points


def broken(line: str, width: int) -> str:
    """The line wrapped at words; too wide words stay whole."""
    ends = [0, *break_points(line, width, fold=False), len(line)]
    return "\n".join(line[start:end].rstrip() for start, end in pairwise(ends))


def cut(text: str, width: int) -> str:
    """The text in one row, with an ellipsis if it does not fit."""
    if most_cells(text) <= width:
        return text
    folds = _folds(text, width - 1)
    return text[: folds[0]] + "…" if folds and width > 1 else ""


def wrap(text: "Text", width: int, *, fold: bool = True) -> list["Text"]:
    """Styled text wrapped into rows, line by line, without trailing spaces."""
    rows: list[Text] = []
    for line in text.split(allow_blank=True):
        if "\t" in line.plain:
            line.expand_tabs(TAB)
        rows += line.divide(break_points(line.plain, width, fold=fold))
    for row in rows:
        row.rstrip()
    return rows


def _folds(word: str, width: int) -> list[int]:
    """The indices where a word is folded, never inside a character as seen on the screen."""
    folds, used = list[int](), 0
    starts = [*_starts(word), len(word)]
    for start, end in pairwise(starts):
        cells = most_cells(word[start:end])
        if used and used + cells > width:
            folds.append(start)
            used = 0
        used += cells
    return folds


def _starts(text: str) -> Iterator[int]:
    """The index of the first code point of each user-perceived character."""
    before, letters = "", 0
    for index, character in enumerate(text):
        code = ord(character)
        letters = letters + 1 if code in FLAG_LETTERS else 0
        goes_on = (
            character == EMOJI_STYLE
            or _cells(character) == 0
            or code in SKIN_TONES
            or before == JOINER
            or (letters and letters % 2 == 0)
        )
        if not goes_on or index == 0:
            yield index
        before = character
