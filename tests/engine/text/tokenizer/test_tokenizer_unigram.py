"""Unigram vocabularies: the best sum of scores, the map of characters, spaces, unknown runs."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_vocabularies import D, build, character_map, unigram

from lepton_cli.engine.text.messages import Segment
from lepton_cli.engine.text.tokenizer.spellers.best_scores import MANY, BestSum
from quant.errors import ModelFileError

MAP = {
    "\t": " ",
    "\u3000": " ",
    "A": "a",
    "B": "b",
    "e\u0301": "é",
    "ab\u0301": "c",
    "\ufb00": "ab",
    "\u200b": "",
    "x\u0301\u0301": "bc",
}
BLOB = character_map(MAP)
TEXTS = (
    *("", "a", "ab abc", "  a  b ", "abcab", "x", "xx a", "xab xa", "A\tB\u3000c"),
    *("e\u0301e\u0301", "ab\u0301 a\u200bb", "\ufb00", "x\u0301\u0301x\u0301", "▁a", "cabxcab"),
    *(" ", "a "),
)
RECORDED = {  # by llama.cpp; the keys: add_space_prefix, remove_extra_whitespaces
    (True, True): (
        *([], [11], [12, 11, 10], [11, 4, 6], [12, 14], [4, 2], [4, 2, 11], [4, 15, 6, 4, 15]),
        *([11, 4, 6, 4, 7], [4, 8, 8], [4, 7, 12], [12], [4, 10, 2], [4, 11], [4, 14, 2, 14]),
        *([], [11]),
    ),
    (True, False): (
        *([], [11], [12, 11, 10], [4, 4, 11, 4, 4, 6, 4], [12, 14], [4, 2], [4, 2, 11]),
        *([4, 15, 6, 4, 15], [11, 4, 6, 4, 7], [4, 8, 8], [4, 7, 12], [12], [4, 10, 2]),
        *([4, 11], [4, 14, 2, 14], [4], [11, 4]),
    ),
    (False, False): (
        *([], [5], [9, 11, 10], [4, 11, 4, 4, 6, 4], [9, 14], [2], [2, 11], [15, 6, 4, 15]),
        *([5, 4, 6, 4, 7], [8, 8], [7, 12], [9], [10, 2], [11], [14, 2, 14], [4], [5, 4]),
    ),
}


def keys(adds_space: bool = True, merges_spaces: bool = True, **more: Any) -> dict[str, Any]:
    spaces = {"add_space_prefix": adds_space, "remove_extra_whitespaces": merges_spaces}
    return {**unigram(), **spaces, "precompiled_charsmap": BLOB, **more}


@pytest.mark.parametrize("spaces", RECORDED)
def test_ids_are_those_of_llama_cpp(spaces: tuple[bool, bool]) -> None:
    tokenizer = build(keys(*spaces))
    found = [tokenizer.encode(text, add_special=False) for text in TEXTS]
    assert found == list(RECORDED[spaces])


def test_a_text_ends_with_the_end_token_by_default() -> None:
    assert build(keys()).encode("a") == [11, 1]
    assert build(keys(bos_token_id=3, add_bos_token=True)).encode("a") == [3, 11, 1]


@given(text=st.text("abcé▁x", max_size=9))
def test_no_other_way_to_cut_a_text_has_a_better_sum(text: str) -> None:
    tokenizer = build(keys(adds_space=False, merges_spaces=False))
    scores = dict(zip(unigram()["tokens"], unigram()["scores"].tolist(), strict=True))
    unknown = min(scores.values()) - 10

    def best(rest: str) -> float:
        ends = [end for end in range(1, len(rest) + 1) if rest[:end].encode() in scores]
        sums = [scores[rest[:end].encode()] + best(rest[end:]) for end in ends]
        if 1 not in ends and rest:
            sums.append(unknown + best(rest[1:]))
        return max(sums, default=0.0)

    ids = tokenizer.encode(text, add_special=False)
    left = len(text) - sum(len(tokenizer.token_text(token)) for token in ids if token != 2)
    known = sum(scores[tokenizer.texts[token]] for token in ids if token != 2)
    assert known + unknown * left == pytest.approx(best(text))


@given(text=st.text("abcé ", max_size=20))
def test_decode_inverts_encode_where_spaces_stay(text: str) -> None:
    tokenizer = build(keys(adds_space=False, merges_spaces=False))
    ids = tokenizer.encode(text, add_special=False)
    assert tokenizer.decode(ids) == text
    assert b"".join(map(tokenizer.token_bytes, ids)).decode() == text


@given(text=st.text("aAe\u0301xb\u3000", max_size=12))
def test_the_longest_text_of_the_map_is_replaced(text: str) -> None:
    expected, rest = "", text
    while rest:
        found = max((key for key in MAP if rest.startswith(key)), key=len, default="")
        expected, rest = expected + (MAP[found] if found else rest[0]), rest[len(found or "?") :]
    plain = build({**unigram(), "add_space_prefix": False})
    mapped = build(keys(adds_space=False, merges_spaces=False))
    assert mapped.encode(text) == plain.encode(expected)


@settings(max_examples=25)  # each reads a text as long as the whole model takes over
@given(
    texts=st.lists(st.text("abcdé", max_size=9)), scores=st.lists(st.integers(-3, 1), min_size=9)
)
def test_a_short_text_is_cut_as_by_the_model_of_all_tokens(
    texts: list[str], scores: list[int]
) -> None:
    tokens = ("a", "b", "c", "ab", "bc", "abc", "cab", "é", "éa")
    best = BestSum(
        {token: float(score) for token, score in zip(tokens, scores, strict=False)}, -3.0
    )
    alone = [list(best.cut(text)) for text in texts]
    list(best.cut("a" * MANY))
    assert alone == [list(best.cut(text)) for text in texts]


def test_users_text_becomes_no_control_token() -> None:
    tokenizer = build({**unigram(("<mask>", D)), "add_space_prefix": False})
    text = "</s><unk><mask>\ufb00"
    assert set(tokenizer.encode_segments([Segment(text, False)], add_special=False)) <= {2, 5, 6}
    parsed = tokenizer.encode("a</s><mask>", add_special=False, parse_special=True)
    assert parsed == [5, 1, tokenizer.token_id("<mask>")]


@pytest.mark.parametrize(
    "blob",
    [
        b"",
        b"\1",
        BLOB.tobytes()[:400],  # ends within the trie
        BLOB.tobytes().rstrip(b"\0"),  # the last replacement has no end
        BLOB.tobytes().replace(b"ab\0", b"\xff\xfe\0"),  # not UTF-8
    ],
)
def test_a_broken_map_of_characters_is_an_error(blob: bytes) -> None:
    with pytest.raises(ModelFileError, match="precompiled_charsmap is not a map of characters"):
        build(keys(precompiled_charsmap=np.frombuffer(blob, np.uint8)))


@given(data=st.data())
def test_no_damage_of_the_map_crashes(data: st.DataObject) -> None:
    blob = bytearray(BLOB.tobytes())
    for _ in range(data.draw(st.integers(1, 4))):
        blob[data.draw(st.integers(0, len(blob) - 1))] = data.draw(st.integers(0, 255))
    try:
        tokenizer = build(keys(precompiled_charsmap=np.frombuffer(bytes(blob), np.uint8)))
    except ModelFileError:
        return
    tokenizer.encode("".join(TEXTS))


def test_scores_that_are_no_numbers_are_an_error() -> None:
    scores = np.full(99, np.inf)
    with pytest.raises(ModelFileError, match="scores holds a score that is not finite"):
        build({**unigram(), "scores": scores})
