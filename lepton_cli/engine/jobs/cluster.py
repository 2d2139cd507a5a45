"""Rows answered by the workers of a Dask cluster; what is done with the answers stays here.

Rows travel as token ids and settings, a few at a time, as tasks of Dask's: those of a worker that
dies run elsewhere. All workers must have this very model and version, and compute alike.
"""

import asyncio
import contextlib
import logging
import os
import re
import threading
import time
import warnings
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import CancelledError
from dataclasses import replace
from functools import cached_property
from itertools import islice
from pathlib import Path
from queue import Empty, SimpleQueue

from distributed import Client, Future, rpc
from distributed.scheduler import KilledWorker

from lepton_cli.engine.decoding.scheduler import Outcome, Request
from lepton_cli.engine.jobs.serving import ModelSpec, Report, answer, lepton_version, probe
from lepton_cli.engine.library.catalogue import resolve
from lepton_cli.engine.library.identity import model_identity
from lepton_cli.engine.library.sizes import counted
from lepton_cli.engine.loading import plan as loading
from lepton_cli.engine.loading.plan import LOGIT_ROWS, LoadOptions
from lepton_cli.engine.text.template import ChatTemplate, load_template
from lepton_cli.engine.text.tokenizer import Tokenizer, build_tokenizer
from lepton_cli.version import __version__
from quant.errors import LeptonError, UsageError
from quant.gguf import GGUF, Metadata

ADDRESS = re.compile(
    r"((?:tcp|tls|ws|wss|ucx)://)?[^\s/:]+:\d{1,5}|tcp://\[[0-9a-fA-F:]+\]:\d{1,5}"
)
ROWS = 4  # a task: what is answered again when a worker dies, beside what it had begun of others
CONNECTING, TICK, PATIENCE = 5.0, 0.5, 60.0  # seconds
START = "start it with `dask scheduler`, and `dask worker ADDRESS` on each machine"
RESUME = "the same command goes on from there"

Task = Future[tuple[Outcome, ...]]
Flight = dict[Task, tuple[str, tuple[Request, ...]]]
"""Tasks under way -> the worker that each was meant for, and its rows."""


