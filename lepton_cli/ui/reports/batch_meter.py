"""The progress of a batch: a bar on a terminal, and one line at the end."""

import sys
import threading
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from typing import Protocol

from lepton_cli.engine.jobs.records import Label
from lepton_cli.engine.jobs.running import Tally, Waiting
from lepton_cli.engine.library.sizes import counted
from lepton_cli.ui.terminal.notes import note
from lepton_cli.ui.terminal.terminal import modes_kept, redraws


class Watched(Protocol):
    """A run over rows."""

    @property
    def tally(self) -> Tally: ...
    @property
    def last(self) -> threading.Event: ...


class BatchMeter:
    """Watches a run; `kept` are the results of earlier runs. `done` is what happens to a row."""

    def __init__(
        self, run: Watched, total: int, kept: Collection[Label] = (), done: str = "answered"
    ) -> None:
        self._done = done
        self._run, self._total, self._kept = run, total, len(kept)
        self._kept_failed, self._begin = sum(each.failed for each in kept), time.perf_counter()
        self._reported: Waiting | None = None

    @property
    def failed(self) -> int:
        return self._kept_failed + self._run.tally.failed

    @property
    def left(self) -> int:
        return self._total - self._kept - self._run.tally.finished

    @contextmanager
    def shown(self, safe: Callable[[], int]) -> Iterator[Callable[[], None]]:
        """Shows a bar; yields the function to call at each change. `safe`: rows synced to disk."""
        if sys.stderr is None or not redraws(sys.stderr):
            yield self._note_waiting
            return
        from lepton_cli.ui.reports.batch_bar import batch_bar

        with modes_kept(None, sys.stderr), batch_bar(self._words) as bar:
            task = bar.add_task("", total=self._total, completed=self._kept)
            yield lambda: bar.update(task, completed=self._kept + safe())

    def print_summary(self) -> None:
        """Prints the result in one line."""
        tally, answered = self._run.tally, self._total - self.left - self.failed
        parts = [f"{counted(self._total, 'row')}: {answered} {self._done}, {self.failed} failed"]
        if self._kept:
            failed = f", {self._kept_failed} failed (--retry-errors)" if self._kept_failed else ""
            parts.append(f"{self._kept} {_verb(self._kept, 'was', 'were')} there before{failed}")
        if self.left:
            parts.append(f"{self.left} {_verb(self.left, 'is', 'are')} left")
        if tally.answered:
            seconds = time.perf_counter() - self._begin
            tokens = counted(tally.generated_tokens, "token")
            parts.append(f"{tokens} in {seconds:.1f} s, {self._rate:.1f} t/s")
        note("; ".join(parts))

    def _note_waiting(self) -> None:
        """Prints a line when a wait begins, and one when it ends."""
        waiting, before = self._run.tally.waiting, self._reported
        self._reported = waiting
        if waiting is not None and waiting is not before:
            limit = f"waiting at most {waiting.seconds:.0f} s"
            note(f"the cluster has no {waiting.what}: {limit}; start one: {waiting.cure}")
        elif waiting is None and before is not None:
            note(f"the cluster has a {before.what} again: continuing")

    @property
    def _rate(self) -> float:
        return self._run.tally.generated_tokens / (time.perf_counter() - self._begin)

    def _words(self) -> str:
        waiting = self._run.tally.waiting
        words = [f"no {waiting.what}, waiting" if waiting else f"rows, {self._rate:.0f} t/s"]
        if self.failed:
            words.append(f"{self.failed} failed")
        if self._run.last.is_set():
            words.append(f"Ctrl-C drops {self._run.tally.in_flight} in flight")
        return ", ".join(words)


def _verb(number: int, one: str, many: str) -> str:
    return one if number == 1 else many
