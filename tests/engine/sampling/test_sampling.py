"""The settings, the chain they make, and what a whole sampler promises."""

import dataclasses
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from lepton_cli.engine.sampling.author_defaults import AUTHOR_KEYS, apply_author_defaults
from lepton_cli.engine.sampling.randomness import Xoshiro256
from lepton_cli.engine.sampling.sampler import (
    ORDER,
    STAGES,
    Sampler,
    Sampling,
    parse_samplers,
    parse_sampling_sequence,
)
from lepton_cli.engine.sampling.setting import settings_of
from ops.logits import Logits, RankedLogits
from quant.errors import ModelFileError, UsageError
from quant.gguf import Metadata, Value

NUMBERS = [(each, about.limits) for each, about in settings_of(Sampling) if about.limits]
V = 40
PURE = Sampling(samplers=(), seed=0)
EVERY_STAGE_ON = Sampling(
    seed=5,
    repeat_penalty=1.3,
    dry_multiplier=0.8,
    top_n_sigma=2.0,
    typical_p=0.9,
    xtc_probability=0.5,
    dynatemp_range=0.3,
)
CHAINS = {
    "default": Sampling(seed=5),
    "pure": Sampling(seed=5, samplers=()),
    "everything": EVERY_STAGE_ON,
    "backwards": dataclasses.replace(EVERY_STAGE_ON, samplers=ORDER[::-1]),
    "mirostat": Sampling(seed=5, mirostat=1),
    "mirostat_v2": Sampling(seed=5, mirostat=2),
    "adaptive_p": Sampling(seed=5, adaptive_target=0.3, samplers=("min_p", "adaptive_p")),
}
GOLDEN = {
    "default": "14 13 26 39 26 27 25 38 25 24 39 13 11 24 25 37",
    "pure": "14 14 26 39 26 27 25 38 16 14 39 12 11 25 25 37",
    "everything": "28 27 26 39 14 12 26 38 38 25 11 38 37 11 36 23",
    "backwards": "15 14 26 39 0 12 26 38 38 25 11 38 37 11 36 23",
    "mirostat": "14 13 26 39 26 27 25 38 25 15 39 13 11 25 25 37",
    "mirostat_v2": "14 13 26 39 26 27 25 38 25 15 39 13 11 25 25 37",
    "adaptive_p": "14 13 26 39 27 26 25 38 25 24 39 24 10 23 36 36",
}


class Letters:
    """A vocabulary of V one-letter tokens, of which the last two end a generation."""

    vocab_size = V
    end_of_generation = frozenset({V - 2, V - 1})

    def token_bytes(self, token: int, /, render_special: bool = False) -> bytes:
        return bytes([48 + token])


def some_logits(steps: int, size: int = V) -> NDArray[np.float32]:  # (steps, size)
    """The same on every machine: multiples of 1/32 from an integer sequence."""
    numbers = np.arange(steps * size, dtype=np.int64).reshape(steps, size)
    return ((numbers * 7919 % 331 - 165) / 32).astype(np.float32)


def drawn(sampling: Sampling, logits: Logits, **rules: Any) -> list[int]:
    sampler, tokens = Sampler(sampling, Letters(), **rules), []
    for row in logits:
        tokens.append(sampler.sample(row))
        sampler.accept(tokens[-1])
    return tokens


# settings


def test_defaults_are_those_of_llama_cpp() -> None:
    s = Sampling()
    assert (s.temperature, s.top_k, s.top_p, s.min_p) == (0.8, 40, 0.95, 0.05)
    assert (s.repeat_last_n, s.repeat_penalty, s.dry_penalty_last_n) == (64, 1, 64)
    assert Sampler(s, Letters()).describe() == ("top_k", "top_p", "min_p", "temperature", "dist")


