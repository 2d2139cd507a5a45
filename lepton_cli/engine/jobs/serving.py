"""The code that runs on the workers of a Dask cluster: one model for all tasks of a worker.

A task answers a chunk of rows. It leaves the worker's thread pool (`secede`) and waits for its
outcomes, so that the rows of several tasks are answered together, by one `Model.batch`.
"""

import threading
from collections import deque
from collections.abc import Hashable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from itertools import count

from distributed import Worker, WorkerPlugin, get_worker, secede

from lepton_cli.engine.decoding.scheduler import Outcome, Request
from lepton_cli.engine.library.catalogue import resolve
from lepton_cli.engine.library.identity import model_identity
from lepton_cli.engine.library.paths import kernel_folder
from lepton_cli.engine.loading.plan import LoadOptions
from lepton_cli.engine.loading.prepare import prepare
from lepton_cli.engine.model import Model, open_model
from lepton_cli.version import __version__
from ops.backend import Resources
from ops.machine import default_threads
from quant.errors import LeptonError, UsageError
from quant.gguf import GGUF

NAME = "lepton"  # of our plugin on a worker
UNKNOWN_FAILURE = "an answer failed for a reason unknown to Lepton; see the worker's log"


@dataclass(frozen=True, slots=True)
class ModelSpec:
    """The model and settings of a batch, equal on all workers; `jobs` rows at once."""

    name: str  # a path, or a name that each worker's catalogue resolves
    identity: str
    arithmetic: str
    load: LoadOptions
    jobs: int | None = None
    version: str = __version__


@dataclass(frozen=True, slots=True)
class WorkerReport:
    """A worker's arithmetic, and the context that it can offer."""

    arithmetic: str
    context: int


def lepton_version() -> str:
    return __version__


def probe(name: str, identity: str, load: LoadOptions) -> WorkerReport:
    """Checks this worker without loading the model. Raises LeptonError if it cannot run it."""
    file = GGUF.open(resolve(name))
    if model_identity(file) != identity:
        message = f"{file.path} is not the same model file as on the machine that runs the batch"
        raise UsageError(message, "put the same file there")
    prepared = prepare(file, load, Resources(1, kernel_folder(), lambda compiling: None), None)
    [backend] = prepared.backends(load.kv)
    return WorkerReport(backend.arithmetic, prepared.plan.context)


def answer(spec: ModelSpec, requests: tuple[Request, ...]) -> tuple[Outcome, ...]:
    """The task: answers a chunk of rows. Raises LeptonError, which names the worker."""
    worker = get_worker()
    task = worker.get_current_task()
    secede()
    models = worker.plugins.setdefault(NAME, WorkerModels(worker))
    assert isinstance(models, WorkerModels), "nobody else uses this name"
    try:
        return models.answer(spec, task, requests)
    except LeptonError as error:
        raise type(error)(f"{worker.address}: {error.message}", error.hint) from error


@dataclass(slots=True, eq=False)
class Chunk:
    """The rows of one task; the future `whole` is set when all `size` have an outcome.

    `dropped`: the outcomes are no longer needed. Only the model's thread ends a chunk.
    """

    size: int
    dropped: bool = False
    outcomes: list[Outcome] = field(default_factory=list)
    whole: Future[tuple[Outcome, ...]] = field(default_factory=Future)

    def take(self, outcome: Outcome) -> None:
        self.outcomes.append(outcome)
        if len(self.outcomes) == self.size:
            self.end()

    def end(self, error: LeptonError | None = None) -> None:
        """Ends the chunk with an error, or with the outcomes so far."""
        if self.whole.done():
            return
        if error is None:
            self.whole.set_result(tuple(self.outcomes))
        else:
            self.whole.set_exception(error)


