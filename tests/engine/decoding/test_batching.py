"""Many answers at once say what each says alone: in any company, order, chunk and memory."""

import threading
from collections.abc import Iterator

import numpy as np
import pytest
from make_gguf import write_model

from lepton_cli.engine.decoding.generation import Generation
from lepton_cli.engine.decoding.scheduler import Batch, Outcome, Request
from lepton_cli.engine.events import Done
from lepton_cli.engine.loading.plan import LoadOptions
from lepton_cli.engine.model import Model, open_model
from lepton_cli.engine.sampling.sampler import Sampling
from quant.errors import ContextOverflowError, ModelFileError, UsageError

CONTEXT = 600


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    folder = tmp_path_factory.mktemp("m")
    return write_model(folder / "tiny.gguf", metadata={"llama.context_length": CONTEXT})


def opened(path, ubatch: int = 64, threads: int = 2) -> Model:
    return open_model(path, LoadOptions("cpu", threads, ubatch=ubatch))


def words(seed: int, count: int) -> tuple[int, ...]:
    return tuple(np.random.default_rng(seed).integers(3, 250, count).tolist())


def wanted(key: int, ids: tuple[int, ...], count: int | None = 12, **options) -> Request:
    generation = Generation(Sampling(seed=key), count, ignore_eos=True, **options)
    return Request(key, ids, generation)


def alone(model: Model, requests: list[Request]) -> dict[int, tuple[int, ...]]:
    found = {}
    for request in requests:
        *_, done = model.stream(request.ids, request.generation)
        assert isinstance(done, Done)
        found[request.key] = done.token_ids
    return found


def ids_of(outcomes: list[Outcome]) -> dict[int, tuple[int, ...]]:
    assert all(outcome.done for outcome in outcomes), [outcome.error for outcome in outcomes]
    return {outcome.key: outcome.done.token_ids for outcome in outcomes if outcome.done}


LENGTHS = (1, 300, 17, 64, 65, 130, 5, 5, 90, 2)
MIXED = [wanted(key, words(key, count), 3 + 7 * key) for key, count in enumerate(LENGTHS)]


@pytest.fixture(scope="module")
def expected(path):
    with opened(path) as model:
        return alone(model, MIXED)


@pytest.mark.parametrize(
    ("jobs", "ubatch", "threads"), [(1, 64, 2), (3, 256, 1), (16, 7, 3), (None, 64, 2), (16, 32, 4)]
)
def test_answers_together_say_what_they_say_alone(path, expected, jobs, ubatch, threads):
    with opened(path, ubatch, threads) as model:
        outcomes = list(model.batch(MIXED, jobs))
        assert model._passes.pool.used == 0
    assert ids_of(outcomes) == expected


def test_a_common_beginning_is_read_once(path):
    system = words(99, 300)
    requests = [wanted(key, (*system, *words(key, 9))) for key in range(8)]
    with opened(path) as model:
        expected = alone(model, requests)
        outcomes = list(model.batch(requests, 4))
    assert ids_of(outcomes) == expected
    cached = [outcome.done.stats.cached_tokens for outcome in outcomes if outcome.done]
    assert sorted(cached) == [0] + [300] * 7


def test_two_prompts_that_begin_alike_in_turn_share_through_the_one_that_ended(path):
    system = words(99, 300)
    requests = [wanted(key, (*system, key + 5)) for key in range(2)]
    with opened(path) as model:
        outcomes = list(model.batch(requests, 1))
    assert [outcome.done and outcome.done.stats.cached_tokens for outcome in outcomes] == [0, 300]


class Watched:
    """A model's passes; `tokens` counts what entered, `most` is the most blocks in use."""

    def __init__(self, model: Model) -> None:
        self._passes = model._passes
        self.chunk, self.outputs, self.pool = 64, 32, model._passes.pool
        self.prompts = model._passes.prompts
        self.scales, self.check_scales = model._passes.scales, model._passes.check_scales
        self.tokens = self.most = 0

    def run(self, step, caches, interrupt=None):
        self.tokens += len(step.tokens)
        self.most = max(self.most, self.pool.used)
        return self._passes.run(step, caches, interrupt)


@pytest.mark.parametrize("blocks", [3, 4, 5])
def test_answers_give_way_when_memory_is_short_and_are_read_again(path, blocks):
    requests = [wanted(key, words(key, 200), 150) for key in range(5)]  # two blocks each in the end
    with opened(path) as model:
        expected = alone(model, requests)
        model.window.clear()
        watched = Watched(model)
        batch = Batch(watched, CONTEXT, blocks * watched.pool.layout.block_bytes, model._begin)
        outcomes = list(batch.outcomes(requests, 8))
    assert ids_of(outcomes) == expected
    assert watched.most <= blocks
    assert watched.tokens > 5 * 349, "some entered twice"


