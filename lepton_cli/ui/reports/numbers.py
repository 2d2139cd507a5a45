"""Formatting of numbers and tables."""

from collections.abc import Sequence

from lepton_cli.ui.terminal.wrapping import broken, most_cells

MIN_TEXT = 20  # columns of text beside a name


def size(count: int) -> str:
    """A size in bytes like 1.2 MB, in powers of 1000."""
    return _scaled(count, ("B", "kB", "MB", "GB", "TB"))


def amount(count: int) -> str:
    """A number of parameters like 1.24 B (billions)."""
    return _scaled(count, ("", "K", "M", "B", "T"))


def _scaled(count: int, units: Sequence[str]) -> str:
    value, index = float(count), 0
    while value >= 999.5 and index + 1 < len(units):
        value, index = value / 1000, index + 1
    return f"{value:.3g} {units[index]}".rstrip()


def duration(seconds: float) -> str:
    """Like 1:05, or 1:00:10."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def columns(rows: Sequence[Sequence[str]], right: Sequence[int] = ()) -> str:
    """Formats rows of equal length in aligned columns; those in `right` are right-aligned."""
    widths = [max(map(most_cells, column)) for column in zip(*rows, strict=True)]
    lines = []
    for row in rows:
        blanks = [" " * (width - most_cells(cell)) for cell, width in zip(row, widths, strict=True)]
        cells = [
            blank + cell if index in right else cell + blank
            for index, (cell, blank) in enumerate(zip(row, blanks, strict=True))
        ]
        lines.append("  ".join(cells).rstrip() + "\n")
    return "".join(lines)


def facts(rows: Sequence[tuple[str, str]], width: int | None) -> str:
    """Formats (name, text) rows; text is wrapped at words to `width`, if given."""
    begin = max(most_cells(name) for name, _ in rows) + 2
    if width is None or width - begin < MIN_TEXT:
        return columns(rows)
    gap = "\n" + " " * begin
    lines = [(name, broken(text, width - begin).replace("\n", gap)) for name, text in rows]
    return "".join(f"{name + ' ' * (begin - most_cells(name))}{text}\n" for name, text in lines)
