"""The merges of byte-pair encoding, found by a search of digests, are those of a dictionary."""

import random

import numpy as np
import pytest
from tiny_vocabularies import metadata, strings

from lepton_cli.engine.text.tokenizer.spellers import merging as module
from lepton_cli.engine.text.tokenizer.spellers.merging import MERGES, Merges, read_merges
from quant.errors import ModelFileError

LETTERS = ["a", "b", "Ġ", "é", "▁", "\U0001f600", "xyz"]


def read(texts: list[bytes]) -> Merges:
    return read_merges(metadata({MERGES: strings(texts)}))


def some_pairs(count: int, seed: int) -> list[bytes]:
    """Of 3 to 60 bytes; many begin and end alike, and some are there twice."""
    draw = random.Random(seed)

    def side() -> str:
        return "".join(draw.choices(LETTERS, k=draw.choice([1, 1, 2, 3, 8])))

    pairs = [f"{side()} {side()}".encode() for _ in range(count)]
    return pairs + draw.sample(pairs, count // 10)


@pytest.mark.parametrize("seed", range(5))
def test_a_search_finds_the_ranks_of_a_dictionary(seed):
    texts = some_pairs(400, seed)
    first = {text: rank for rank, text in reversed(list(enumerate(texts)))}
    asked = {*texts, *some_pairs(200, seed + 100), b"a b", b"", b"x" * 100}
    found = read(texts).ranks(asked)
    assert found == {pair: first[pair] for pair in asked if pair in first}
    assert len(found) > 300


def test_equal_digests_are_told_apart():
    same_ends = [b"12345678 " + middle + b" 87654321" for middle in (b"a", b"b", b"c")]
    merges = read([*same_ends, same_ends[0]])
    assert merges.ranks(same_ends) == {text: rank for rank, text in enumerate(same_ends)}
    assert merges.ranks([b"12345678 x 87654321"]) == {}


def test_after_many_pairs_a_dictionary_answers_alike(monkeypatch):
    texts = some_pairs(300, 1)
    merges = read(texts)
    before = merges.ranks(set(texts))
    monkeypatch.setattr(module, "MANY", 0)
    assert merges.ranks(set(texts)) == before and "_all" in vars(merges)


@pytest.mark.parametrize(
    ("texts", "told"),
    [
        ([b"a b", b"ab"], "b'ab'"),
        ([b"a b", b""], "b''"),
        ([b"a \xc3", b"\xa9 b"], "not UTF-8"),
        ([b"a b", b"a \xff"], "not UTF-8"),
        ([b"a b", b"a " + b"b" * 9000], "9002 bytes"),
    ],
)
def test_what_is_no_pair_is_refused(texts, told):
    with pytest.raises(ModelFileError, match=told):
        read(texts)


def test_a_pair_may_hold_a_zero_byte():
    texts = [b"a b", b"\0 a", b"a \0b"]
    assert read(texts).ranks(texts) == {text: rank for rank, text in enumerate(texts)}


def test_no_merges_are_none():
    assert read([]).ranks([b"a b"]) == {} and Merges([]).ranks([b"a b"]) == {}
    assert read_merges(metadata({})).texts == []


def test_strings_lie_flat_without_their_lengths():
    flat, starts = strings([b"ab", b"", b"\xc3\xa9", b"c" * 300]).flat()
    assert flat.tobytes() == b"ab\xc3\xa9" + b"c" * 300
    np.testing.assert_array_equal(starts, [0, 2, 2, 4, 304])
