"""A batch's progress bar; a separate file, so that other batches do not import rich."""

import sys
from collections.abc import Callable

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TimeRemainingColumn,
)
from rich.text import Text

REFRESHES = 4  # per second; few, as the bar's thread runs beside the model's


class StatusColumn(ProgressColumn):
    """The status text, updated even while no row finishes."""

    def __init__(self, words: Callable[[], str]) -> None:
        super().__init__()
        self._words = words

    def render(self, task: Task) -> Text:
        return Text(self._words(), no_wrap=True, overflow="ellipsis")


def batch_bar(words: Callable[[], str]) -> Progress:
    """A bar on stderr, removed when the batch is done."""
    columns = (BarColumn(), MofNCompleteColumn(), StatusColumn(words), TimeRemainingColumn())
    console = Console(file=sys.stderr, no_color=True)  # readable on any background
    return Progress(*columns, console=console, transient=True, refresh_per_second=REFRESHES)
