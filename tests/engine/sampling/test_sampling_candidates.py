"""Each way to narrow or reshape the candidates, on arrays small enough to work out by hand."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lepton_cli.engine.sampling.candidates import (
    Candidates,
    apply_temperature,
    dynamic_temperature,
    min_p,
    top_k,
    top_n_sigma,
    top_p,
    typical,
    xtc,
)

HALVES = (0.5, 0.25, 0.125, 0.0625, 0.0625)  # 1, 2, 3, 4 and 4 bits; the entropy is 1.875 bits


def of_logits(*logits: float) -> Candidates:
    return Candidates(np.arange(len(logits), dtype=np.int32), np.array(logits, dtype=np.float64))


def of_p(*p: float) -> Candidates:
    return of_logits(*np.log(p))


def ids(candidates: Candidates) -> list[int]:
    return candidates.ids.tolist()


def test_probabilities_surprises_and_entropy_belong_together() -> None:
    candidates = of_p(*HALVES)
    np.testing.assert_allclose(candidates.probabilities(), HALVES)
    np.testing.assert_allclose(candidates.surprises() / np.log(2), [1, 2, 3, 4, 4])
    assert candidates.entropy() == pytest.approx(1.875 * np.log(2))


def test_hopeless_tokens_do_not_break_the_entropy() -> None:
    assert of_logits(0, -1e30, -1e6).entropy() == 0


@given(
    st.lists(st.integers(-4, 4), min_size=1, max_size=300),
    st.integers(1, 320),
)
def test_likeliest_are_in_order_of_rank_and_ties_in_order_of_id(
    logits: list[int], count: int
) -> None:
    ranked = sorted(range(len(logits)), key=lambda i: (-logits[i], i))[:count]
    assert of_logits(*logits).likeliest(count).tolist() == ranked


@pytest.mark.parametrize(
    ("count", "kept"), [(1, [1]), (2, [1, 3]), (3, [1, 3, 4]), (5, [0, 1, 2, 3, 4]), (9, range(5))]
)
def test_top_k_breaks_ties_by_id(count: int, kept: list[int]) -> None:
    assert ids(top_k(of_logits(0.5, 3, 0, 2, 2), count)) == list(kept)


@pytest.mark.parametrize(
    ("mass", "min_keep", "kept"),
    [
        (0.0, 0, [0]),
        (0.49, 0, [0]),
        (0.51, 0, [0, 1]),
        (0.76, 0, [0, 1, 2]),
        (0.93, 0, [0, 1, 2, 3]),
        (0.51, 4, [0, 1, 2, 3]),
    ],
)
def test_top_p_keeps_the_token_that_crosses(mass: float, min_keep: int, kept: list[int]) -> None:
    assert ids(top_p(of_p(*HALVES), mass, min_keep)) == kept


def test_top_p_is_right_where_thousands_are_kept() -> None:
    p = np.random.default_rng(0).dirichlet(np.full(5000, 5.0))
    order = np.argsort(-p, kind="stable")
    count = int(np.count_nonzero(np.cumsum(p[order]) < 0.9)) + 1
    assert count > 1000
    assert ids(top_p(of_p(*p), 0.9, 0)) == sorted(order[:count].tolist())


@pytest.mark.parametrize(
    ("ratio", "min_keep", "kept"),
    [(1.0, 0, [1]), (0.6, 0, [1]), (0.4, 0, [0, 1]), (0.25, 0, [0, 1, 2]), (0.6, 3, [0, 1, 2])],
)
def test_min_p_is_relative_to_the_likeliest(ratio: float, min_keep: int, kept: list[int]) -> None:
    assert ids(min_p(of_p(0.25, 0.5, 0.15, 0.1), ratio, min_keep)) == kept


@pytest.mark.parametrize(
    ("mass", "min_keep", "kept"),
    [
        (0.0, 0, [1]),
        (0.2, 0, [1]),  # 2 bits are nearest to 1.875
        (0.3, 0, [0, 1]),
        (0.8, 0, [0, 1, 2]),
        (0.9, 0, [0, 1, 2, 3]),
        (0.2, 3, [0, 1, 2]),
    ],
)
def test_typical_keeps_what_surprises_as_expected(
    mass: float, min_keep: int, kept: list[int]
) -> None:
    assert ids(typical(of_p(*HALVES), mass, min_keep)) == kept


@pytest.mark.parametrize(
    ("n", "kept"), [(1.0, [3]), (2.0, [2, 3]), (2.5, [0, 2, 3]), (3.0, [0, 1, 2, 3])]
)
def test_top_n_sigma_measures_from_the_top(n: float, kept: list[int]) -> None:
    # mean 2, deviations -2 -4 0 6: sigma is the root of 14, 3.74; the others lie 8, 10 and 6 below
    assert ids(top_n_sigma(of_logits(0, -2, 2, 8), n)) == kept


@pytest.mark.parametrize(
    ("p", "threshold", "min_keep", "kept"),
    [
        ((0.4, 0.1, 0.2, 0.3), 0.15, 0, [1, 2]),
        ((0.4, 0.1, 0.2, 0.3), 0.25, 0, [1, 2, 3]),
        ((0.4, 0.1, 0.2, 0.3), 0.35, 0, [0, 1, 2, 3]),  # one alone above stays
        ((0.4, 0.1, 0.2, 0.3), 0.45, 0, [0, 1, 2, 3]),
        ((0.4, 0.1, 0.2, 0.3), 0.15, 2, [1, 2]),
        ((0.4, 0.1, 0.2, 0.3), 0.15, 3, [0, 1, 2, 3]),  # it would leave too few
        ((0.1, 0.3, 0.3, 0.3), 0.2, 0, [0, 3]),
    ],
)
def test_xtc_leaves_the_last_of_the_tokens_above(
    p: tuple[float, ...], threshold: float, min_keep: int, kept: list[int]
) -> None:
    assert ids(xtc(of_p(*p), threshold, min_keep)) == kept


def test_temperature_divides_the_logits() -> None:
    assert apply_temperature(of_logits(1, 2, -4), 0.5).logits.tolist() == [2, 4, -8]


@pytest.mark.parametrize("temperature", [0.0, -1.0, 1e-300])
def test_no_temperature_leaves_the_likeliest_with_the_lowest_id(temperature: float) -> None:
    assert ids(apply_temperature(of_logits(1, 3, 3, 2), temperature)) == [1]


@pytest.mark.parametrize(
    ("p", "exponent", "temperature"),
    [
        ((0.25, 0.25, 0.25, 0.25), 1.0, 1.5),
        ((0.5, 0.25, 0.125, 0.125), 1.0, 1.375),  # 1.75 of 2 bits: 0.5 + 0.875
        ((0.5, 0.25, 0.125, 0.125), 2.0, 1.265625),
        ((0.5, 0.25, 0.125, 0.125), 0.0, 1.5),
        ((1.0, 1e-300), 1.0, 0.5),
    ],
)
def test_dynamic_temperature_follows_the_entropy(
    p: tuple[float, ...], exponent: float, temperature: float
) -> None:
    candidates = of_p(*p)
    hot = dynamic_temperature(candidates, 1.0, 0.5, exponent)
    np.testing.assert_allclose(hot.logits, candidates.logits / temperature)


def test_dynamic_temperature_may_reach_0_and_leaves_a_single_token_alone() -> None:
    assert ids(dynamic_temperature(of_logits(0, 900), 0.5, 0.7, 1.0)) == [1]
    assert dynamic_temperature(of_logits(3), 0.5, 0.2, 1.0).logits.tolist() == [3]
