"""What runs on a cluster's worker: rows of several tasks on one model, and tasks that are dropped.

The worker is this process, and Dask is told of nothing.
"""

import importlib.util
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import pytest
from fake_batch import FakeBatchModel

from lepton_cli.engine.decoding.generation import Generation
from lepton_cli.engine.decoding.scheduler import Request
from lepton_cli.engine.loading.plan import LoadOptions

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("distributed") is None, reason="needs Dask's distributed"
)
WAIT = 30.0  # seconds, on a machine that does much else
DASK_WORKER = SimpleNamespace(state=SimpleNamespace(nthreads=1))


class HeldModel(FakeBatchModel):
    """Answers no row before `go` is set, or the batch is interrupted."""

    def __init__(self) -> None:
        super().__init__()
        self.started, self.go = threading.Semaphore(0), threading.Event()

    def batch(self, requests, jobs=None, interrupt=None):
        def hold(count: int) -> None:
            self.started.release()
            while not (self.go.wait(0.001) or interrupt.is_set()):
                pass

        def uninterrupted():
            waiting = iter(requests)
            while not interrupt.is_set() and (request := next(waiting, None)) is not None:
                yield request

        self.on_outcome = hold
        yield from super().batch(uninterrupted(), jobs, interrupt)


@pytest.fixture
def model(monkeypatch) -> HeldModel:
    held = HeldModel()
    serving = "lepton_cli.engine.jobs.serving"
    monkeypatch.setattr(f"{serving}.open_model", lambda path, load: held)
    monkeypatch.setattr(f"{serving}._check", lambda spec: None)
    return held


def rows(*texts: str) -> tuple[Request, ...]:
    return tuple(Request(i, tuple(text.encode()), Generation()) for i, text in enumerate(texts))


@pytest.fixture
def models(model):
    from lepton_cli.engine.jobs.serving import WorkerModels

    models = WorkerModels(DASK_WORKER)
    yield models
    models.teardown(DASK_WORKER)


@pytest.fixture
def spec():
    from lepton_cli.engine.jobs.serving import ModelSpec

    return ModelSpec("builtin", "", "", LoadOptions("cpu"), jobs=1)


def test_a_task_that_dask_releases_stops_and_the_others_are_answered(models, model, spec):
    with ThreadPoolExecutor() as threads:
        dropped = threads.submit(models.answer, spec, "a", rows("a1", "a2"))
        assert model.started.acquire(timeout=WAIT)  # a1 is being answered
        queued = threads.submit(models.answer, spec, "b", rows("b1", "b2"))
        models.transition("another", "long-running", "released")
        models.transition("a", "executing", "long-running")
        assert not dropped.done()
        models.transition("a", "long-running", "released")
        dropped.result(WAIT)
        model.go.set()
        assert [outcome.key for outcome in queued.result(WAIT)] == [0, 1]
    assert model.answered == ["b1", "b2"]


def test_rows_interrupted_for_another_task_begin_again(models, model, spec):
    with ThreadPoolExecutor() as threads:
        interrupted = threads.submit(models.answer, spec, "b", rows("b1"))
        assert model.started.acquire(timeout=WAIT)
        dropped = threads.submit(models.answer, spec, "a", rows("a1"))
        end = time.monotonic() + WAIT
        while "a" not in models._chunks:
            assert time.monotonic() < end
        models.transition("a", "long-running", "released")
        dropped.result(WAIT)
        model.go.set()
        (outcome,) = interrupted.result(WAIT)
    assert outcome.done.reason == "stop"
    assert model.answered == ["b1"]
