"""The promise as a matrix of hashes: whatever is done to be fast, the same bytes come out.

`python -m tests.fuzz` goes through the whole matrix with a cache in bytes, too.
"""

import hashlib
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from make_gguf import write_model
from recurrent_model import write_recurrent

from lepton_cli.engine.decoding.generation import Generation
from lepton_cli.engine.decoding.scheduler import Request
from lepton_cli.engine.events import Done
from lepton_cli.engine.loading.plan import LoadOptions
from lepton_cli.engine.model import Model, open_model
from lepton_cli.engine.sampling.sampler import Sampling

CONTEXT = 900
SYSTEM = np.random.default_rng(0).integers(3, 250, 330).tolist()
PROMPTS = [
    *([*SYSTEM, *np.random.default_rng(n).integers(3, 250, 5 + 75 * n).tolist()] for n in range(3)),
    np.random.default_rng(9).integers(3, 250, 20).tolist() * 3,
]
SEEDED = Sampling(temperature=0.9, seed=11, presence_penalty=-3.0, repeat_last_n=-1)
TOKENS = 50  # the longest prompt and its answer end in the third block of the cache
WANTED = Generation(SEEDED, TOKENS, ignore_eos=True)
PLAIN = LoadOptions("cpu")
Q8 = replace(PLAIN, kv=("q8_0", "q8_0"))


@pytest.fixture(scope="module", params=["F32", "Q4_K", "recurrent"])
def path(request, tmp_path_factory):
    return model_file(tmp_path_factory.mktemp("m"), request.param)


def model_file(folder: Path, weights: str) -> Path:
    path = folder / "tiny.gguf"
    if weights == "recurrent":
        return write_recurrent(path)
    return write_model(
        path,
        weights=weights,
        dimensions={"D": 256},  # whole blocks of K-quants, and of a cache in bytes
        metadata={"llama.context_length": CONTEXT},
    )


def digest(answers: Iterable[tuple[int, ...]]) -> str:
    return hashlib.sha256(repr(list(answers)).encode()).hexdigest()


def answer(model: Model, ids: list[int], generation: Generation = WANTED) -> tuple[int, ...]:
    *_, done = model.stream(ids, generation)
    assert isinstance(done, Done) and len(done.token_ids) == TOKENS
    return done.token_ids


def in_turn(path: Path, options: LoadOptions, generation: Generation = WANTED) -> str:
    with open_model(path, options) as model:
        return digest(answer(model, ids, generation) for ids in PROMPTS)


def each_from_nothing(path: Path, options: LoadOptions) -> str:
    """No window that an answer before has left."""
    answers = []
    for ids in PROMPTS:
        with open_model(path, options) as model:
            answers.append(answer(model, ids))
    return digest(answers)


def together(path: Path, jobs: int, options: LoadOptions, order: int = 1) -> str:
    requests = [Request(key, tuple(ids), WANTED) for key, ids in enumerate(PROMPTS)][::order]
    with open_model(path, options) as model:
        found = {outcome.key: outcome for outcome in model.batch(requests, jobs)}
    dones = [found[key].done for key in range(len(PROMPTS))]
    return digest(done.token_ids for done in dones if done)


def resumed(path: Path, options: LoadOptions) -> str:
    """K and V are saved by one model and go on in another."""
    answers = []
    for ids in PROMPTS:
        with open_model(path, options) as model:
            for _ in model.window.prefill(ids[:-3]):
                pass
            held = list(model.window.ids)
            saved = model.window.save(len(held))
            kept = replace(saved, blocks=[block.copy() for block in saved.blocks])
        with open_model(path, options) as model:
            model.window.restore(held, kept)
            answers.append(answer(model, ids))
    return digest(answers)


def from_disk(path: Path, options: LoadOptions) -> str:
    """Cold, then warm: what a first model left is found by a second."""
    kept, hashes = replace(options, prefixes=1 << 30), list[str]()
    for warm in (False, True):
        answers = []
        for ids in PROMPTS[:3]:
            with open_model(path, kept) as model:
                *_, done = model.stream(ids, WANTED)
                stored = model._prefixes is not None  # a recurrent state is not
                assert isinstance(done, Done)
                assert (done.stats.cached_tokens > 300) >= (warm and stored)
                answers.append(done.token_ids)
                model.remember(len(ids))
        with open_model(path, kept) as model:
            answers.append(answer(model, PROMPTS[3]))
        hashes.append(digest(answers))
    assert hashes[0] == hashes[1]
    return hashes[0]


Way = Callable[[Path, LoadOptions], str]
UNGUESSED = replace(WANTED, draft_max=0)
WAYS: dict[str, Way] = {
    "each from nothing": each_from_nothing,
    "one thread": lambda path, options: in_turn(path, replace(options, threads=1)),
    "five threads": lambda path, options: in_turn(path, replace(options, threads=5)),
    "chunks of 7": lambda path, options: in_turn(path, replace(options, ubatch=7)),
    "one token a pass": lambda path, options: in_turn(path, replace(options, ubatch=1)),
    "no guesses": lambda path, options: in_turn(path, options, UNGUESSED),
    "one job": lambda path, options: together(path, 1, options),
    "four jobs, backwards": lambda path, options: together(path, 4, options, -1),
    "four jobs, three threads, chunks of 33": lambda path, options: together(
        path, 4, replace(options, threads=3, ubatch=33)
    ),
    "resumed": resumed,
    "from disk": from_disk,
}


@pytest.fixture(scope="module")
def expected(path):
    return in_turn(path, PLAIN)


# what a float's products are divided into; the other ways have nothing to do with the weights
DIVIDED = {"five threads", "chunks of 7", "one token a pass"}
DIVIDED |= {"four jobs, three threads, chunks of 33"}
MATRIX = [
    pytest.param(weights, way, marks=() if usual else pytest.mark.weekly)
    for weights in ("F32", "BF16", "Q4_K", "recurrent")
    for way in WAYS
    for usual in [weights not in ("F32", "BF16") or way in DIVIDED]
]


@pytest.mark.parametrize(("path", "way"), MATRIX, indirect=["path"])
def test_the_same_bytes_come_out(path, expected, way):
    assert WAYS[way](path, PLAIN) == expected


@pytest.mark.parametrize(
    "kind", ["q8_0", *(pytest.param(n, marks=pytest.mark.weekly) for n in ("q5_1", "iq4_nl"))]
)
def test_a_cache_in_few_bits_keeps_the_promise_too(path, kind):
    options = replace(PLAIN, kv=(kind, kind))
    expected = in_turn(path, options)
    assert expected == in_turn(path, replace(options, threads=3, ubatch=9))
    assert expected == together(path, 3, options)


def test_models_of_one_promise_have_one_fingerprint(path):
    """Threads, chunks and the context do not show in it; cache types and the backend do."""
    marks = {}
    for name, options in {
        "plain": PLAIN,
        "others": LoadOptions("cpu", 3, ctx=500, ubatch=9),
        "bytes": Q8,
        "reference": LoadOptions("reference"),
    }.items():
        with open_model(path, options) as model:
            marks[name] = model.fingerprint
    assert marks["plain"] == marks["others"]
    assert len(set(marks.values())) == 3


def test_another_seed_says_something_else(path, expected):
    other = Generation(Sampling(temperature=0.9, seed=12), TOKENS, ignore_eos=True)
    assert in_turn(path, PLAIN, other) != expected
