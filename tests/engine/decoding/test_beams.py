"""Beam search on a random model, beside what greedy drawing and the logits themselves say."""

import threading

import numpy as np
import pytest
from make_gguf import write_model

from lepton_cli.engine.decoding.generation import Generation
from lepton_cli.engine.loading.plan import LoadOptions
from lepton_cli.engine.model import open_model
from lepton_cli.engine.sampling.logprobs import log_probabilities
from lepton_cli.engine.sampling.sampler import Sampling
from quant.errors import ContextOverflowError, UsageError

CONTEXT, PROMPT = 300, [1, *range(20, 270)]


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    path = tmp_path_factory.mktemp("m") / "tiny.gguf"
    write_model(path, metadata={"llama.context_length": CONTEXT})
    with open_model(path, LoadOptions("cpu", 2)) as model:
        yield model


def searched(model, width, count, **options):
    beams = model.beams(PROMPT[:249], Generation(max_tokens=count, **options), width)
    assert model._passes.pool.used == len(model.window._state.blocks), "all given back"
    return beams


def logprob(model, ids) -> float:
    rows = model.logits([*PROMPT[:249], *ids[:-1]])[248:]
    return sum(float(log_probabilities(row)[token]) for row, token in zip(rows, ids, strict=True))


@pytest.mark.parametrize("count", [1, 20])
def test_one_beam_is_greedy(model, count):
    greedy = Generation(Sampling(temperature=0), count, ignore_eos=True, draft_max=0)
    *_, done = model.stream(PROMPT[:249], greedy)
    (beam,) = searched(model, 1, count, ignore_eos=True)
    assert beam.token_ids == done.token_ids and beam.reason == "length"


def test_scores_are_the_models_own_log_probabilities(model):
    """Over the border of a block, where beams part from each other's copies."""
    beams = searched(model, 4, 12, ignore_eos=True)
    assert len({beam.token_ids for beam in beams}) == 4
    for beam in beams:
        assert beam.logprob == pytest.approx(logprob(model, beam.token_ids), abs=1e-9)
        assert beam.score == beam.logprob / 12
    assert [beam.score for beam in beams] == sorted((b.score for b in beams), reverse=True)


def test_two_tokens_are_the_likeliest_of_all_pairs_among_wide_beams(model):
    prompt = PROMPT[:249]
    first = log_probabilities(model.logits(prompt)[-1])
    best = np.argsort(-first)[:32]
    pairs = {}
    for token in best.tolist():
        second = log_probabilities(model.logits([*prompt, token])[-1])
        pairs |= {(token, n): first[token] + second[n] for n in range(len(second))}
    expected = sorted(pairs, key=pairs.__getitem__, reverse=True)[:8]
    found = searched(model, 32, 2, ignore_eos=True)[:8]
    assert [beam.token_ids for beam in found] == expected


def test_an_end_competes_with_going_on(model):
    ends = model.tokenizer.end_of_generation
    wide = searched(model, 16, 1)
    assert all(not set(beam.token_ids) & ends for beam in wide)
    never = tuple((token, float("-inf")) for token in range(3, model.tokenizer.vocab_size))
    never = tuple(pair for pair in never if pair[0] not in ends)
    beams = searched(model, 2, 9, sampling=Sampling(logit_bias=never))
    assert beams[0].reason == "stop"
    assert beams[0].score == beams[0].logprob / (len(beams[0].token_ids) + 1)


def test_a_stop_string_ends_a_beam(model):
    (free,) = searched(model, 1, 8, ignore_eos=True)
    text = model.tokenizer.decode(free.token_ids[:3])
    (beam,) = searched(model, 1, 8, ignore_eos=True, stop=(text,))
    assert beam.reason == "stop" and len(beam.token_ids) <= 3


def test_the_window_ends_all_beams(model):
    beams = searched(model, 3, None, ignore_eos=True)
    assert {beam.reason for beam in beams} == {"context"}
    assert {len(beam.token_ids) for beam in beams} == {CONTEXT - 249 + 1}


def test_what_cannot_be_searched_is_refused(model):
    for width in (0, 33):
        with pytest.raises(UsageError, match="beams"):
            searched(model, width, 2)
    with pytest.raises(ContextOverflowError):
        model.beams([1] * CONTEXT, Generation(), 2)


def test_an_interrupt_gives_what_there_is(model):
    asked = threading.Event()
    asked.set()
    beams = model.beams(PROMPT[:9], Generation(max_tokens=10_000), 2, asked)
    assert {beam.reason for beam in beams} == {"interrupted"}
