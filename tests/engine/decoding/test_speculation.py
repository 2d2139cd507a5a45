"""Guessing ahead: the answers stay the same to the token, and passes are saved."""

import numpy as np
import pytest
from make_gguf import write_model

from lepton_cli.engine.decoding.generation import Generation
from lepton_cli.engine.decoding.speculation import NGRAM, PromptLookup, Speculation
from lepton_cli.engine.events import Done
from lepton_cli.engine.loading.plan import LoadOptions
from lepton_cli.engine.model import Model, open_model
from lepton_cli.engine.sampling.sampler import Sampling
from quant.errors import UsageError

CONTEXT = 300


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    folder = tmp_path_factory.mktemp("m")
    return write_model(folder / "tiny.gguf", metadata={"llama.context_length": CONTEXT})


@pytest.fixture
def model(path):
    with open_model(path, LoadOptions("cpu", 2)) as model:
        yield model


def answered(model: Model, ids: list[int], **options) -> tuple[Done, int]:
    """How an answer ended, and how many passes it took."""
    passes, run = [], model._passes.run

    def counted(*arguments):
        passes.append(1)
        return run(*arguments)

    model._passes.run = counted  # type: ignore[method-assign]
    try:
        *_, done = model.stream(ids, Generation(ignore_eos=True, **options))
    finally:
        model._passes.run = run  # type: ignore[method-assign]
    assert isinstance(done, Done)
    return done, len(passes)


PROMPT = [1, *np.random.default_rng(3).integers(3, 250, 30).tolist()] * 2
# what has been said is likelier to come again, so that some guesses are right
REPEATING = {"presence_penalty": -6.0, "repeat_last_n": -1}


@pytest.mark.parametrize("temperature", [0, 0.7, 1.5])
@pytest.mark.parametrize(("count", "overflow"), [(120, "error"), (None, "error"), (400, "shift")])
def test_lookup_changes_nothing_but_the_passes(model, temperature, count, overflow):
    sampling = Sampling(temperature=temperature, seed=5, **REPEATING)
    options = {"sampling": sampling, "max_tokens": count, "overflow": overflow}
    without, many = answered(model, PROMPT, draft_max=0, **options)
    used = without.stats.context_used
    model.window.reuse([0])
    done, passes = answered(model, PROMPT, **options)
    assert done.token_ids == without.token_ids and done.reason == without.reason
    assert done.stats.context_used == used
    assert 0 < done.stats.accepted_tokens <= done.stats.guessed_tokens
    assert passes == many - done.stats.accepted_tokens


def test_the_window_holds_what_was_said_and_nothing_guessed(model):
    sampling = Sampling(temperature=0.7, seed=5, **REPEATING)
    done, _ = answered(model, PROMPT, sampling=sampling, max_tokens=60)
    assert done.stats.guessed_tokens > done.stats.accepted_tokens
    assert model.window.ids == [*PROMPT, *done.token_ids[:-1]]


def test_an_equal_draft_model_guesses_all(path, model):
    greedy = {"sampling": Sampling(temperature=0), "max_tokens": 65}
    without, _ = answered(model, PROMPT, draft_max=0, **greedy)
    model.guess_with(open_model(path, LoadOptions("cpu", 1)))
    done, passes = answered(model, PROMPT, draft_max=8, draft_p_min=0.0, **greedy)
    assert done.token_ids == without.token_ids
    assert done.stats.accepted_tokens == done.stats.guessed_tokens > 50
    assert passes < 15


def test_a_foreign_draft_model_does_no_harm(path, model, tmp_path):
    other = write_model(tmp_path / "b.gguf", seed=9, metadata={"llama.context_length": CONTEXT})
    options = {"sampling": Sampling(seed=1), "max_tokens": 100}
    without, _ = answered(model, PROMPT, draft_max=0, **options)
    model.guess_with(open_model(other, LoadOptions("cpu", 1)))
    done, _ = answered(model, PROMPT, draft_p_min=0.0, **options)
    assert done.token_ids == without.token_ids
    assert done.stats.guessed_tokens < 60, "it gives up guessing"


def test_a_draft_model_of_another_vocabulary_is_refused(path, tmp_path):
    other = write_model(tmp_path / "b.gguf", "gpt2")
    with (
        open_model(path, LoadOptions("cpu", 1)) as model,
        open_model(other, LoadOptions("cpu", 1)) as draft,
        pytest.raises(UsageError, match="has a different vocabulary"),
    ):
        model.guess_with(draft)


def test_lookup_finds_the_latest_place():
    lookup = PromptLookup()
    assert lookup.guess([1, 2, 3, 7, 1, 2, 3], 5) == [7, 1, 2, 3]
    assert lookup.guess([1, 2, 3, 7, 1, 2, 3, 8, 1, 2, 3], 2) == [8, 1]
    assert lookup.guess([1, 2, 3, 7, 1, 2, 3, 8, 1, 2, 3, 9], 2) == []
    assert lookup.guess([4, 5, 6, 4, 5, 6], 9) == [4, 5, 6], "after a shift"
    assert PromptLookup().guess([1] * NGRAM, 4) == []


class Always:
    def guess(self, ids, most):
        return [0] * most


def test_guesses_grow_when_right_and_pause_when_wrong():
    speculation = Speculation(Always(), 8)
    sizes = []
    for _ in range(4):
        sizes.append(len(speculation.guess([], 100)))
        speculation.update(sizes[-1], sizes[-1])
    assert sizes == [2, 4, 8, 8]
    assert len(speculation.guess([], 3)) == 3
    sizes = []
    for _ in range(60):
        sizes.append(len(speculation.guess([], 100)))
        speculation.update(sizes[-1], 0)
    assert sizes[:3] == [8, 1, 0]
    assert sum(size > 0 for size in sizes) < 8