class ModelWorker:
    """A loaded model, and a thread that answers the rows queued for it."""

    def __init__(self, model: Model, jobs: int | None) -> None:
        self._model, self._jobs = model, jobs
        self._rows: deque[tuple[Chunk, Request]] = deque()
        self._active: dict[int, tuple[Chunk, Request]] = {}
        self._keys, self._interrupt, self._closed = count(), threading.Event(), threading.Event()
        self._thread = ThreadPoolExecutor(1, "lepton-rows")

    @property
    def idle(self) -> bool:
        return not self._rows and not self._active

    def take(self, chunk: Chunk, requests: tuple[Request, ...]) -> None:
        self._rows.extend((chunk, request) for request in requests)
        self._thread.submit(self._serve)

    def stop_dropped(self) -> None:
        """Stops answering the rows of dropped chunks; other rows in progress start again."""
        self._interrupt.set()

    def close(self) -> None:
        self._closed.set()
        self._interrupt.set()
        self._thread.shutdown(cancel_futures=True)
        self._model.close()

    def _serve(self) -> None:
        """Answers all queued rows, including those queued meanwhile."""
        while self._rows:
            self._interrupt.clear()
            if self._closed.is_set():
                return
            self._serve_until_interrupted()

    def _serve_until_interrupted(self) -> None:
        failure = LeptonError(UNKNOWN_FAILURE)
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
            if chunk.dropped:
                chunk.end()
            if not chunk.whole.done():
                key = next(self._keys)  # request keys of several batches may be equal
                self._active[key] = chunk, request
                yield replace(request, key=key)

    def _end(self, outcome: Outcome) -> None:
        chunk, request = self._active.pop(outcome.key)
        interrupted = outcome.done is not None and outcome.done.reason == "interrupted"
        if interrupted and not chunk.dropped:
            self._rows.append((chunk, request))
        else:
            chunk.take(replace(outcome, key=request.key))


class WorkerModels(WorkerPlugin):
    """The models of a worker: each is loaded once; idle ones are closed to load another."""

    def __init__(self, worker: Worker) -> None:
        self._threads = min(default_threads().count, worker.state.nthreads)
        self._models: dict[ModelSpec, ModelWorker] = {}
        self._chunks: dict[Hashable, Chunk] = {}  # by the key of their task
        self._lock = threading.Lock()

    def answer(
        self, spec: ModelSpec, task: Hashable, requests: tuple[Request, ...]
    ) -> tuple[Outcome, ...]:
        """Answers a task's rows. Raises LeptonError if this worker cannot run the model."""
        chunk = self._chunks[task] = Chunk(len(requests))
        try:
            self._queue(spec, chunk, requests)
            return chunk.whole.result()
        finally:
            self._chunks.pop(task, None)

    def transition(self, key: Hashable, start: str, finish: str, **_: object) -> None:
        """Called by Dask at each change of a task's state.

        A running task is released when its result is no longer needed: the batch was stopped, its
        process has died, or the rows went to another worker.
        """
        chunk = self._chunks.get(key) if finish == "released" else None
        if chunk is not None:
            chunk.dropped = True
            for model in list(self._models.values()):
                model.stop_dropped()

    def teardown(self, worker: Worker) -> None:
        with self._lock:
            for model in self._models.values():
                model.close()
            self._models.clear()

    def _queue(self, spec: ModelSpec, chunk: Chunk, requests: tuple[Request, ...]) -> None:
        with self._lock:
            if spec not in self._models:
                _check(spec)
                self._close_idle()
                load = replace(spec.load, threads=spec.load.threads or self._threads)
                self._models[spec] = ModelWorker(open_model(resolve(spec.name), load), spec.jobs)
            self._models[spec].take(chunk, requests)

    def _close_idle(self) -> None:
        for key in [key for key, model in self._models.items() if model.idle]:
            self._models.pop(key).close()


def _check(spec: ModelSpec) -> None:
    """Checks this worker, which may have joined after `probe`. Raises LeptonError."""
    if spec.version != __version__:
        message = f"it has Lepton {__version__}, the batch runs {spec.version}"
        raise UsageError(message, f"pip install 'lepton-cli[cluster]=={spec.version}' there")
    report = probe(spec.name, spec.identity, spec.load)
    if report.arithmetic != spec.arithmetic:
        message = f"it computes with {report.arithmetic}, others with {spec.arithmetic}"
        raise UsageError(message, "start all workers with a LEPTON_CPU that each of them supports")
