"""What runs on a worker of a cluster: one model, for the chunks of rows of all tasks there.

A chunk is a task of Dask's. It gives its place in the worker's pool of threads back and waits for
its rows' outcomes, so that rows of several chunks are answered at once, by one `Model.batch`.
"""

import threading
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from itertools import count

from distributed import Worker, WorkerPlugin, get_worker, secede

from lepton_cli.engine.decoding.scheduler import Outcome, Request
from lepton_cli.engine.library.catalogue import resolve
from lepton_cli.engine.library.identity import model_identity
from lepton_cli.engine.loading.plan import LoadOptions
from lepton_cli.engine.loading.prepare import prepare
from lepton_cli.engine.model import Model, kernel_folder, open_model
from lepton_cli.version import __version__
from ops.backend import Resources
from ops.machine import default_threads
from quant.errors import LeptonError, UsageError
from quant.gguf import GGUF

NAME = "lepton"  # of our plugin on a worker
AMISS = "an answer failed for a reason that Lepton does not know; the worker's log may tell it"


@dataclass(frozen=True, slots=True)
class ModelSpec:
    """Which model answers, and how it is run; `jobs` rows at once. Workers must agree in it."""

    name: str  # a path, or what the catalogue of each worker knows
    identity: str
    arithmetic: str
    load: LoadOptions
    jobs: int | None = None
    run: str = ""  # whose rows they are, for a stop
    version: str = __version__


@dataclass(frozen=True, slots=True)
class Report:
    """What a worker can do with a model."""

    arithmetic: str
    context: int


def lepton_version() -> str:
    return __version__


def probe(name: str, identity: str, load: LoadOptions) -> Report:
    """Loads nothing. Raises LeptonError where this worker cannot run the model."""
    file = GGUF.open(resolve(name))
    if model_identity(file) != identity:
        message = f"{file.path} is another model than the one of that name where the batch is run"
        raise UsageError(message, "put the same file there")
    prepared = prepare(file, load, Resources(1, kernel_folder(), lambda compiling: None), None)
    [backend] = prepared.backends(load.kv)
    return Report(backend.arithmetic, prepared.plan.context)


def answer(spec: ModelSpec, requests: tuple[Request, ...]) -> tuple[Outcome, ...]:
    """The task: a chunk of rows. Raises LeptonError, which names the worker."""
    worker = get_worker()
    secede()
    models = worker.plugins.setdefault(NAME, WorkerModels(worker))
    assert isinstance(models, WorkerModels), "the name is ours"
    chunk = Chunk(spec.run, len(requests))
    try:
        models.take(spec, chunk, requests)
        return chunk.whole.result()
    except LeptonError as error:
        raise type(error)(f"{worker.address}: {error.message}", error.hint) from error


def stop(run: str, dask_worker: Worker) -> None:
    """Ends the answers to a run's rows soon; nobody waits for them any more."""
    models = dask_worker.plugins.get(NAME)
    if isinstance(models, WorkerModels):
        models.stop(run)


@dataclass(slots=True, eq=False)
class Chunk:
    """A task's rows under way; `whole` comes when `size` of them have their outcome."""

    run: str
    size: int
    outcomes: list[Outcome] = field(default_factory=list)
    whole: Future[tuple[Outcome, ...]] = field(default_factory=Future)

    def take(self, outcome: Outcome) -> None:
        self.outcomes.append(outcome)
        if len(self.outcomes) == self.size:
            self.end()

    def end(self, error: LeptonError | None = None) -> None:
        """With what there is."""
        if self.whole.done():
            return
        if error is None:
            self.whole.set_result(tuple(self.outcomes))
        else:
            self.whole.set_exception(error)


class ModelWorker:
    """A loaded model, and a thread that answers the rows that wait for it."""

    def __init__(self, model: Model, jobs: int | None) -> None:
        self._model, self._jobs = model, jobs
        self._rows: deque[tuple[Chunk, Request]] = deque()
        self._active: dict[int, tuple[Chunk, Request]] = {}
        self._keys, self._interrupt = count(), threading.Event()
        self._stopped: set[str] = set()
        self._thread = ThreadPoolExecutor(1, "lepton-rows")

    @property
    def idle(self) -> bool:
        return not self._rows and not self._active

    def take(self, chunk: Chunk, requests: tuple[Request, ...]) -> None:
        self._rows.extend((chunk, request) for request in requests)
        self._thread.submit(self._serve)

    def stop(self, run: str) -> None:
        self._stopped.add(run)
        self._interrupt.set()

    def close(self) -> None:
        self._interrupt.set()
        self._thread.shutdown(cancel_futures=True)
        self._model.close()

    def _serve(self) -> None:
        """All rows that wait, and those that come while there is work."""
        self._interrupt.clear()
        failure = LeptonError(AMISS)
        try:
            for outcome in self._model.batch(self._requests(), self._jobs, self._interrupt):
                self._end(outcome)
        except LeptonError as error:
            failure = error
        finally:
            for chunk, _ in self._active.values():
                chunk.end(failure)
            self._active.clear()

    def _requests(self) -> Iterator[Request]:
        while self._rows:
            chunk, request = self._rows.popleft()
            if chunk.run in self._stopped:
                chunk.end()
            if not chunk.whole.done():
                key = next(self._keys)  # two runs may have the same
                self._active[key] = chunk, request
                yield replace(request, key=key)

    def _end(self, outcome: Outcome) -> None:
        chunk, request = self._active.pop(outcome.key)
        broken = outcome.done is not None and outcome.done.reason == "interrupted"
        if broken and chunk.run not in self._stopped:  # by the stop of another run
            self._rows.append((chunk, request))
            self._thread.submit(self._serve)
        else:
            chunk.take(replace(outcome, key=request.key))


class WorkerModels(WorkerPlugin):
    """A worker's loaded models: each is loaded once, and one that is idle gives way to another."""

    def __init__(self, worker: Worker) -> None:
        self._threads = min(default_threads().count, worker.state.nthreads)
        self._models: dict[ModelSpec, ModelWorker] = {}
        self._lock = threading.Lock()

    def take(self, spec: ModelSpec, chunk: Chunk, requests: tuple[Request, ...]) -> None:
        """Raises LeptonError where this worker cannot do what is ordered."""
        key = replace(spec, run="")
        with self._lock:
            if key not in self._models:
                _check(spec)
                self._dismiss()
                load = replace(spec.load, threads=spec.load.threads or self._threads)
                self._models[key] = ModelWorker(open_model(resolve(spec.name), load), spec.jobs)
            self._models[key].take(chunk, requests)

    def stop(self, run: str) -> None:
        for model in list(self._models.values()):
            model.stop(run)

    def teardown(self, worker: Worker) -> None:
        with self._lock:
            for model in self._models.values():
                model.close()
            self._models.clear()

    def _dismiss(self) -> None:
        for key in [key for key, model in self._models.items() if model.idle]:
            self._models.pop(key).close()


def _check(spec: ModelSpec) -> None:
    """A worker may have joined since the others were asked."""
    if spec.version != __version__:
        message = f"it has Lepton {__version__}, the batch is run by {spec.version}"
        raise UsageError(message, f"pip install 'lepton-cli[cluster]=={spec.version}' there")
    report = probe(spec.name, spec.identity, spec.load)
    if report.arithmetic != spec.arithmetic:
        message = f"it computes with {report.arithmetic}, others with {spec.arithmetic}"
        raise UsageError(message, "start all workers with one LEPTON_CPU that each of them has")
