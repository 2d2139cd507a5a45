"""Penalties and DRY on small cases worked out by hand, and against slow and obvious programs."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from lepton_cli.engine.sampling.candidates import Candidates
from lepton_cli.engine.sampling.penalties import (
    Breakers,
    penalize,
    penalize_repeats,
    repeat_lengths,
)

PIECES = [b"a", b"b", b"c", b"\n", b"x\ny", b"<", b"br", b">", b"<br", b">!", b"\xc3", b"\xa9"]
FEW_TOKENS = st.lists(st.integers(0, 3), max_size=40)


def all_of(*logits: float) -> Candidates:
    return Candidates(np.arange(len(logits), dtype=np.int32), np.array(logits, dtype=np.float64))


def window(*tokens: int) -> NDArray[np.int32]:
    return np.array(tokens, dtype=np.int32)


def broken_by(*texts: str, after: tuple[int, ...] = ()) -> Breakers:
    breakers = Breakers(texts, PIECES.__getitem__)
    for token in after:
        breakers.accept(token)
    return breakers


def test_penalties_work_by_factor_by_count_and_by_presence() -> None:
    lowered = penalize(all_of(4, -4, 4, 0), window(2, 1, 2, 3), 2.0, 0.25, 1.0)
    assert lowered.logits.tolist() == [4, -8 - 0.25 - 1, 2 - 0.5 - 1, 0 - 0.25 - 1]


def test_penalties_pass_over_tokens_that_are_not_candidates() -> None:
    few = Candidates(window(3, 8), np.array([1.0, 2.0]))
    assert penalize(few, window(0, 8, 9, 8), 1.0, 1.0, 0.0).logits.tolist() == [1, 0]


@given(
    st.lists(st.floats(-20, 20), min_size=4, max_size=4),
    FEW_TOKENS,
    st.floats(0.1, 3),
    st.floats(-2, 2),
    st.floats(-2, 2),
)
def test_penalties_equal_the_obvious_program(
    logits: list[float], tokens: list[int], repeat: float, frequency: float, presence: float
) -> None:
    expected = list(logits)
    for token, count in Counter(tokens).items():
        scaled = logits[token] * repeat if logits[token] <= 0 else logits[token] / repeat
        expected[token] = scaled - count * frequency - presence
    lowered = penalize(all_of(*logits), window(*tokens), repeat, frequency, presence)
    np.testing.assert_allclose(lowered.logits, expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(
    ("texts", "tokens", "since"),
    [
        ((), [0, 3, 0], 3),
        (("\n",), [], 0),
        (("\n",), [0, 1], 2),
        (("\n",), [0, 3, 0, 1], 2),
        (("\n",), [0, 4, 0], 1),  # inside a token
        (("\n",), [0, 3], 0),
        (("<br>",), [5, 6, 7, 0], 1),  # three tokens
        (("<br>",), [8, 9, 0], 1),  # two tokens, and it ends inside the second
        (("<br>",), [8, 0, 7], 3),
        (("é",), [0, 10, 11, 0, 0], 2),  # half a character each
        (("aa",), [0, 0, 0], 0),
        (("<br>", "a"), [0, 8, 9, 1], 1),
    ],
)
def test_breakers_are_found_in_the_text(
    texts: tuple[str, ...], tokens: list[int], since: int
) -> None:
    assert broken_by(*texts, after=tuple(tokens)).since == since


def slow_since(text: bytes, tokens: list[int]) -> int:
    """Tokens after the one that holds the last byte of the text's last occurrence."""
    start = b"".join(PIECES[token] for token in tokens).rfind(text)
    ends = np.cumsum([len(PIECES[token]) for token in tokens])
    return int((ends > start + len(text) - 1).sum()) - 1 if start >= 0 else len(tokens)


@given(
    st.sampled_from(["\n", "<br>", "ab", "y<", "<br>!"]),
    st.lists(st.integers(0, len(PIECES) - 1), min_size=1, max_size=30),
)
def test_breakers_equal_the_obvious_program(text: str, tokens: list[int]) -> None:
    assert broken_by(text, after=tuple(tokens)).since == slow_since(text.encode(), tokens)


