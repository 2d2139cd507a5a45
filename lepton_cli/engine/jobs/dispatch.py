"""Which worker of a cluster answers which rows, and what happens to them when it is gone.

Knows nothing of Dask: a task is any object that stands for rows given to a worker.
"""

from collections import Counter, deque
from collections.abc import Collection, Hashable, Iterable, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Generic, TypeVar

from lepton_cli.engine.decoding.scheduler import Outcome, Request
from lepton_cli.engine.loading.plan import LOGIT_ROWS
from quant.errors import LeptonError

CHUNK = 4  # rows of a task
SUSPECT, MOST_LOSSES = 2, 4  # times that a row's worker was lost: it is then answered alone; fails

Task = TypeVar("Task", bound=Hashable)


@dataclass(frozen=True, slots=True)
class Assignment:
    """Rows that a worker answers; `alone`: the worker has no others meanwhile."""

    worker: str
    rows: tuple[Request, ...]
    alone: bool = False


class Dispatch(Generic[Task]):
    """The rows of one batch: those that wait, and those that workers answer."""

    def __init__(self, requests: Iterable[Request], jobs: int | None) -> None:
        """`jobs` rows are answered at once by each worker; None: as many as a pass has logits."""
        at_once = min(jobs or LOGIT_ROWS, LOGIT_ROWS)
        self._chunk = min(CHUNK, at_once)
        self._room = max(2, at_once * 3 // 2)  # the next rows are there when others end
        self._new, self._more = iter(requests), True
        self._returned: deque[Request] = deque()
        self._losses: Counter[int] = Counter()  # by a row's key
        self._tasks: dict[Task, Assignment] = {}

    @property
    def unfinished(self) -> bool:
        """Rows may wait, or are being answered."""
        return self._more or bool(self._returned or self._tasks)

    @property
    def tasks(self) -> list[Task]:
        return list(self._tasks)

    def next(self, workers: Collection[str]) -> Assignment | None:
        """Rows for the least busy worker; None where all are busy, or no rows wait.

        A row that lost its worker more than once may be what ends the workers. It is answered
        alone, so that other rows are not lost with it; until a worker is idle, no row goes out.
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
        """False once its rows were taken back: another task answers them."""
        return task in self._tasks

    def finish(self, task: Task) -> None:
        del self._tasks[task]

    def of_lost_workers(self, workers: Collection[str]) -> list[Task]:
        """The tasks whose worker is none of these."""
        return [task for task, one in self._tasks.items() if one.worker not in workers]

    def lose(self, tasks: Iterable[Task]) -> list[Outcome]:
        """Takes back the rows of tasks whose worker is lost. Gives the errors of rows that fail."""
        rows = self._take_back(tasks)
        self._losses.update(row.key for row in rows)
        self._return([row for row in rows if self._losses[row.key] < MOST_LOSSES])
        failed = (row.key for row in rows if self._losses[row.key] >= MOST_LOSSES)
        return [Outcome(key, error=_worker_lost()) for key in failed]

    def recall(self, tasks: Iterable[Task]) -> None:
        """Takes back the rows of tasks that Dask has lost; that is no fault of theirs."""
        self._return(self._take_back(tasks))

    def _return(self, rows: Sequence[Request]) -> None:
        """To the front: a row that was lost is the first to be answered by the next worker."""
        self._returned.extendleft(reversed(rows))

    def _take_back(self, tasks: Iterable[Task]) -> list[Request]:
        taken = [self._tasks.pop(task) for task in tasks if task in self._tasks]
        return [row for assignment in taken for row in assignment.rows]

    def _loads(self, workers: Collection[str]) -> dict[str, int]:
        """Rows by worker, without the workers that answer a row alone."""
        loads = dict.fromkeys(workers, 0)
        for one in self._tasks.values():
            if one.alone:
                loads.pop(one.worker, None)
            elif one.worker in loads:
                loads[one.worker] += len(one.rows)
        return loads

    def _rows(self) -> tuple[Request, ...]:
        """A chunk of rows that were taken back and are not suspect, or of new ones."""
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
    message = f"{MOST_LOSSES} workers were lost while they answered this row, the last ones alone"
    cure = "was their memory enough? `dask worker ADDRESS --memory-limit 0`; then --retry-errors"
    return LeptonError(message, cure)
