"""Rows answered by the workers of a Dask cluster; what is done with the answers stays here.

Rows travel as token ids and settings, a few to a task. Each task is bound to a worker of our
choice (dispatch). Dask alone would keep the tasks of a lost worker bound to its address; so the
workers are watched here, and the rows of one that is gone are given to another. All workers must
have this very model and version, and compute alike.
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
from lepton_cli.engine.jobs.serving import ModelSpec, Report, answer, lepton_version, probe
from lepton_cli.engine.library.catalogue import resolve
from lepton_cli.engine.library.identity import model_identity
from lepton_cli.engine.library.sizes import counted
from lepton_cli.engine.loading import plan as loading
from lepton_cli.engine.loading.plan import LoadOptions
from lepton_cli.engine.text.template import ChatTemplate, load_template
from lepton_cli.engine.text.tokenizer import Tokenizer, build_tokenizer
from lepton_cli.version import __version__
from quant.errors import LeptonError, UsageError
from quant.gguf import GGUF, Metadata

TICK, FETCHING, PATIENCE = 0.5, 2.0, 60.0  # seconds
RESUME = "the same command goes on from there"

Task = Future[tuple[Outcome, ...]]


class ClusterModel:
    """A model whose file is read here, and which the workers of a cluster run."""

    def __init__(self, connection: Connection, name: str, load: LoadOptions) -> None:
        """`name` is the user's. Raises LeptonError where a worker cannot run the model.

        Its workers compute on their CPUs, since their bytes must be the same.
        """
        if load.backend == "cuda":
            raise UsageError("a cluster computes on CPUs", "leave out --backend cuda")
        self._connection, self._load = connection, load
        self._file = GGUF.open(resolve(name))
        self.backend = "cpu" if load.backend == "auto" else load.backend
        self.identity = model_identity(self._file)
        called = self.metadata.get("general.name")
        self.name = (
            called if isinstance(called, str) and called else loading.readable_name(self._file.path)
        )
        place = os.path.abspath(name) if Path(name).exists() else name
        wanted = replace(load, backend=self.backend, template=None, prefixes=0, gpu_layers=0)
        reports = _probe(connection, place, self.identity, wanted)
        self.arithmetic = agreed(reports)
        context = min(report.context for report in reports.values())
        self._spec = ModelSpec(place, self.identity, self.arithmetic, replace(wanted, ctx=context))
        self.told = f"{counted(len(reports), 'worker')}, {self.arithmetic}, context {context}"

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
        """As Model's; `jobs` are each worker's. Setting `interrupt` drops the rows under way.

        Tells when it begins to wait for a worker or the scheduler, and when that is over. Raises
        LeptonError where it waited in vain for a while, or a worker cannot do its part.
        """
        spec, dispatch = replace(self._spec, jobs=jobs), Dispatch[Task](requests, jobs)
        ended: SimpleQueue[Task] = SimpleQueue()
        lack = Lack(self._connection.address)
        try:
            while dispatch.unfinished and not (interrupt is not None and interrupt.is_set()):
                workers = self._connection.workers()
                yield from lack.changes(workers)
                yield from self._take_back(dispatch, workers)
                self._give_out(dispatch, workers or (), spec, ended)
                if dispatch.unfinished:
                    yield from _outcomes(dispatch, ended)
        finally:
            self._cancel(dispatch.tasks)

    def _take_back(
        self, dispatch: Dispatch[Task], workers: Collection[str] | None
    ) -> Iterator[Outcome]:
        """The rows of workers that are gone; all rows where the scheduler is."""
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
        """Where the scheduler is gone, its tasks are gone with it."""
        if tasks:
            with contextlib.suppress(OSError, RuntimeError, CancelledError):
                self._connection.client.cancel(tasks, force=True)


class Lack:
    """What the cluster at `address` lacks, and since when."""

    def __init__(self, address: str) -> None:
        self._address, self._what, self._since = address, "", time.monotonic()

    def changes(self, workers: Collection[str] | None) -> Iterator[Waiting]:
        """`workers` is None where the scheduler does not answer.

        Raises LeptonError where the same was lacking for PATIENCE.
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
    """Raises LeptonError where there is no cluster, or not one that can run the model."""
    with quiet():
        connection = Connection(address)
        try:
            yield ClusterModel(connection, name, load)
        finally:
            connection.close()


def agreed(reports: Mapping[str, Report]) -> str:
    """What all workers compute with. Raises UsageError where they differ: so would the bytes."""
    kinds = Counter(report.arithmetic for report in reports.values())
    if len(kinds) == 1:
        return next(iter(kinds))
    told = "; ".join(f"{kind}: {_places(reports, kind)}" for kind in sorted(kinds))
    cure = "start all with one LEPTON_CPU that each of them has (`lepton doctor` tells)"
    raise UsageError(f"the workers compute differently: {told}", cure)


def check_versions(found: Mapping[str, object]) -> None:
    """Raises UsageError for a process of the cluster that has another Lepton, or none."""
    for place, version in found.items():
        if version != __version__:
            none = f"no Lepton ({one_line(version)})"
            has = f"Lepton {version}" if isinstance(version, str) else none
            cure = f"pip install 'lepton-cli[cluster]=={__version__}' there, and start it again"
            raise UsageError(f"{place} has {has}, and this is {__version__}", cure)


def _outcomes(dispatch: Dispatch[Task], ended: "SimpleQueue[Task]") -> Iterator[Outcome]:
    """Those of one task; of none where none ends for a moment."""
    try:
        task = ended.get(timeout=TICK)
    except Empty:
        return
    if not dispatch.holds(task):
        return
    try:
        error = task.exception(timeout=FETCHING)
        outcomes = task.result(timeout=FETCHING) if error is None else ()
    except TimeoutError:  # perhaps the worker that has them is lost: that shows soon
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
        raise LeptonError(f"a worker failed: {one_line(error)}", "its log may tell more")
    yield from outcomes


def _probe(
    connection: Connection, name: str, identity: str, load: LoadOptions
) -> dict[str, Report]:
    """Each worker's report. Raises the first error, with the worker's name."""
    client = connection.client
    try:
        if not client.nthreads():
            cure = f"start some: dask worker {connection.address}"
            raise UsageError("the cluster has no workers", cure)
        check_versions(client.run(lepton_version, on_error="return"))
        check_versions({"the scheduler": _schedulers_version(client)})
        reports = client.run(probe, name, identity, load, on_error="return")
    except (OSError, CancelledError) as error:
        message = f"the cluster is lost ({one_line(error)})"
        raise LeptonError(message, f"start it again; {RESUME}") from error
    for place, report in reports.items():
        if isinstance(report, LeptonError):
            raise type(report)(f"{place}: {report.message}", report.hint)
        if not isinstance(report, Report):
            raise LeptonError(f"{place} failed: {one_line(report)}", "its log may tell more")
    return dict(reports)


def _schedulers_version(client: Client) -> object:
    """The scheduler unpickles our tasks, so it needs Lepton too."""
    try:
        return client.run_on_scheduler(lepton_version)
    except (ImportError, AttributeError, RuntimeError) as error:
        return error


def _places(reports: Mapping[str, Report], kind: str) -> str:
    return ", ".join(place for place, report in reports.items() if report.arithmetic == kind)
