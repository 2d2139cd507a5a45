"""Answers by masked diffusion: schedules, what is filled in first, shown text, refusals."""

import threading
from dataclasses import replace

import numpy as np
import pytest
from make_gguf import write_model

from lepton_cli.engine.constraints.constraint import find_constraint
from lepton_cli.engine.decoding.generation import Diffusion, Generation
from lepton_cli.engine.events import Done, Filled, Text
from lepton_cli.engine.loading.plan import LoadOptions
from lepton_cli.engine.model import Model, open_model
from lepton_cli.engine.sampling.sampler import Sampling
from quant.errors import LeptonError, ModelFileError, UsageError

MASK = 7
PROMPT = [1, 40, 41, 42, 43]
GREEDY = Sampling(temperature=0, seed=1)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("diffusion")


def opened(folder, preset="llada", ubatch=64, **metadata) -> Model:
    keys = {"tokenizer.ggml.mask_token_id": MASK, "diffusion.shift_logits": False, **metadata}
    path = write_model(folder / "m.gguf", preset, metadata=keys)
    return open_model(path, LoadOptions("cpu", 2, ubatch=ubatch))


@pytest.fixture(scope="module")
def model(folder):
    with opened(folder) as model:
        yield model


def answered(model: Model, count: int | None = 12, **settings) -> tuple[Done, list[int]]:
    """How the answer ended, and how many tokens were known after each step."""
    sampling = settings.pop("sampling", GREEDY)
    how = Generation(
        sampling, count, ignore_eos=True, split_reasoning=False, diffusion=Diffusion(**settings)
    )
    *events, done = model.stream(PROMPT, how)
    assert isinstance(done, Done)
    return done, [event.done for event in events if isinstance(event, Filled)]


def test_all_tokens_are_filled_in_and_none_is_the_mask(model):
    done, known = answered(model, steps=5)
    assert done.reason == "length" and len(done.token_ids) == 12 and known[-1] == 12
    assert MASK not in done.token_ids and known == sorted(known)


def test_an_answer_without_a_limit_takes_what_a_pass_has_room_for(model):
    done, _ = answered(model, None, steps=2)
    assert done.reason == "context" and len(done.token_ids) == 64 - len(PROMPT)


def test_blocks_are_filled_in_one_after_the_other_in_equal_steps(model):
    _, known = answered(model, steps=6, block_length=4)
    assert known == [2, 4, 6, 8, 10, 12]
    _, known = answered(model, 10, steps=6, block_length=4)  # the last block is shorter
    assert known == [2, 4, 6, 8, 9, 10]


def test_times_fall_evenly_over_the_whole_answer(model):
    _, known = answered(model, 12, steps=4, eps=0.0)
    assert known == [3, 6, 9, 12]


def test_one_step_takes_each_token_by_itself(model):
    done, known = answered(model, steps=1)
    masked = [*PROMPT, *[MASK] * 12]
    logits = model.logits(masked)[len(PROMPT) :].copy()
    logits[:, MASK] = -np.inf
    assert known == [12] and list(done.token_ids) == logits.argmax(-1).tolist()


def test_logits_may_be_those_of_the_token_before(folder):
    with opened(folder, **{"diffusion.shift_logits": True}) as model:
        done, _ = answered(model, steps=1)
        logits = model.logits([*PROMPT, *[MASK] * 12])[len(PROMPT) - 1 : -1].copy()
    logits[:, MASK] = -np.inf
    assert list(done.token_ids) == logits.argmax(-1).tolist()


def first_filled(model: Model, **settings) -> tuple[np.ndarray, int]:
    """The probabilities of each token of the answer at first, and which is known first."""
    logits = model.logits([*PROMPT, *[MASK] * 12])[len(PROMPT) :].astype(np.float64)
    p = np.exp(logits - logits.max(-1, keepdims=True))
    seen = list[list[int]]()
    run = model.window.logits_of_whole

    def noted(ids, *arguments):
        seen.append(list(ids[len(PROMPT) :]))
        return run(ids, *arguments)

    model.window.logits_of_whole = noted  # type: ignore[method-assign]
    try:
        answered(model, steps=12, block_length=12, **settings)
    finally:
        del model.window.logits_of_whole
    [first] = [n for n in range(12) if seen[1][n] != MASK]
    return p / p.sum(-1, keepdims=True), first