@pytest.mark.parametrize(("field", "limits"), NUMBERS)
def test_numbers_out_of_range_are_refused_with_the_value(
    field: dataclasses.Field[float], limits: tuple[float, float]
) -> None:
    low, high = limits
    for bad in (math.nan, math.inf, -math.inf, low - abs(low) - 1, high * 2 + 1, "1", True, None):
        with pytest.raises(UsageError, match=field.name) as refused:
            Sampling(**{field.name: bad})
        assert repr(bad) in refused.value.message
    for good in (low, high):
        whole = isinstance(field.default, int)
        assert Sampling(**{field.name: int(good) if whole else float(good)})


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"repeat_penalty": -1.1}, "repeat_penalty is -1.1: it must be a finite number above 0"),
        ({"repeat_penalty": 0.0}, "repeat_penalty is 0.0: it must be a finite number above 0"),
        ({"top_p": 1.5}, "top_p is 1.5: it must be a finite number from 0 to 1"),
        ({"top_k": 2.5}, "top_k is 2.5: it must be a whole number"),
        ({"temperature": math.nan}, "temperature is nan: it must be a finite number"),
        ({"dry_multiplier": -1}, "dry_multiplier is -1: it must be a finite number, 0 or more"),
        ({"adaptive_target": 2}, "adaptive_target is 2: it must be a finite number, at most 1"),
        ({"mirostat": 3}, "mirostat is 3: it must be a whole number from 0 to 2"),
        ({"seed": -1}, f"seed is -1: it must be a whole number from 0 to {2**64 - 1}"),
        ({"seed": 2**64}, "seed is"),
        ({"logit_bias": ((-1, 1.0),)}, "a token id in logit_bias is -1"),
        ({"logit_bias": ((7, math.nan),)}, "the logit_bias of token 7 is nan"),
        ({"logit_bias": ((7, math.inf),)}, "the logit_bias of token 7 is inf"),
        ({"dry_sequence_breakers": ("\n", "")}, "a dry_sequence_breaker is empty"),
        ({"samplers": ("top_k", "tmp")}, "no sampler is called 'tmp'"),
    ],
)
def test_refusals_say_what_is_allowed(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError) as refused:
        Sampling(**settings)
    assert refused.value.message.startswith(message)


# names


def test_names_and_letters_mean_the_same_chain() -> None:
    assert parse_samplers(";".join(ORDER)) == ORDER
    assert parse_sampling_sequence("edskypmxt") == ORDER
    assert parse_sampling_sequence("edskypmxta") == (*ORDER, "adaptive_p")


@pytest.mark.parametrize(
    ("alias", "name"),
    [
        ("top-k", "top_k"),
        ("nucleus", "top_p"),
        ("typical", "typ_p"),
        ("typical-p", "typ_p"),
        ("typ", "typ_p"),
        ("typ-p", "typ_p"),
        ("min-p", "min_p"),
        ("temp", "temperature"),
        ("top-n-sigma", "top_n_sigma"),
        ("adaptive-p", "adaptive_p"),
        (" Top_K ", "top_k"),
    ],
)
def test_aliases_of_llama_cpp_are_known(alias: str, name: str) -> None:
    assert parse_samplers(f"xtc;{alias};") == ("xtc", name)


@pytest.mark.parametrize(
    ("name", "nearest"),
    [("topk", "top_k"), ("temprature", "temperature"), ("penalty", "penalties")],
)
def test_unknown_names_name_the_nearest(name: str, nearest: str) -> None:
    with pytest.raises(UsageError) as refused:
        parse_samplers(f"top_p;{name}")
    assert repr(name) in refused.value.message
    assert f"nearest is {nearest}" in refused.value.message


def test_unknown_letters_are_refused_with_the_known_ones() -> None:
    with pytest.raises(UsageError, match="letter 'z' of 'kzt'") as refused:
        parse_sampling_sequence("kzt")
    assert refused.value.hint is not None
    assert all(f"{stage.letter} {stage.name}" in refused.value.hint for stage in STAGES)


# the author's defaults


def advised(explicit: tuple[str, ...] = (), **values: Value) -> Sampling:
    pairs = {f"general.sampling.{name}": value for name, value in values.items()}
    return apply_author_defaults(Sampling(), Metadata(Path("m.gguf"), pairs), frozenset(explicit))


def test_author_defaults_fill_what_the_user_left_open() -> None:
    assert advised() == Sampling()
    chosen = advised(("top_k",), temp=0.25, top_k=7, mirostat_tau=3.0, penalty_last_n=9)
    assert chosen == Sampling(temperature=0.25, mirostat_ent=3.0, repeat_last_n=9)
    assert advised(sequence="top-k;temp").samplers == ("top_k", "temperature")