@pytest.mark.parametrize(
    ("tokens", "shortest", "longest", "lengths"),
    [
        ([], 1, 9, {}),
        ([1], 1, 9, {}),
        ([1, 2, 3, 1, 2], 2, 9, {3: 2}),
        ([1, 2, 3, 1, 2], 3, 9, {}),
        ([1, 2, 3, 1, 2], 1, 1, {3: 1}),
        ([5, 1, 2, 4, 2, 3, 5, 1, 2], 1, 9, {4: 3, 3: 1}),
        ([1, 2, 3, 0, 2, 3, 0, 1, 2], 1, 9, {3: 2}),  # of two copies the longest counts
        ([7, 7, 7, 7], 1, 9, {7: 3}),  # copies overlap
        ([1, 2, 1], 0, 9, {1: 0, 2: 1}),
    ],
)
def test_repeats_are_measured(
    tokens: list[int], shortest: int, longest: int, lengths: dict[int, int]
) -> None:
    assert repeat_lengths(window(*tokens), shortest, longest) == lengths


def slow_lengths(tokens: list[int], shortest: int, longest: int) -> dict[int, int]:
    lengths: dict[int, int] = {}
    for at in range(1, len(tokens)):
        length = 0
        while length < at and tokens[at - 1 - length] == tokens[len(tokens) - 1 - length]:
            length += 1
        length = min(length, longest)
        if length >= shortest:
            lengths[tokens[at]] = max(length, lengths.get(tokens[at], 0))
    return lengths


@given(FEW_TOKENS, st.integers(0, 4), st.integers(0, 12))
def test_repeats_equal_the_obvious_program(tokens: list[int], shortest: int, longest: int) -> None:
    expected = slow_lengths(tokens, shortest, longest)
    assert repeat_lengths(window(*tokens), shortest, longest) == expected


def test_dry_grows_with_the_length_of_the_repeat() -> None:
    said = (0, 1, 2, 8, 1, 2, 9, 0, 1, 2)
    lowered = penalize_repeats(all_of(*[0.0] * 10), window(*said), broken_by(after=said), 0.5, 2, 2)
    assert lowered.logits.tolist() == [0, 0, 0, 0, 0, 0, 0, 0, -1, -0.5]


@pytest.mark.parametrize(("breakers", "penalty"), [((), 4), (("\n",), 2), (("b",), 0)])
def test_dry_reaches_across_no_breaker(breakers: tuple[str, ...], penalty: float) -> None:
    said = (3, 1, 2, 8, 3, 1, 2)  # three tokens are repeated; the first is \n, the second b
    seen = broken_by(*breakers, after=said)
    lowered = penalize_repeats(all_of(*[0.0] * 10), window(*said), seen, 2.0, 2, 2)
    assert lowered.logits.tolist() == [0, 0, 0, 0, 0, 0, 0, 0, -penalty, 0]


def test_dry_spares_tokens_that_hold_a_breaker() -> None:
    said = (0, 1, 4, 0, 1)  # the token that would repeat is x\ny
    free = penalize_repeats(all_of(*[0.0] * 5), window(*said), broken_by(after=said), 1, 2, 2)
    spared = penalize_repeats(
        all_of(*[0.0] * 5), window(*said), broken_by("\n", after=said), 1, 2, 2
    )
    assert free.logits.tolist() == [0, 0, 0, 0, -1]
    assert spared.logits.tolist() == [0] * 5


@pytest.mark.parametrize(("base", "penalty"), [(2.0, 2.0**127), (1.0, 1.0), (3e38, 3e38)])
def test_dry_never_overflows(base: float, penalty: float) -> None:
    said = (0,) * 400
    lowered = penalize_repeats(all_of(0, 0), window(*said), broken_by(after=said), 1.0, base, 2)
    assert lowered.logits.tolist() == [-penalty, 0]
