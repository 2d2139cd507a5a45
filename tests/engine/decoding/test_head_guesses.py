"""Speculative decoding by the model's own next-token head: what it guesses, and the same bytes."""

import numpy as np
import pytest
from head_model import with_head

from lepton_cli.engine.decoding.generation import Generation
from lepton_cli.engine.decoding.next_token import NextTokens
from lepton_cli.engine.decoding.speculation import FIRST_MEASURED, TRIAL_PASSES
from lepton_cli.engine.loading import prepare
from lepton_cli.engine.loading.parts import Parts
from lepton_cli.engine.loading.plan import LoadOptions
from lepton_cli.engine.model import Model, open_model
from lepton_cli.engine.sampling.sampler import Sampling
from ops.interface import Step
from ops.state.sequence import SequenceState
from quant.errors import OutOfMemoryError, UsageError

CHUNK = 16
PROMPT = np.random.default_rng(3).integers(3, 250, 70).tolist()
HEAD = ("draft-mtp",)


def opened(path, spec_types=HEAD, backend="cpu", **options) -> Model:
    return open_model(path, LoadOptions(backend, 2, spec_types=spec_types, ubatch=CHUNK, **options))


def generation(temperature: float = 0, count: int = 50, **options) -> Generation:
    sampling = Sampling(temperature=temperature, seed=5)
    return Generation(sampling, count, ignore_eos=True, draft_p_min=0.0, **options)


def answer(model: Model, ids=PROMPT, **options):
    *_, done = model.stream(ids, generation(**options))
    return done


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    return with_head(tmp_path_factory.mktemp("m") / "m.gguf")


@pytest.fixture(scope="module")
def right(tmp_path_factory):
    return with_head(tmp_path_factory.mktemp("m") / "right.gguf", right=True)


@pytest.mark.parametrize("backend", ["cpu", "reference"])
@pytest.mark.parametrize("temperature", [0, 0.8])
@pytest.mark.parametrize("own", [False, True])
def test_guesses_change_nothing(tmp_path, own, temperature, backend):
    path = with_head(tmp_path / "m.gguf", own=own)
    with opened(path, (), backend) as without, opened(path, HEAD, backend) as model:
        plain, guessed = (answer(each, temperature=temperature) for each in (without, model))
        assert guessed.token_ids == plain.token_ids
        assert guessed.stats.guessed_tokens >= FIRST_MEASURED * TRIAL_PASSES
        assert model.fingerprint == without.fingerprint, "their answers are interchangeable"


def test_right_guesses_are_accepted_and_save_passes(right):
    with opened(right, ()) as without, opened(right) as model:
        plain, guessed = answer(without), answer(model)
        assert guessed.token_ids == plain.token_ids
        stats = guessed.stats
        assert stats.accepted_tokens == stats.guessed_tokens >= FIRST_MEASURED * TRIAL_PASSES


def expected(model: Model, ids: list[int], most: int) -> list[int]:
    """The guesses of the head after it has run the whole text at once."""
    head = NextTokens(model.guessers.head._head, CHUNK)
    numbers = np.arange(len(ids) - 1, dtype=np.int32)
    rows = []
    state = SequenceState(model._passes.pool)
    for start in range(0, len(ids) - 1, CHUNK):
        part = numbers[start : start + CHUNK]
        step = Step(np.array(ids, np.int32)[part], part, np.arange(len(part), dtype=np.int32))
        rows.append(np.array(model._passes.run_with_rows(step, [], [state])[1]))
    head.follow(0, ids[:-1], np.concatenate(rows))
    return head.guess(ids, most, 0.0)


@pytest.fixture
def asked(monkeypatch) -> list[tuple[list[int], int, list[int]]]:
    """Texts, numbers of guesses, and what the head guessed."""
    calls, guess = [], NextTokens.guess

    def noted(self, ids, most, least):
        calls.append((list(ids), most, guess(self, ids, most, least)))
        return calls[-1][2]

    monkeypatch.setattr(NextTokens, "guess", noted)
    return calls


@pytest.mark.parametrize("temperature", [0, 0.8])
def test_the_head_has_read_the_text_with_the_models_own_rows(path, asked, temperature):
    """Whatever was accepted and dropped before, guesses are those for the text alone."""
    with opened(path) as model, opened(path) as other:
        done = answer(model, temperature=temperature)
        longer = [*PROMPT, *done.token_ids, *PROMPT[:20]]
        answer(model, longer, temperature=temperature)
        calls = asked[:]
        assert len(calls) > TRIAL_PASSES
        for ids, most, guesses in calls[:20] + calls[-3:]:
            assert guesses == expected(other, ids, most)