def test_author_defaults_are_the_decimal_numbers_meant() -> None:
    assert advised(top_p=float(np.float32(0.95))).top_p == 0.95


def test_author_keys_are_settings() -> None:
    assert set(AUTHOR_KEYS.values()) <= {field.name for field in dataclasses.fields(Sampling)}


@pytest.mark.parametrize(
    ("key", "value"),
    [("top_p", 7.0), ("temp", math.nan), ("temp", "warm"), ("top_k", 2.5), ("sequence", "tpo_k")],
)
def test_bad_author_defaults_name_file_and_key(key: str, value: Value) -> None:
    with pytest.raises(ModelFileError) as refused:
        advised(**{key: value})
    assert "m.gguf" in refused.value.message
    assert f"general.sampling.{key}" in refused.value.message


@pytest.mark.parametrize("kept", [V, 20, 2])
@pytest.mark.parametrize("ignore_eos", [False, True])
@pytest.mark.parametrize(
    "sampling", [*CHAINS.values(), Sampling(temperature=0), Sampling(seed=5, top_k=15)]
)
def test_ranked_logits_draw_the_same_tokens(
    sampling: Sampling, ignore_eos: bool, kept: int
) -> None:
    logits = some_logits(100)
    ids = np.argsort(-logits, axis=1, kind="stable")[:, :kept].astype(np.int32)
    ranked = RankedLogits(lambda: logits, (ids, np.take_along_axis(logits, ids, 1)))
    want = drawn(sampling, logits, ignore_eos=ignore_eos)
    assert drawn(sampling, ranked, ignore_eos=ignore_eos) == want


# the chain


def test_describe_names_what_does_something_in_its_order() -> None:
    described = Sampler(EVERY_STAGE_ON, Letters(), ignore_eos=True).describe()
    assert described == ("logit_bias", *ORDER, "dist")
    assert Sampler(PURE, Letters()).describe() == ("dist",)
    assert Sampler(CHAINS["adaptive_p"], Letters()).describe() == ("min_p", "adaptive_p")
    adaptive = Sampling(samplers=("adaptive_p", "top_k"))  # no target: nothing to adapt to
    assert Sampler(adaptive, Letters()).describe() == ("top_k", "dist")


@pytest.mark.parametrize(("version", "name"), [(1, "mirostat"), (2, "mirostat_v2")])
def test_mirostat_replaces_all_but_bias_and_temperature(version: int, name: str) -> None:
    sampling = dataclasses.replace(EVERY_STAGE_ON, mirostat=version, logit_bias=((1, 1.0),))
    assert Sampler(sampling, Letters()).describe() == ("logit_bias", "temperature", name)


def test_samplers_run_in_the_order_asked_for() -> None:
    logits = np.full((400, V), -np.inf, np.float32)
    logits[:, :3] = np.log([0.6, 0.3, 0.1])  # half as likely; at temperature 2 it is 0.71 times
    kept_before = drawn(Sampling(samplers=("min_p", "temp"), min_p=0.6, temperature=2.0), logits)
    kept_after = drawn(Sampling(samplers=("temp", "min_p"), min_p=0.6, temperature=2.0), logits)
    assert (set(kept_before), set(kept_after)) == ({0}, {0, 1})


def test_penalties_look_at_the_prompt_too() -> None:
    logits = np.zeros(V, np.float32)
    logits[[3, 4]] = 5, 4.5
    sampler = Sampler(Sampling(temperature=0, presence_penalty=1.0, repeat_last_n=2), Letters())
    assert sampler.sample(logits) == 3
    for token in (3, 9):
        sampler.accept(token)
    assert sampler.sample(logits) == 4
    sampler.accept(8)  # now 3 is out of the window
    assert sampler.sample(logits) == 3


@pytest.mark.parametrize(("last", "token"), [(64, 4), (-1, 4), (4, 4), (3, 7), (0, 7)])
def test_dry_looks_at_its_window(last: int, token: int) -> None:
    logits = np.zeros(V, np.float32)
    logits[[7, 4]] = 6, 5.5
    sampling = Sampling(temperature=0, dry_multiplier=1.0, dry_penalty_last_n=last)
    sampler = Sampler(sampling, Letters())
    for accepted in (7, 3, 7, 3):  # another 7 would continue the repeat
        sampler.accept(accepted)
    assert sampler.sample(logits) == token


