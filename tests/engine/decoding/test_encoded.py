"""Answers of a model with an encoder: one at a time, many at once, beams; all by the full pass."""

from dataclasses import replace

import numpy as np
import pytest
from make_gguf import write_model

from lepton_cli.engine.constraints.constraint import find_constraint
from lepton_cli.engine.decoding.generation import Generation
from lepton_cli.engine.decoding.scheduler import Batch, Request
from lepton_cli.engine.events import Done, Text
from lepton_cli.engine.loading.plan import LoadOptions
from lepton_cli.engine.model import Model, open_model
from lepton_cli.engine.sampling.sampler import Sampling
from quant.errors import ContextOverflowError, UsageError

START = 0
GREEDY = Generation(Sampling(temperature=0), 20, ignore_eos=True)


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    return write_model(tmp_path_factory.mktemp("m") / "t5.gguf", "t5", seed=3)


@pytest.fixture(scope="module")
def model(path):
    with open_model(path, LoadOptions("cpu", 2)) as model:
        yield model


def words(seed: int, count: int) -> list[int]:
    return np.random.default_rng(seed).integers(3, 250, count).tolist()


def answer(model: Model, ids, generation: Generation = GREEDY) -> Done:
    *_, done = model.stream(ids, generation)
    assert isinstance(done, Done)
    return done


@pytest.mark.parametrize("count", [1, 40, 300])
def test_an_answer_is_what_the_full_pass_says(model, count):
    prompt = words(count, count)
    drawn = answer(model, prompt).token_ids
    rows = model.logits([*prompt, START, *drawn[:-1]])
    assert rows.argmax(1).tolist() == list(drawn)


@pytest.mark.parametrize("weights", ["Q8_0", "Q4_0", "BF16"])
def test_files_of_other_formats_answer_too(tmp_path, weights):
    """Their products take activations in other forms, which the norms before them make.

    Scores are not scaled: those of random queries would leave one key each, by a hair.
    """
    prompt, rows = words(1, 40), []
    blocks = [f"{stack}.blk.{n}" for stack in ("enc", "dec") for n in range(2)]
    names = [f"{block}.attn_q" for block in blocks] + [f"{b}.cross_attn_q" for b in blocks[2:]]
    small = np.random.default_rng(9).standard_normal((32, 64), np.float32) / 40
    queries = {f"{name}.weight": small for name in names}
    path = write_model(tmp_path / "t5.gguf", "t5-gated", weights=weights, seed=3, tensors=queries)
    for backend in ("cpu", "reference"):
        with open_model(path, LoadOptions(backend, 2)) as model:
            drawn = answer(model, prompt).token_ids
            rows.append(model.logits([*prompt, START, *words(2, 20)]))
            full = model.logits([*prompt, START, *drawn[:-1]])
            assert backend == "reference" or full.argmax(1).tolist() == list(drawn)
    assert np.sum((rows[0] - rows[1]) ** 2) < 3e-3 * np.sum(rows[1] ** 2)


def test_every_token_of_the_prompt_counts(model):
    prompt = words(1, 40)
    first = model.logits(prompt)
    for place in (0, 20, 39):
        changed = [*prompt[:place], prompt[place] ^ 1, *prompt[place + 1 :]]
        assert not np.array_equal(model.logits(changed), first)


def test_the_same_prompt_is_encoded_once_and_a_part_of_it_is_of_no_use(model):
    prompt, other = words(2, 30), [*words(2, 30)[:25], 7, 8]
    first = answer(model, prompt)
    again = answer(model, prompt)
    assert again.token_ids == first.token_ids and again.stats.cached_tokens == len(prompt)
    assert answer(model, other).stats.cached_tokens == 0
    assert answer(model, prompt).token_ids == first.token_ids


def test_what_follows_the_start_token_is_the_beginning_of_the_answer(model):
    prompt = words(3, 30)
    drawn = answer(model, prompt).token_ids
    rest = answer(model, [*prompt, START, *drawn[:5]], replace(GREEDY, max_tokens=15)).token_ids
    assert rest == drawn[5:]


def test_guesses_do_not_change_an_answer(model):
    prompt = words(4, 10) * 3
    guessed = answer(model, prompt, replace(GREEDY, max_tokens=60))
    plain = answer(model, prompt, replace(GREEDY, max_tokens=60, draft_max=0))
    assert guessed.token_ids == plain.token_ids


