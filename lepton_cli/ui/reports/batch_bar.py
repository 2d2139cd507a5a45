"""The bar of a batch on a terminal; apart, so that a batch in a pipe imports no rich."""

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

REFRESHES = 4  # a second: the bar's thread runs beside the model's


class Words(ProgressColumn):
    """What is said of the moment, whether or not a row has ended."""

    def __init__(self, words: Callable[[], str]) -> None:
        super().__init__()
        self._words = words

    def render(self, task: Task) -> Text:
        return Text(self._words(), no_wrap=True, overflow="ellipsis")


def batch_bar(words: Callable[[], str]) -> Progress:
    """On stderr; gone when the batch is done."""
    columns = (BarColumn(), MofNCompleteColumn(), Words(words), TimeRemainingColumn())
    console = Console(file=sys.stderr, no_color=True)  # readable on any background
    return Progress(*columns, console=console, transient=True, refresh_per_second=REFRESHES)
