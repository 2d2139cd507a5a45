"""Decides which worker of a cluster answers which rows, also after a worker is lost.

Independent of Dask: a task is any object that represents rows given to a worker.
"""

from collections import Counter, deque
from collections.abc import Collection, Hashable, Iterable, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Generic, TypeVar

from lepton_cli.engine.decoding.scheduler import Outcome, Request
from lepton_cli.engine.loading.plan import LOGIT_ROWS
from quant.errors import LeptonError

CHUNK = 4  # rows per task
SUSPECT, MAX_LOSSES = 2, 4  # a row that lost so many workers is answered alone; fails

Task = TypeVar("Task", bound=Hashable)


@dataclass(frozen=True, slots=True)
class Assignment:
    """Rows for a worker; `alone`: the worker gets no other rows at the same time."""

    worker: str
    rows: tuple[Request, ...]
    alone: bool = False


class Dispatch(Generic[Task]):
    """The rows of one batch: waiting, or assigned to workers."""

    def __init__(self, requests: Iterable[Request], jobs: int | None) -> None:
        """`jobs`: rows that a worker answers at once; None: as many as a pass has logit rows."""
        at_once = min(jobs or LOGIT_ROWS, LOGIT_ROWS)
        self._chunk = min(CHUNK, at_once)
        self._room = max(2, at_once * 3 // 2)  # more than run at once, so that no worker runs dry
        self._new, self._more = iter(requests), True
        self._returned: deque[Request] = deque()
        self._losses: Counter[int] = Counter()  # by a row's key
        self._tasks: dict[Task, Assignment] = {}

    @property
    def unfinished(self) -> bool:
        """Whether rows may be waiting or are being answered."""
        return self._more or bool(self._returned or self._tasks)

    @property
    def tasks(self) -> list[Task]:
        return list(self._tasks)

    def next(self, workers: Collection[str]) -> Assignment | None:
        """The next rows for the least busy worker; None if all are busy or no rows wait.

        A row that lost several workers may be what crashes them. It is answered alone, so that
        other rows are not lost with it; no row is assigned until a worker is idle.
        """
        alone = bool(self._returned) and self._losses[self._returned[0].key] >= SUSPECT
        loads = self._loads(workers)
        worker = min(loads, key=loads.__getitem__, default=None)
        if worker is None or loads[worker] >= (1 if alone else self._room):
            return None
        rows = (self._returned.popleft(),) if alone else self._rows()
        return Assignment(worker, rows, alone) if rows else None

    def start(self, task: Task, assignment: Assignment) -> None:
        self._tasks[task] = assignment

    def holds(self, task: Task) -> bool:
        """False after the task's rows were taken back for another task."""
        return task in self._tasks

    def finish(self, task: Task) -> None:
        del self._tasks[task]

    def of_lost_workers(self, workers: Collection[str]) -> list[Task]:
        """The tasks whose worker is not among these."""
        return [task for task, one in self._tasks.items() if one.worker not in workers]

    def lose(self, tasks: Iterable[Task]) -> list[Outcome]:
        """Takes back the rows of tasks with a lost worker; returns the errors of rows that fail."""
        rows = self._take_back(tasks)
        self._losses.update(row.key for row in rows)
        self._return([row for row in rows if self._losses[row.key] < MAX_LOSSES])
        failed = (row.key for row in rows if self._losses[row.key] >= MAX_LOSSES)
        return [Outcome(key, error=_worker_lost()) for key in failed]

    def recall(self, tasks: Iterable[Task]) -> None:
        """Takes back the rows of tasks that Dask has lost; this does not count against the rows."""
        self._return(self._take_back(tasks))

    def _return(self, rows: Sequence[Request]) -> None:
        """Puts rows back at the front of the queue."""
        self._returned.extendleft(reversed(rows))

    def _take_back(self, tasks: Iterable[Task]) -> list[Request]:
        taken = [self._tasks.pop(task) for task in tasks if task in self._tasks]
        return [row for assignment in taken for row in assignment.rows]

    def _loads(self, workers: Collection[str]) -> dict[str, int]:
        """Rows per worker, without workers that answer a row alone."""
        loads = dict.fromkeys(workers, 0)
        for one in self._tasks.values():
            if one.alone:
                loads.pop(one.worker, None)
            elif one.worker in loads:
                loads[one.worker] += len(one.rows)
        return loads

    def _rows(self) -> tuple[Request, ...]:
        """The next chunk: rows taken back that are not suspect, else new rows."""
        rows: list[Request] = []
        while self._returned and len(rows) < self._chunk:
            if self._losses[self._returned[0].key] >= SUSPECT:
                return tuple(rows)
            rows.append(self._returned.popleft())
        if not rows and self._more:
            rows = list(islice(self._new, self._chunk))
            self._more = bool(rows)
        return tuple(rows)


def _worker_lost() -> LeptonError:
    message = f"{MAX_LOSSES} workers were lost while they answered this row, the last ones alone"
    cure = "was their memory enough? `dask worker ADDRESS --memory-limit 0`; then --retry-errors"
    return LeptonError(message, cure)
