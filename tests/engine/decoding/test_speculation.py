"""Guessing ahead: the answers stay the same to the token, and passes are saved."""

import numpy as np
import pytest
from make_gguf import write_model

from lepton_cli.engine.decoding.generation import Generation
from lepton_cli.engine.decoding.speculation import (
    FIRST_MEASURED,
    NGRAM,
    RETRIED_TRIALS,
    TRIAL_PASSES,
    DoublingPace,
    MeasuredPace,
    PromptLookup,
    Source,
    Speculation,
)
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
    first_trial = FIRST_MEASURED * TRIAL_PASSES  # how many are guessed later depends on the clock
    assert done.stats.accepted_tokens == done.stats.guessed_tokens >= first_trial
    assert passes == 65 - done.stats.accepted_tokens


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
    speculation = Speculation([Source(Always(), DoublingPace(8))])
    sizes = []
    for _ in range(4):
        sizes.append(len(speculation.guess([], 100)))
        speculation.update(sizes[-1], sizes[-1], 1)
    assert sizes == [2, 4, 8, 8]
    assert len(speculation.guess([], 3)) == 3
    sizes = []
    for _ in range(60):
        sizes.append(len(speculation.guess([], 100)))
        speculation.update(sizes[-1], 0, 1)
    assert sizes[:3] == [8, 1, 0]
    assert sum(size > 0 for size in sizes) < 8


class Never:
    def guess(self, ids, most):
        return []


def test_the_next_source_is_asked_where_the_first_has_no_guesses():
    speculation = Speculation([Source(Never(), DoublingPace(8)), Source(Always(), DoublingPace(4))])
    assert len(speculation.guess([], 100)) == 1
    speculation.update(1, 1, 1)
    assert len(speculation.guess([], 100)) == 2
    assert (speculation.guessed, speculation.accepted) == (1, 1)


def lengths(pace: MeasuredPace, accepted, seconds, trials: int) -> list[int]:
    """How many tokens were guessed in each trial; a pass's results depend on their number."""
    seen = []
    for _ in range(trials):
        seen.append(pace.length)
        for _ in range(TRIAL_PASSES):
            pace.update(pace.length, accepted(pace.length), seconds(pace.length))
    return seen


def test_costly_guesses_settle_at_the_number_that_pays_most():
    """Three right guesses a pass at most; each costs a fifth of a pass."""
    seen = lengths(MeasuredPace(), lambda n: min(n, 3), lambda n: 1 + n / 5, 40)
    assert seen[:2] == [FIRST_MEASURED, 0]
    assert seen[5:RETRIED_TRIALS] == [3] * (RETRIED_TRIALS - 5)
    assert seen.count(3) > 30
    assert max(seen) == 4


def test_guesses_of_which_none_is_right_do_not_depend_on_the_clock():
    seen = lengths(MeasuredPace(), lambda n: 0, lambda n: 1 - n / 100, RETRIED_TRIALS)
    assert seen == [FIRST_MEASURED, 0, 1, *[0] * (RETRIED_TRIALS - 3)]


def test_guesses_that_do_not_pay_end_and_are_tried_again_now_and_then():
    seen = lengths(MeasuredPace(), lambda n: 0, lambda n: 1 + n / 5, 4 * RETRIED_TRIALS)
    assert seen.count(0) > 55
    assert seen[RETRIED_TRIALS : 2 * RETRIED_TRIALS].count(1) == 1


def test_a_number_that_comes_to_pay_is_found():
    pace = MeasuredPace()
    lengths(pace, lambda n: 0, lambda n: 1 + n / 5, 20)
    assert lengths(pace, lambda n: n, lambda n: 1 + n / 5, 12 * RETRIED_TRIALS)[-1] > 3


def test_no_more_tokens_are_guessed_than_the_user_allows():
    pace = MeasuredPace()
    pace.most = 1
    assert max(lengths(pace, lambda n: n, lambda n: 1, 40)) == 1