def test_all_guesses_of_a_right_head_stay_right(right, asked):
    """After accepted guesses too the head goes on from the model's rows, not from its own."""
    with opened(right) as model, opened(right) as other:
        answer(model)
        for ids, most, guesses in asked[:8]:
            assert guesses == expected(other, ids, most)


def test_what_stops_after_a_guess_goes_on_from_the_models_logits(path, monkeypatch):
    """The guesses' logits are computed by the same matrix, into the same memory."""
    guess = NextTokens.guess

    def stopped(self, *arguments):
        guess(self, *arguments)
        raise KeyboardInterrupt

    with opened(path, ()) as without, opened(path) as model:
        monkeypatch.setattr(NextTokens, "guess", stopped)
        with pytest.raises(KeyboardInterrupt):
            answer(model)
        monkeypatch.undo()
        done = answer(model)
        assert done.stats.cached_tokens == len(PROMPT), "the last token is not run again"
        assert done.token_ids == answer(without).token_ids


def test_a_guess_may_be_asked_for_again(path):
    with opened(path) as model:
        answer(model)
        head, ids = model.guessers.head, [*model.window.ids, 7]
        assert len(head.guess(ids, 3, 0.0)) == len(head.guess(ids, 3, 0.0)) == 3


@pytest.mark.parametrize(
    "second",
    [PROMPT[:40], PROMPT[:1], [*PROMPT[:33], 7, 8, 9], PROMPT[:69], [5, *PROMPT]],
    ids=["shorter", "one token", "another end", "one less", "another text"],
)
def test_another_prompt_after_an_answer(path, second):
    with opened(path, ()) as without, opened(path) as model:
        for ids in (PROMPT, second, PROMPT):
            assert answer(model, ids).token_ids == answer(without, ids).token_ids


def test_a_prompt_from_before_where_the_head_began(path):
    with opened(path) as model:
        answer(model, draft_max=0)
        answer(model, [*PROMPT, 9], count=4)  # the head sees the last tokens only
        assert model.guessers.head._begin > CHUNK
        answer(model, [5, *PROMPT], count=4)
        head, ids = model.guessers.head, [*model.window.ids, 7]
        assert head.guess(ids, 3, 0.0) == expected(model, ids, 3)


def test_a_shifted_window(path):
    options = {"count": 120, "overflow": "shift"}
    with opened(path, (), ctx=100) as without, opened(path, ctx=100) as model:
        done = answer(model, **options)
        assert done.token_ids == answer(without, **options).token_ids
        assert done.stats.guessed_tokens


def test_a_window_that_was_filled_from_elsewhere(path, tmp_path, monkeypatch):
    monkeypatch.setattr("lepton_cli.engine.model.prefix_folder", lambda: tmp_path / "prefixes")
    with opened(path, (), prefixes=10**9) as first:
        plain = answer(first)
        first.remember()
    with opened(path, prefixes=10**9) as model:
        done = answer(model)
        assert done.stats.cached_tokens > CHUNK
        assert done.token_ids == plain.token_ids
        assert done.stats.guessed_tokens


def test_the_head_is_used_by_default_only_where_it_is_found(path, tmp_path):
    headless = with_head(tmp_path / "m.gguf", eh_proj=None)
    with opened(path, "auto") as model, opened(headless, "auto") as other:
        assert model.guessers.head is not None
        assert other.guessers.head is None and not other.notes


def test_a_head_that_is_asked_for_and_missing_is_an_error(tmp_path):
    with pytest.raises(UsageError, match="no next-token head"):
        opened(with_head(tmp_path / "m.gguf", eh_proj=None))


def test_a_broken_head_does_not_keep_the_model_from_running(tmp_path):
    path = with_head(tmp_path / "m.gguf", enorm=None)
    with opened(path, "auto") as model:
        assert any("blk.2.nextn.enorm" in note for note in model.notes)
        assert answer(model, count=2).token_ids


def test_a_head_that_does_not_fit_into_memory_is_left_out(path, monkeypatch):
    real = prepare.plan_rest

    def tight(*arguments):
        if isinstance(arguments[-1], Parts):
            raise OutOfMemoryError("too much", "less")
        return real(*arguments)

    monkeypatch.setattr(prepare, "plan_rest", tight)
    with opened(path, "auto") as model:
        assert model.guessers.head is None
        assert "its next-token head does not fit into memory" in model.notes
    with pytest.raises(OutOfMemoryError):
        opened(path)


def test_the_plan_counts_the_head(path):
    with opened(path, ()) as without, opened(path) as model:
        assert model.plan.weights > without.plan.weights
        assert model.plan.cache > without.plan.cache
