"""Curves of losses in a terminal, small: by the place in a window, and along a text."""

from collections.abc import Sequence
from itertools import pairwise
from typing import TextIO

from lepton_cli.ui.terminal.output import emit
from lepton_cli.ui.terminal.terminal import width_of

HEIGHT, MOST_COLUMNS, MARGIN = 6, 64, 9  # rows; columns of points; columns of the axis
BLOCKS, PLAIN = " ▁▂▃▄▅▆▇█", " .:#"  # a cell's fillings, from empty to full


def draw_losses(
    stream: TextIO, of_places: Sequence[float], of_windows: Sequence[float], first: int
) -> None:
    """`first`: the first scored place of a window."""
    last = first + len(of_places) - 1
    write_plot(stream, "loss by place in the window", of_places, (f"{first}", f"{last}"))
    if len(of_windows) > 1:
        ends = "1", f"{len(of_windows)}"
        write_plot(stream, "loss by window, along the text", of_windows, ends)


def write_plot(stream: TextIO, title: str, values: Sequence[float], ends: tuple[str, str]) -> None:
    """A title, the curve with its range on the left, and what its ends stand for."""
    columns = max(1, min(MOST_COLUMNS, (width_of(stream) or 80) - MARGIN - 1))
    blocks = (stream.encoding or "").lower().replace("-", "") == "utf8"
    rows = curve_rows(means(values, columns), BLOCKS if blocks else PLAIN)
    edge = "│" if blocks else "|"
    scale = [f"{max(values):.3f}", *[""] * (len(rows) - 2), f"{min(values):.3f}"]
    lines = [f"{mark:>{MARGIN - 2}} {edge}{row}" for mark, row in zip(scale, rows, strict=True)]
    axis = " " * MARGIN + ends[0] + ends[1].rjust(len(rows[0]) - len(ends[0]))
    emit(stream, "\n".join([title, *lines, axis, ""]))


def means(values: Sequence[float], most: int) -> list[float]:
    """At most so many values: the means of neighbours."""
    count = min(most, len(values))
    cuts = [n * len(values) // count for n in range(count + 1)]
    return [sum(values[start:stop]) / (stop - start) for start, stop in pairwise(cuts)]


def curve_rows(values: Sequence[float], fillings: str) -> list[str]:
    """Columns as high as their values, from the least to the greatest; the top row first."""
    low, high = min(values), max(values)
    steps = len(fillings) - 1
    heights = [
        1 + round((value - low) / (high - low or 1) * (HEIGHT * steps - 1)) for value in values
    ]
    return [
        "".join(fillings[max(0, min(steps, height - row * steps))] for height in heights)
        for row in reversed(range(HEIGHT))
    ]