# rules


def test_biases_add_up_and_minus_infinity_forbids() -> None:
    logits = np.zeros((200, V), np.float32)
    bias = ((2, 30.0), (3, 10.0), (3, 20.0), (4, 90.0), (4, -math.inf))
    assert set(drawn(dataclasses.replace(PURE, logit_bias=bias), logits)) == {2, 3}


def test_ignore_eos_and_suppressed_tokens_are_never_drawn() -> None:
    logits = np.zeros((400, V), np.float32)
    logits[:, [0, V - 2, V - 1]] = 50
    assert set(drawn(PURE, logits)) <= {0, V - 2, V - 1}
    allowed = drawn(PURE, logits, ignore_eos=True, suppressed=[0])
    assert len(set(allowed)) > 20
    assert set(allowed) <= set(range(1, V - 2))


def test_logits_beyond_the_vocabulary_are_never_drawn() -> None:
    padded = np.zeros((50, V + 24), np.float32)
    padded[:, V:] = 90
    assert max(drawn(PURE, padded)) < V
    assert max(drawn(Sampling(top_k=5), padded)) < V


@pytest.mark.parametrize("token", [V, 10**9])
def test_unknown_tokens_are_no_use_in_rules(token: int) -> None:
    with pytest.raises(UsageError, match=f"no token {token}"):
        Sampler(Sampling(logit_bias=((token, 1.0),)), Letters())
    with pytest.raises(UsageError, match=f"no token {token}"):
        Sampler(Sampling(), Letters(), suppressed=[token])


def test_ruling_out_everything_is_refused() -> None:
    with pytest.raises(UsageError, match=f"all {V} tokens are excluded"):
        Sampler(Sampling(), Letters(), suppressed=range(V))


@pytest.mark.parametrize("bad", [np.nan, np.inf, None], ids=["one nan", "one inf", "all -inf"])
@pytest.mark.parametrize("name", CHAINS)
def test_unusable_logits_are_an_error_of_the_model_file(name: str, bad: float | None) -> None:
    logits = np.full(V, -np.inf, np.float32) if bad is None else np.zeros(V, np.float32)
    logits[17] = -np.inf if bad is None else bad
    with pytest.raises(ModelFileError, match="no usable logits") as refused:
        Sampler(CHAINS[name], Letters()).sample(logits)
    assert "damaged" in str(refused.value.hint)


@pytest.mark.parametrize("name", CHAINS)
def test_tokens_that_the_model_excludes_are_never_drawn(name: str) -> None:
    logits = some_logits(60)
    logits[:, ::2] = -np.inf
    assert all(token % 2 for token in drawn(CHAINS[name], logits))


# promises


@pytest.mark.parametrize("name", CHAINS)
def test_same_seed_draws_the_same_tokens(name: str) -> None:
    logits = some_logits(60)
    assert drawn(CHAINS[name], logits) == drawn(CHAINS[name], logits)
    other = dataclasses.replace(CHAINS[name], seed=6)
    assert drawn(CHAINS[name], logits) != drawn(other, logits)


@pytest.mark.parametrize("name", CHAINS)
def test_seeds_draw_these_tokens_forever(name: str) -> None:
    """Ours, from version 0.1 on: a change breaks what people have written down."""
    assert " ".join(map(str, drawn(CHAINS[name], some_logits(16)))) == GOLDEN[name]


def test_fresh_seeds_are_reported_and_can_be_repeated() -> None:
    first, second = Sampler(Sampling(), Letters()), Sampler(Sampling(), Letters())
    assert first.seed != second.seed
    assert 0 <= first.seed < 2**32
    logits = some_logits(40)
    again = Sampler(Sampling(seed=first.seed), Letters())
    assert [first.sample(row) for row in logits] == [again.sample(row) for row in logits]


@pytest.mark.parametrize("name", CHAINS)
def test_sampling_leaves_the_logits_alone(name: str) -> None:
    logits = some_logits(1)[0]
    logits.flags.writeable = False
    drawn(CHAINS[name], np.stack([logits] * 3))
    Sampler(CHAINS[name], Letters()).sample(logits)


