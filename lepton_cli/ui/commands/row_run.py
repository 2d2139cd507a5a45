"""Runs rows into an output until all are done or the user stops it: for `batch` and `embed`."""

import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Protocol

from lepton_cli.engine.jobs.records import Record
from lepton_cli.engine.jobs.running import Tally
from lepton_cli.ui.reports.batch_meter import BatchMeter
from lepton_cli.ui.reports.batch_output import BatchOutput
from lepton_cli.ui.terminal.interrupt import interrupting

FAILED, INTERRUPTED = 1, 130


class RowRun(Protocol):
    """A run over the rows that earlier runs have left.

    Setting `last` starts no more rows; setting `stop` also ends those in progress.
    """

    @property
    def last(self) -> threading.Event: ...
    @property
    def stop(self) -> threading.Event: ...

    def results(self, at_once: int | None, take: Callable[[Any, Record], None]) -> Iterator[Tally]:
        """Yields the tally after each change."""


def run_rows(
    run: RowRun,
    meter: BatchMeter,
    output: BatchOutput,
    keys: Sequence[str],
    at_once: int | None,
    summarize: Callable[[], None],
) -> int:
    """The exit code. `keys` are those of all rows; `summarize` is called at the end, always."""
    try:
        with interrupting(run.last, run.stop), meter.shown(output.safe) as changed:
            for _ in run.results(at_once, output.take):
                changed()
        if not meter.left:
            output.complete(keys)
    finally:
        summarize()
    if meter.left:
        return INTERRUPTED
    return FAILED if meter.failed else 0