def test_penalties_count_the_answer_alone(model):
    once = replace(GREEDY, max_tokens=1)
    punished = replace(once, sampling=Sampling(temperature=0, repeat_penalty=9.0))
    prompts = (words(seed, 60) for seed in range(50))
    prompt = next(ids for ids in prompts if answer(model, ids, once).token_ids[0] in ids)
    assert answer(model, prompt, punished).token_ids == answer(model, prompt, once).token_ids


LENGTHS = (1, 30, 17, 60, 60, 61, 5, 5, 40)
REQUESTS = [
    Request(key, tuple(words(key, count)), Generation(Sampling(seed=key), 3 + key, ignore_eos=True))
    for key, count in enumerate(LENGTHS)
]
REQUESTS.append(replace(REQUESTS[3], key=len(REQUESTS)))


@pytest.mark.parametrize(("jobs", "context", "threads"), [(1, 80, 2), (3, 80, 1), (16, 300, 3)])
def test_many_at_once_say_what_each_says_alone(path, jobs, context, threads):
    options = LoadOptions("cpu", threads, ctx=context, ubatch=16)
    with open_model(path, options) as model:
        alone = [answer(model, each.ids, each.generation).token_ids for each in REQUESTS]
        outcomes = {each.key: each.done for each in model.batch(REQUESTS, jobs)}
        assert [outcomes[each.key].token_ids for each in REQUESTS] == alone


def test_answers_that_gave_way_are_encoded_again_and_go_on(path, monkeypatch):
    long = [replace(each, ids=tuple(words(each.key, 200))) for each in REQUESTS[:5]]
    long = [replace(one, generation=replace(one.generation, max_tokens=70)) for one in long]
    with open_model(path, LoadOptions("cpu", 2)) as model:
        alone = [answer(model, each.ids, each.generation).token_ids for each in long]
        evicted = []
        monkeypatch.setattr(Batch, "_evict", noting(Batch._evict, evicted))
        size = 3 * model._passes.pool.block_bytes
        batch = Batch(model._passes, model.context_size, size, model._begin)
        outcomes = {each.key: each.done for each in batch.outcomes(long, 5)}
    assert [outcomes[each.key].token_ids for each in long] == alone
    assert max(map(len, evicted)) > 201, "some had begun to answer"


def noting(evict, evicted):
    """Notes what had been entered of each sequence."""

    def watched(batch, sequence):
        evicted.append(sequence.ids[: sequence.entered])
        evict(batch, sequence)

    return watched


def test_one_beam_is_greedy_and_several_find_a_likelier_answer(model):
    prompt = words(6, 270)
    (one,) = model.beams(prompt, GREEDY, 1)
    several = model.beams(prompt, GREEDY, 4)
    assert one.token_ids == answer(model, prompt).token_ids
    assert several[0].score >= one.score and len({beam.token_ids for beam in several}) == 4


def test_an_answer_begins_without_the_space_before_its_first_word(model):
    """But where a form has to be met to the letter."""
    prompt = model.tokenizer.encode("hello world")
    events = list(model.stream(prompt, GREEDY))
    text = "".join(event.text for event in events if isinstance(event, Text))
    assert text == model.tokenizer.decode(events[-1].token_ids).lstrip() != ""
    best, *_ = model.beams(prompt, GREEDY, 2)
    assert best.text and not best.text.startswith(" ")
    spaced = replace(GREEDY, constraint=find_constraint(regex=" the"), split_reasoning=False)
    events = list(model.stream(prompt, spaced))
    assert "".join(event.text for event in events if isinstance(event, Text)) == " the"


def test_the_context_holds_a_prompt_and_an_answer_of_the_trained_length(model):
    assert model.context_size == 2 * 256
    with pytest.raises(ContextOverflowError, match="513 tokens, the context 512"):
        answer(model, words(7, 512))
    assert len(answer(model, words(7, 256), replace(GREEDY, max_tokens=None)).token_ids) == 256


def test_a_position_takes_the_memory_of_the_decoders_keys_and_values_and_the_prompts(model):
    """In two layers: heads of 8, padded to 16, in f16."""
    assert len(model._program.pages) == 4
    assert model.plan.cache == model.context_size * 4 * 4 * (16 + 16) * 2


def test_what_makes_no_sense_for_an_encoder_is_refused(model):
    with pytest.raises(UsageError, match="the prompt is empty: it begins with the start token 0"):
        answer(model, [START, 5])
    with pytest.raises(UsageError, match="its beginning cannot be dropped"):
        answer(model, [5, 6], replace(GREEDY, overflow="shift"))
    with pytest.raises(UsageError, match="has an encoder: it neither drafts nor takes drafts"):
        model.guess_with(model)