class ClusterModel:
    """A model whose file is read here, and which the workers of a cluster run."""

    def __init__(self, client: Client, name: str, load: LoadOptions) -> None:
        """`name` is the user's. Raises LeptonError where a worker cannot run the model.

        Its workers compute on their CPUs, since their bytes must be the same.
        """
        if load.backend == "cuda":
            raise UsageError("a cluster computes on CPUs", "leave out --backend cuda")
        self._client, self._load, self._alive = client, load, time.monotonic()
        self._file = GGUF.open(resolve(name))
        self.backend = "cpu" if load.backend == "auto" else load.backend
        self.identity = model_identity(self._file)
        called = self.metadata.get("general.name")
        self.name = (
            called if isinstance(called, str) and called else loading.readable_name(self._file.path)
        )
        place = os.path.abspath(name) if Path(name).exists() else name
        wanted = replace(load, backend=self.backend, template=None, prefixes=0, gpu_layers=0)
        reports = _probe(client, place, self.identity, wanted)
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
    ) -> Iterator[Outcome]:
        """As Model's; `jobs` are each worker's. Setting `interrupt` drops what is in flight.

        Raises LeptonError where the cluster is lost, or a worker cannot do its part.
        """
        spec = replace(self._spec, jobs=jobs)
        waiting, more = iter(requests), True
        flight: Flight = {}
        ended: SimpleQueue[Task] = SimpleQueue()
        try:
            while not (interrupt is not None and interrupt.is_set()):
                place = self._place(flight, spec) if more else None
                if place is not None:
                    rows = tuple(islice(waiting, min(ROWS, jobs or ROWS)))
                    more = bool(rows)
                    if rows:
                        task = self._submit(spec, rows, place)
                        flight[task] = place, rows
                        task.add_done_callback(ended.put)
                elif flight or more:
                    yield from self._outcomes(flight, ended)
                else:
                    return
        finally:
            self._drop(flight)

    def _place(self, flight: Flight, spec: ModelSpec) -> str | None:
        """The worker with the fewest rows in flight; None where all have plenty.

        Half as many again as it answers at once: the next rows are there when it has room.
        """
        loads = dict.fromkeys(self._workers(), 0)
        for place, rows in flight.values():
            if place in loads:
                loads[place] += len(rows)
        plenty = max(2, min(spec.jobs or LOGIT_ROWS, LOGIT_ROWS) * 3 // 2)
        return min(
            (one for one in loads if loads[one] < plenty), key=loads.__getitem__, default=None
        )

    def _workers(self) -> list[str]:
        """Raises LeptonError when there was none for a while."""
        found, now = list(_threads(self._client)), time.monotonic()
        if found:
            self._alive = now
        elif now - self._alive > PATIENCE:
            raise LeptonError("no worker of the cluster is left", f"start one; {RESUME}")
        return found

    def _submit(self, spec: ModelSpec, rows: tuple[Request, ...], place: str) -> Task:
        """Where the worker is gone another does it: that is Dask's to see to."""
        return self._client.submit(
            *(answer, spec, rows), pure=False, workers=[place], allow_other_workers=True
        )

    def _outcomes(self, flight: Flight, ended: "SimpleQueue[Task]") -> Iterator[Outcome]:
        """Those of one task; of none where none ends for a moment."""
        try:
            task = ended.get(timeout=TICK)
        except Empty:
            self._workers()
            return
        try:
            error = task.exception()
            outcomes = task.result() if error is None else ()
        except (CancelledError, OSError) as failure:  # the scheduler does not know it any more
            raise _lost(failure) from failure
        _, rows = flight.pop(task)
        if isinstance(error, KilledWorker):
            yield from (Outcome(row.key, error=_deadly(len(rows) - 1)) for row in rows)
        elif isinstance(error, LeptonError):
            raise error
        elif error is not None:
            raise LeptonError(f"a worker failed: {_line(error)}", "its log may tell more")
        yield from outcomes

    def _drop(self, flight: Flight) -> None:
        if flight:
            with contextlib.suppress(OSError, CancelledError):
                self._client.cancel(list(flight), force=True)


@contextlib.contextmanager
def open_cluster(address: str, name: str, load: LoadOptions) -> Iterator[ClusterModel]:
    """Raises LeptonError where there is no cluster, or not one that can run the model."""
    if not ADDRESS.fullmatch(address):
        raise UsageError(f"--cluster {address!r} is no address", "like tcp://host:8786")
    with _quiet(), _connected(address) as client:
        yield ClusterModel(client, name, load)


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
            has = (
                f"Lepton {version}" if isinstance(version, str) else f"no Lepton ({_line(version)})"
            )
            cure = f"pip install 'lepton-cli[cluster]=={__version__}' there, and start it again"
            raise UsageError(f"{place} has {has}, and this is {__version__}", cure)


@contextlib.contextmanager
def _connected(address: str) -> Iterator[Client]:
    try:
        kind = asyncio.run(asyncio.wait_for(_kind(address), CONNECTING))
        if kind != "Scheduler":
            raise UsageError(f"at {address} is a {kind}, not a scheduler", START)
        client = Client(address, timeout=CONNECTING, set_as_default=False, name="lepton-batch")
    except (OSError, ValueError, RuntimeError) as error:
        message = f"there is no Dask cluster at {address} ({_line(error)})"
        raise UsageError(message, START) from error
    try:
        yield client
    finally:
        with contextlib.suppress(OSError, CancelledError):
            client.close(timeout=CONNECTING)


async def _kind(address: str) -> object:
    """What of Dask's answers there: a client would wait for ever for another program's answer."""
    async with rpc(address) as remote:
        return (await remote.identity()).get("type")


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """What Dask would tell in its logs and warnings becomes an error of ours where it matters."""
    level = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(level)


def _probe(client: Client, name: str, identity: str, load: LoadOptions) -> dict[str, Report]:
    """Each worker's report. Raises the first error, with the worker's name."""
    try:
        if not _threads(client):
            raise UsageError("the cluster has no workers", f"start some: dask worker {_at(client)}")
        check_versions(client.run(lepton_version, on_error="return"))
        check_versions({"the scheduler": _schedulers_version(client)})
        reports = client.run(probe, name, identity, load, on_error="return")
    except (OSError, CancelledError) as error:
        raise _lost(error) from error
    for place, report in reports.items():
        if isinstance(report, LeptonError):
            raise type(report)(f"{place}: {report.message}", report.hint)
        if not isinstance(report, Report):
            raise LeptonError(f"{place} failed: {_line(report)}", "its log may tell more")
    return dict(reports)


def _schedulers_version(client: Client) -> object:
    """It reads our tasks, too."""
    try:
        return client.run_on_scheduler(lepton_version)
    except (ImportError, AttributeError, RuntimeError) as error:
        return error


def _threads(client: Client) -> Mapping[str, int]:
    """By worker. Raises LeptonError where the cluster is gone."""
    try:
        threads: Mapping[str, int] = client.nthreads()
    except (OSError, CancelledError) as error:
        raise _lost(error) from error
    return threads


def _at(client: Client) -> str:
    return str(client.scheduler.address) if client.scheduler else "ADDRESS"


def _lost(error: BaseException) -> LeptonError:
    return LeptonError(f"the cluster is lost ({_line(error)})", f"start it again; {RESUME}")


def _deadly(others: int) -> LeptonError:
    """Perhaps the row's fault, perhaps the machines'."""
    company = f"this row and {others} others" if others else "this row"
    cure = "did their memory suffice? `dask worker --memory-limit 0`; then --retry-errors"
    return LeptonError(f"workers died again and again while they answered {company}", cure)


def _line(error: object) -> str:
    return " ".join((type(error).__name__, *str(error).split()))[:200]


def _places(reports: Mapping[str, Report], kind: str) -> str:
    return ", ".join(place for place, report in reports.items() if report.arithmetic == kind)
