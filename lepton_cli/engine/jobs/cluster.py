"""Answers rows on the workers of a Dask cluster; results are written by this process.

Rows are sent as token ids and settings, a few per task. Each task is bound to a worker that we
choose (dispatch). Dask would keep the tasks of a lost worker bound to its address, so the workers
are watched here, and the rows of a lost one are given to another. All workers must have the same
model file and version, and the same arithmetic.
"""

import contextlib
import os
import threading
import time
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from concurrent.futures import CancelledError
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from queue import Empty, SimpleQueue

from distributed import Client, Future
from distributed.scheduler import KilledWorker

from lepton_cli.engine.decoding.scheduler import Outcome, Request
from lepton_cli.engine.jobs.connection import Connection, one_line, quiet
from lepton_cli.engine.jobs.dispatch import Dispatch
from lepton_cli.engine.jobs.running import Waiting
from lepton_cli.engine.jobs.serving import ModelSpec, WorkerReport, answer, lepton_version, probe
from lepton_cli.engine.library.catalogue import resolve
from lepton_cli.engine.library.identity import model_identity, model_name
from lepton_cli.engine.library.sizes import counted
from lepton_cli.engine.loading.plan import LoadOptions
from lepton_cli.engine.text.template import ChatTemplate, load_template
from lepton_cli.engine.text.tokenizer import Tokenizer, build_tokenizer
from lepton_cli.version import __version__
from quant.errors import LeptonError, UsageError
from quant.gguf import GGUF, Metadata

TICK, FETCHING, PATIENCE = 0.5, 2.0, 60.0  # seconds
RESUME = "the same command continues from there"

Task = Future[tuple[Outcome, ...]]


class ClusterModel:
    """A model whose file is read here and run by the workers of a cluster."""

    def __init__(self, connection: Connection, name: str, load: LoadOptions) -> None:
        """`name`: as the user typed it. Raises LeptonError if a worker cannot run the model.

        Workers compute on CPUs, since their results must be equal to the bit.
        """
        if load.backend == "cuda":
            raise UsageError("a cluster computes on CPUs", "leave out --backend cuda")
        if load.adapters:
            raise UsageError("adapters do not run on a cluster yet", "leave out --cluster")
        self._connection, self._load = connection, load
        self._file = GGUF.open(resolve(name))
        self.backend = "cpu" if load.backend == "auto" else load.backend
        self.identity = model_identity(self._file)
        self.name = model_name(self._file)
        place = os.path.abspath(name) if Path(name).exists() else name
        wanted = replace(load, backend=self.backend, template=None, prefixes=0, gpu_layers=0)
        reports = _probe(connection, place, self.identity, wanted)
        self.arithmetic = common_arithmetic(reports)
        context = min(report.context for report in reports.values())
        self._spec = ModelSpec(place, self.identity, self.arithmetic, replace(wanted, ctx=context))
        self.summary = f"{counted(len(reports), 'worker')}, {self.arithmetic}, context {context}"

    @property
    def metadata(self) -> Metadata:
        return self._file.metadata

    @cached_property
    def tokenizer(self) -> Tokenizer:
        return build_tokenizer(self.metadata)

    @cached_property
    def template(self) -> ChatTemplate:
        return load_template(self.metadata, self.tokenizer, self._load.template)

    def batch(
        self,
        requests: Iterable[Request],
        jobs: int | None = None,
        interrupt: threading.Event | None = None,
    ) -> Iterator[Outcome | Waiting]:
        """Like Model.batch; `jobs` is per worker. Setting `interrupt` drops the rows in progress.

        Yields Waiting when it starts and stops waiting for a worker or the scheduler. Raises
        LeptonError if the wait exceeds PATIENCE, or a worker cannot run the model.
        """
        spec, dispatch = replace(self._spec, jobs=jobs), Dispatch[Task](requests, jobs)
        ended: SimpleQueue[Task] = SimpleQueue()
        outage = Outage(self._connection.address)
        try:
            while dispatch.unfinished and not (interrupt is not None and interrupt.is_set()):
                workers = self._connection.workers()
                yield from outage.changes(workers)
                yield from self._take_back(dispatch, workers)
                self._give_out(dispatch, workers or (), spec, ended)
                if dispatch.unfinished:
                    yield from _outcomes(dispatch, ended)
        finally:
            self._cancel(dispatch.tasks)

    def _take_back(
        self, dispatch: Dispatch[Task], workers: Collection[str] | None
    ) -> Iterator[Outcome]:
        """Takes back the rows of lost workers, or all rows if the scheduler is lost."""
        if workers is None:
            dispatch.recall(dispatch.tasks)
            return
        lost = dispatch.of_lost_workers(workers)
        self._cancel(lost)
        yield from dispatch.lose(lost)

    def _give_out(
        self,
        dispatch: Dispatch[Task],
        workers: Collection[str],
        spec: ModelSpec,
        ended: "SimpleQueue[Task]",
    ) -> None:
        while (assignment := dispatch.next(workers)) is not None:
            rows, at = assignment.rows, [assignment.worker]
            task = self._connection.client.submit(answer, spec, rows, pure=False, workers=at)
            dispatch.start(task, assignment)
            task.add_done_callback(ended.put)

    def _cancel(self, tasks: list[Task]) -> None:
        """Cancels tasks; errors are ignored, since the tasks of a lost scheduler are lost too."""
        if tasks:
            with contextlib.suppress(OSError, RuntimeError, CancelledError):
                self._connection.client.cancel(tasks, force=True)