def test_the_likeliest_the_clearest_or_the_least_open_token_is_filled_in_first(model):
    p, first = first_filled(model, algorithm=4)
    likeliest = p.copy()
    likeliest[:, MASK] = 0
    assert first == likeliest.max(-1).argmax()
    p, first = first_filled(model, algorithm=2)
    best = np.sort(p, -1)
    assert first == (best[:, -1] - best[:, -2]).argmax()
    p, first = first_filled(model, algorithm=1)
    assert first == (p * np.log(p)).sum(-1).argmax()


@pytest.mark.parametrize("settings", [{"algorithm": 0}, {"algorithm": 3}, {"alg_temp": 0.5}])
def test_chance_follows_the_seed(model, settings):
    def drawn(seed: int) -> tuple[int, ...]:
        sampling = Sampling(temperature=1.0, seed=seed)
        return answered(model, steps=6, sampling=sampling, **settings)[0].token_ids

    assert drawn(3) == drawn(3) != drawn(4)


def test_guidance_counts_what_the_prompt_changes_more(model):
    masked, count = [*PROMPT, *[MASK] * 12], len(PROMPT)
    given = model.logits(masked)[count:].copy()
    free = model.logits([MASK] * (count + 12))[count:].copy()
    wanted = free + np.float32(3) * (given - free)
    wanted[:, MASK] = -np.inf
    done, _ = answered(model, steps=1, cfg_scale=2.0)
    assert list(done.token_ids) == wanted.argmax(-1).tolist()


def test_text_comes_as_far_as_it_is_known_and_ends_at_the_end_token(model):
    [first, *_] = answered(model, steps=12, block_length=4)[0].token_ids
    how = Generation(
        replace(GREEDY, logit_bias=((model.tokenizer.eos, 1e4),)),
        12,
        split_reasoning=False,
        diffusion=Diffusion(steps=12, block_length=4),
    )
    *events, done = model.stream(PROMPT, how)
    assert done.reason == "stop" and done.token_ids == () and first != model.tokenizer.eos
    assert max(event.done for event in events if isinstance(event, Filled)) < 12
    assert not [event for event in events if isinstance(event, Text)]


def test_an_answer_does_not_depend_on_what_was_answered_before(model):
    first, _ = answered(model, steps=4)
    model.logits([9, 8, 7])
    again, _ = answered(model, steps=4)
    assert again.token_ids == first.token_ids


def test_an_interrupt_ends_the_answer(model):
    asked = threading.Event()
    asked.set()
    [*_, done] = model.stream(PROMPT, Generation(GREEDY, 12), asked)
    assert done.reason == "interrupted" and done.token_ids == ()


def test_more_tokens_than_a_pass_takes_are_refused_with_the_cure(model):
    with pytest.raises(UsageError, match="65 tokens that see each other") as caught:
        answered(model, 60, steps=2)
    assert caught.value.hint == "use -ub 65 (and -c 65) or more"


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"constraint": find_constraint(regex="a+")}, "--json-schema"),
        ({"ban": ("a",)}, "--ban"),
        ({"logprobs": 2}, "--logprobs"),
        ({"sampling": Sampling(mirostat=2)}, "--mirostat"),
    ],
)
def test_what_needs_one_token_after_the_other_is_refused_by_name(model, settings, named):
    with pytest.raises(UsageError, match=f"generates by diffusion.*{named}"):
        list(model.stream(PROMPT, Generation(**settings)))


@pytest.mark.parametrize(
    "call",
    [
        lambda model: model.batch([]),
        lambda model: model.beams(PROMPT, Generation(), 2),
        lambda model: model.guess_with(model),
    ],
)
def test_batches_beams_and_drafts_are_refused(model, call):
    with pytest.raises(LeptonError, match="this model generates by diffusion"):
        call(model)


def test_a_file_without_a_usable_mask_token_is_refused(folder):
    for mask, complaint in ((None, "is missing"), (10**6, "is 1000000 of")):
        with (
            opened(folder, **{"tokenizer.ggml.mask_token_id": mask}) as model,
            pytest.raises(ModelFileError, match=f"mask_token_id {complaint}"),
        ):
            answered(model)


@pytest.mark.parametrize(
    "wrong", [{"steps": 0}, {"algorithm": 5}, {"eps": 2.0}, {"block_length": -1}]
)
def test_numbers_outside_their_limits_are_refused(wrong):
    with pytest.raises(UsageError, match=next(iter(wrong))):
        Diffusion(**wrong)
