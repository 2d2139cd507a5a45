"""The figures of drafts: from a clock that is made, and of a model that is its own draft."""

import threading

import pytest
from make_gguf import write_model

from lepton_cli.engine.decoding.generation import Generation
from lepton_cli.engine.drafting.candidates import Candidate, use
from lepton_cli.engine.drafting.measuring import Trial, answers_of, measure
from lepton_cli.engine.events import Done, Stats
from lepton_cli.engine.loading.plan import LoadOptions
from lepton_cli.engine.model import open_model
from lepton_cli.engine.sampling.sampler import Sampling
from quant.errors import LeptonError, UsageError

GREEDY = Generation(Sampling(temperature=0), 32, ignore_eos=True)
IDS = tuple(range(5, 15))


def done(seconds: float, ids=IDS, reason="length", drafted=0, accepted=0, checks=0) -> Done:
    stats = Stats(
        prompt_tokens=4,
        cached_tokens=0,
        dropped_tokens=0,
        generated_tokens=len(ids),
        prefill_seconds=1.0,
        decode_seconds=seconds,
        context_used=9,
        context_size=99,
        guessed_tokens=drafted,
        accepted_tokens=accepted,
        checks=checks,
    )
    return Done(reason, None, ids, stats)


def answering(plain, guessed):
    """Gives these answers in their order, those without guesses apart."""
    left = {True: iter(plain), False: iter(guessed)}
    return lambda ids, generation: next(left[generation.draft_max == 0])


def counted(seconds: float, **changed) -> Done:
    return done(seconds, **{"drafted": 8, "accepted": 6, "checks": 2, **changed})


def test_the_speed_is_the_median_of_rounds_and_the_first_is_not_counted():
    plain = [done(99.0), done(2.0), done(2.0), done(4.0)]
    guessed = [counted(1.0), counted(1.0), counted(1.25), counted(2.5)]
    *_, found = measure("it", answering(plain, guessed), Trial([[1]], GREEDY, 3))
    assert [each.speedup for each in found.rounds] == pytest.approx([2.0, 1.6, 1.6])
    assert found.speedup == pytest.approx(1.6) and found.spread == pytest.approx(0.4)
    assert found.rate == pytest.approx(10 / 1.25) and found.plain_rate == pytest.approx(5.0)
    assert (found.drafted, found.accepted) == (24, 18)
    assert found.share == 0.75 and found.accepted_per_check == 3.0
    assert found.least == pytest.approx(1.2), "it pays"


def test_a_round_is_all_prompts():
    plain, guessed = [done(1.0), done(3.0)] * 2, [counted(1.0), counted(1.0)] * 2
    [found] = measure("it", answering(plain, guessed), Trial([[1], [2]], GREEDY, 1))
    assert found.speedup == pytest.approx(2.0) and found.drafted == 16


def test_a_gain_within_the_differences_of_rounds_does_not_pay():
    plain, guessed = [done(1.0)] * 4, [counted(s) for s in (1.0, 0.7, 0.9, 1.1)]
    *_, found = measure("it", answering(plain, guessed), Trial([[1]], GREEDY, 3))
    assert found.speedup > 1 > found.least


def test_a_gain_without_accepted_tokens_is_the_clocks():
    plain, guessed = [done(2.0)] * 3, [counted(1.0, accepted=0)] * 3
    *_, found = measure("it", answering(plain, guessed), Trial([[1]], GREEDY, 2))
    assert found.speedup == 2.0 and not found.least > 1


def test_nothing_drafted_has_figures_too():
    *_, found = measure("it", lambda ids, generation: done(1.0), Trial([[1]], GREEDY, 2))
    assert found.share == found.accepted_per_check == 0 and found.speedup == 1


def test_another_answer_is_a_fault():
    answer = answering([done(1.0)], [counted(1.0, ids=(1, *IDS[1:]))])
    with pytest.raises(LeptonError, match="with some draft is another one"):
        list(measure("some draft", answer, Trial([[1]], GREEDY, 2)))


def test_an_interrupt_keeps_the_rounds_before_it():
    plain = [done(1.0), done(1.0), done(1.0, reason="interrupted")]
    found = list(measure("it", answering(plain, [counted(1.0)] * 2), Trial([[1]], GREEDY, 3)))
    assert [len(each.rounds) for each in found] == [1]


def test_a_model_that_says_nothing_is_refused():
    with pytest.raises(UsageError, match="ends its answers at once"):
        list(measure("it", lambda ids, generation: done(0.0, ids=(2,)), Trial([[1]], GREEDY, 2)))


@pytest.mark.parametrize("temperature", [0, 0.8])
def test_a_model_drafts_for_itself_without_changing_answers(tmp_path, temperature):
    path = write_model(tmp_path / "tiny.gguf")
    options = LoadOptions("cpu", 1, ctx=80, spec_types=())
    generation = Generation(
        Sampling(temperature=temperature, seed=3), 32, ignore_eos=True, draft_p_min=0.0
    )
    with open_model(path, LoadOptions("cpu", 1, ctx=80, spec_types="auto")) as model:
        use(model, Candidate("itself", "draft-simple", path), options)
        answer = answers_of(model, threading.Event())
        found = answer([1, 7, 9, 30], generation)
        assert found.stats.checks
        assert temperature or found.stats.accepted_tokens == found.stats.guessed_tokens
        again = answer([1, 7, 9, 30], generation)
        assert again.stats.cached_tokens == 0, "every prompt is read as a whole"
        [last] = measure("itself", answer, Trial([[1, 7, 9, 30]], generation, 1))
        assert last.rounds[0].guessed.tokens == 32