class Outage:
    """What the cluster at `address` is missing (worker or scheduler), and since when."""

    def __init__(self, address: str) -> None:
        self._address, self._what, self._since = address, "", time.monotonic()

    def changes(self, workers: Collection[str] | None) -> Iterator[Waiting]:
        """Yields a Waiting at each change. `workers` is None if the scheduler does not answer.

        Raises LeptonError after PATIENCE seconds without it.
        """
        if workers:
            what, cure = "", ""
        elif workers is None:
            what, cure = "scheduler", f"dask scheduler --port {self._address.rpartition(':')[2]}"
        else:
            what, cure = "worker", f"dask worker {self._address}"
        if what != self._what:
            self._what, self._since = what, time.monotonic()
            yield Waiting(what, cure, PATIENCE)
        elif what and time.monotonic() - self._since > PATIENCE:
            message = f"the cluster {self._address} had no {what} for {PATIENCE:.0f} s"
            raise LeptonError(message, f"start one: {cure}; {RESUME}")


@contextlib.contextmanager
def open_cluster(address: str, name: str, load: LoadOptions) -> Iterator[ClusterModel]:
    """Connects to a cluster. Raises LeptonError if there is none that can run the model."""
    with quiet():
        connection = Connection(address)
        try:
            yield ClusterModel(connection, name, load)
        finally:
            connection.close()


def common_arithmetic(reports: Mapping[str, WorkerReport]) -> str:
    """The arithmetic of all workers. Raises UsageError if it differs, as results would too."""
    kinds = Counter(report.arithmetic for report in reports.values())
    if len(kinds) == 1:
        return next(iter(kinds))
    groups = "; ".join(f"{kind}: {_addresses(reports, kind)}" for kind in sorted(kinds))
    cure = "start all with a LEPTON_CPU that each of them supports (see `lepton doctor`)"
    raise UsageError(f"the workers compute differently: {groups}", cure)


def check_versions(found: Mapping[str, object]) -> None:
    """Raises UsageError for a process of the cluster with another version of Lepton, or none."""
    for place, version in found.items():
        if version != __version__:
            none = f"no Lepton ({one_line(version)})"
            has = f"Lepton {version}" if isinstance(version, str) else none
            cure = f"pip install 'lepton-cli[cluster]=={__version__}' there, and start it again"
            raise UsageError(f"{place} has {has}, and this is {__version__}", cure)


def _outcomes(dispatch: Dispatch[Task], ended: "SimpleQueue[Task]") -> Iterator[Outcome]:
    """The outcomes of the next finished task; nothing if none finishes within TICK."""
    try:
        task = ended.get(timeout=TICK)
    except Empty:
        return
    if not dispatch.holds(task):
        return
    try:
        error = task.exception(timeout=FETCHING)
        outcomes = task.result(timeout=FETCHING) if error is None else ()
    except TimeoutError:  # perhaps its worker is lost, which will be noticed soon
        ended.put(task)
        return
    except (CancelledError, OSError):
        dispatch.recall([task])
        return
    if isinstance(error, KilledWorker):
        yield from dispatch.lose([task])
        return
    dispatch.finish(task)
    if isinstance(error, LeptonError):
        raise error
    if error is not None:
        raise LeptonError(f"a worker failed: {one_line(error)}", "see its log")
    yield from outcomes


def _probe(
    connection: Connection, name: str, identity: str, load: LoadOptions
) -> dict[str, WorkerReport]:
    """The report of each worker. Raises the first error, with the worker's address."""
    client = connection.client
    try:
        if not client.nthreads():
            cure = f"start some: dask worker {connection.address}"
            raise UsageError("the cluster has no workers", cure)
        check_versions(client.run(lepton_version, on_error="return"))
        check_versions({"the scheduler": _scheduler_version(client)})
        reports = client.run(probe, name, identity, load, on_error="return")
    except (OSError, CancelledError) as error:
        message = f"the cluster is lost ({one_line(error)})"
        raise LeptonError(message, f"start it again; {RESUME}") from error
    for place, report in reports.items():
        if isinstance(report, LeptonError):
            raise type(report)(f"{place}: {report.message}", report.hint)
        if not isinstance(report, WorkerReport):
            raise LeptonError(f"{place} failed: {one_line(report)}", "see its log")
    return dict(reports)


def _scheduler_version(client: Client) -> object:
    """The scheduler's version of Lepton: it needs Lepton to unpickle our tasks."""
    try:
        return client.run_on_scheduler(lepton_version)
    except (ImportError, AttributeError, RuntimeError) as error:
        return error


def _addresses(reports: Mapping[str, WorkerReport], kind: str) -> str:
    return ", ".join(place for place, report in reports.items() if report.arithmetic == kind)