@pytest.mark.parametrize(("name", "numbers"), [("default", 1), ("pure", 1), ("everything", 2)])
def test_every_token_takes_the_same_count_of_random_numbers(
    name: str, numbers: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken, uniform = [], Xoshiro256.uniform
    monkeypatch.setattr(Xoshiro256, "uniform", lambda rng: taken.append(1) or uniform(rng))
    logits = some_logits(9)
    logits[4, 1:] = -np.inf  # one token alone
    drawn(CHAINS[name], logits)
    assert len(taken) == 9 * numbers


FLAT = st.lists(st.integers(-3, 3), min_size=V, max_size=V).map(
    lambda values: np.array(values, np.float32)
)


@given(FLAT)
def test_greedy_is_the_first_maximum(logits: NDArray[np.float32]) -> None:
    assert drawn(Sampling(temperature=0), logits[None]) == [int(logits.argmax())]
    assert drawn(Sampling(top_k=1, temperature=9.0), logits[None]) == [int(logits.argmax())]


def test_greedy_without_its_short_cut_draws_the_same():
    random = np.random.default_rng(5)
    rows = random.normal(size=(50, V)).astype(np.float32).round(1)  # with ties
    rows[3, 7] = -np.inf
    short = Sampling(temperature=0, top_n_sigma=2.0)
    long = replace(short, samplers=(*short.samplers, "typ_p"), typical_p=0.9999999)
    assert drawn(short, rows) == drawn(long, rows) == rows.argmax(axis=1).tolist()


def test_a_temperature_that_is_not_a_stage_is_not_obeyed():
    rows = np.random.default_rng(6).normal(size=(200, V)).astype(np.float32)
    sampling = Sampling(temperature=0, samplers=("top_k",), seed=1)
    assert drawn(sampling, rows) != rows.argmax(axis=1).tolist()


@given(FLAT, st.integers(1, V), st.floats(0.05, 1), st.floats(0, 1), st.integers(0, 2**32))
def test_default_chain_draws_from_what_the_obvious_program_keeps(
    logits: NDArray[np.float32], k: int, mass: float, ratio: float, seed: int
) -> None:
    ranked = sorted(range(V), key=lambda i: (-logits[i], i))[:k]
    p = np.exp(logits[ranked].astype(np.float64))
    p /= p.sum()
    kept = [t for t, before in zip(ranked, np.cumsum(p) - p, strict=True) if before < mass + 1e-9]
    kept = [t for t in kept if math.exp(logits[t] - logits[ranked[0]]) >= ratio - 1e-9]
    sampling = Sampling(top_k=k, top_p=mass, min_p=ratio, seed=seed)
    assert set(drawn(sampling, np.stack([logits] * 5))) <= set(kept)


EXTREMES = {field.name: st.sampled_from([*limits, field.default]) for field, limits in NUMBERS}


@given(
    st.fixed_dictionaries(EXTREMES),
    st.permutations([stage.name for stage in STAGES]),
    st.sampled_from([0.0, 1.0, 3.4e38]),
)
def test_extreme_settings_still_draw_a_token(
    settings: dict[str, float], samplers: list[str], scale: float
) -> None:
    whole = {f.name for f in dataclasses.fields(Sampling) if isinstance(f.default, int)}
    typed: dict[str, Any] = {
        name: int(value) if name in whole else value for name, value in settings.items()
    }
    sampling = Sampling(**typed, samplers=tuple(samplers), seed=1)
    logits = (some_logits(6) / 6 * scale).astype(np.float32)
    assert all(0 <= token < V for token in drawn(sampling, logits))


@given(FLAT, st.floats(0.2, 3), st.integers(0, 2**64 - 1))
def test_frequencies_match_the_softmax(
    logits: NDArray[np.float32], temperature: float, seed: int
) -> None:
    """Over the first 40 numbers of a seed the drawn tokens are where the cumulative sum says."""
    sampling = Sampling(samplers=("temperature",), temperature=temperature, seed=seed)
    p = np.exp(logits.astype(np.float64) / temperature)
    borders, rng = np.cumsum(p / p.sum()), Xoshiro256.seeded(seed)
    for token in drawn(sampling, np.stack([logits] * 40)):
        number = rng.uniform()
        assert borders[token] - p[token] / p.sum() - 1e-9 <= number <= borders[token] + 1e-9