def test_what_the_window_holds_does_not_count(path):
    with opened(path) as model:
        request = wanted(1, words(1, 300), 250)
        expected = alone(model, [request])
        assert model._passes.pool.used == 3
        limit = 3 * model._passes.pool.layout.block_bytes
        batch = Batch(model._passes, CONTEXT, limit, model._begin)
        assert ids_of(list(batch.outcomes([request], 1))) == expected


def test_what_is_wrong_with_a_request_is_its_own_error(path):
    bad = [wanted(0, ()), wanted(1, words(1, CONTEXT)), wanted(2, (9999,)), wanted(4, (5,), 0)]
    with opened(path) as model:
        found = {outcome.key: outcome for outcome in model.batch([*bad, wanted(3, (5, 6))], 2)}
    kinds = [UsageError, ContextOverflowError, UsageError]
    assert [type(found[key].error) for key in range(3)] == kinds
    assert found[3].done and len(found[3].done.token_ids) == 12
    assert found[4].done and found[4].done.reason == "length" and not found[4].done.token_ids


def test_logits_of_no_use_are_the_error_of_that_answer(path, monkeypatch):
    requests = [wanted(key, (5 + key,)) for key in range(3)]
    with opened(path) as model:
        expected = alone(model, requests)
        run = model._passes._runner.run

        def spoiled(step, *others):
            logits = run(step, *others)
            logits[step.tokens[step.outputs] == 6] = np.nan
            return logits

        monkeypatch.setattr(model._passes._runner, "run", spoiled)
        found = {outcome.key: outcome for outcome in model.batch(requests, 3)}
    assert isinstance(found.pop(1).error, ModelFileError)
    assert ids_of(list(found.values())) == {key: expected[key] for key in (0, 2)}


def test_a_full_window_ends_or_shifts(path):
    kinds = ("error", "shift", "error")
    requests = [wanted(key, words(key, 500), 300, overflow=kind) for key, kind in enumerate(kinds)]
    with opened(path) as model:
        expected = alone(model, requests)
        outcomes = list(model.batch(requests, 3))
    assert ids_of(outcomes) == expected
    reasons = {outcome.key: outcome.done and outcome.done.reason for outcome in outcomes}
    assert reasons == {0: "context", 1: "length", 2: "context"}


def test_requests_are_taken_as_there_is_room(path):
    taken = []

    def requests() -> Iterator[Request]:
        for key in range(9):
            taken.append(key)
            yield wanted(key, (5, key), 4)

    with opened(path) as model:
        batch = model.batch(requests(), 3)
        assert not taken
        next(batch)
        assert len(taken) == 3
        assert len(list(batch)) == 8


def test_an_interrupt_ends_all_and_takes_no_more(path):
    flag, taken = threading.Event(), []

    def requests() -> Iterator[Request]:
        for key in range(9):
            taken.append(key)
            if len(taken) == 3:
                threading.Timer(0.2, flag.set).start()
            yield wanted(key, (5, key), None, overflow="shift")  # it never ends

    with opened(path) as model:
        outcomes = list(model.batch(requests(), 3, flag))
        assert model._passes.pool.used == 0
    assert [outcome.done and outcome.done.reason for outcome in outcomes] == ["interrupted"] * 3
    assert taken == [0, 1, 2]


# --- recurrent layers


@pytest.fixture(scope="module")
def hybrid(tmp_path_factory):
    folder = tmp_path_factory.mktemp("h")
    return write_model(folder / "tiny.gguf", "qwen35", dimensions={"T": CONTEXT})


def test_recurrent_layers_answer_as_they_do_alone(hybrid):
    with opened(hybrid) as model:
        expected = alone(model, MIXED)
        assert ids_of(list(model.batch(MIXED, 4))) == expected


@pytest.mark.parametrize("jobs", [1, 4])
def test_recurrent_layers_share_what_prompts_have_in_common(hybrid, jobs):
    shared = words(7, 150)
    requests = [wanted(key, (*shared, *words(20 + key, 30)), 6) for key in range(5)]
    with opened(hybrid) as model:
        expected = alone(model, requests)
        outcomes = list(model.batch(requests, jobs))
    assert ids_of(outcomes) == expected
    cached = sorted(outcome.done.stats.cached_tokens for outcome in outcomes if outcome.done)
    read_alone = 1 if jobs > 1 else 2  # the second finds out what it has in common with the first
    assert cached == [0] * read_alone + [150] * (5 - read_alone)


def test_states_of_recurrent_layers_give_way_when_memory_is_short(hybrid):
    requests = [wanted(key, words(key, 100), 20) for key in range(4)]
    with opened(hybrid) as model:
        expected = alone(model, requests)
        model.window.clear()
        pool = model._passes.pool
        limit = 2 * (pool.layout.block_bytes + pool.layout.slot_bytes)
        batch = Batch(model._passes, CONTEXT, limit, model._begin)
        for outcome in batch.outcomes(requests, 4):
            assert outcome.done and outcome.done.token_ids == expected[outcome.key]
            assert pool.bytes <= limit
        assert pool.bytes == 0
