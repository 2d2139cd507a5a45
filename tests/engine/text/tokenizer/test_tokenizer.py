"""Tokenizers built from small vocabularies made here: rules, detokenization, untrusted text."""

import codecs
import re
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from make_gguf import write_model
from tiny_vocabularies import (
    B,
    C,
    D,
    N,
    U,
    best_scores,
    build,
    byte_pairs,
    gemma4,
    longest_matches,
    sentence_pieces,
    unigram,
    vocabulary,
    word_pieces,
)

from lepton_cli.engine.text.messages import Segment
from lepton_cli.engine.text.tokenizer import Tokenizer, build_tokenizer
from lepton_cli.engine.text.tokenizer.spellers.merging import LONG_TEXT, Merger, Merges
from quant.errors import UsageError
from quant.gguf import GGUF

SPECIAL = [("<|im_start|>", C), ("<|im_end|>", C), ("<tool>", D), ("\n\n", D), ("ş", D)]
PARTS = ("<|im_", "start|>", "<", "|im_end|>", "<tool", ">", "tool>", "</s>", "<unk>", "\n", "ş")


SENTENCE = build(sentence_pieces(*SPECIAL))
BYTE_LEVEL = build(byte_pairs(*SPECIAL))
GEMMA = build(gemma4(*SPECIAL))
RWKV = build(longest_matches())
PLAMO = build(best_scores())
UNIGRAM = build({**unigram(), "add_space_prefix": False})
ALL = pytest.mark.parametrize("tokenizer", [SENTENCE, BYTE_LEVEL, GEMMA], ids=["spm", "bpe", "raw"])
MIXED = st.lists(st.one_of(st.sampled_from(PARTS), st.text(max_size=4))).map("".join)


def texts_of(tokenizer: Tokenizer, ids: list[int]) -> list[str]:
    return [tokenizer.token_text(token) for token in ids]


def test_pairs_merge_in_order_of_priority() -> None:
    assert texts_of(SENTENCE, SENTENCE.encode("hello hex")) == ["<s>", "▁hello", "▁he", "x"]
    assert texts_of(BYTE_LEVEL, BYTE_LEVEL.encode("hello hello")) == ["hello", "Ġhello"]
    assert texts_of(GEMMA, GEMMA.encode("hello he")) == ["<bos>", "hello", "▁", "he"]


@given(st.text("abc", max_size=12), st.randoms(use_true_random=False))
def test_the_best_pair_merges_again_and_again(text: str, random: Random) -> None:
    joined = ["ab", "bc", "abc", "aa", "aab", "ca", "cab", "bb", "abab", "cc"]
    scores = {joint: float(random.randrange(5)) for joint in random.sample(joined, 6)}
    tokens = [("<unk>", U), *((token, N) for token in ["a", "b", "c", *scores])]
    keys = {**vocabulary(tokens), "scores": np.array([0.0] * 4 + [*scores.values()])}
    tokenizer = build({"model": "llama", "add_space_prefix": False, **keys})
    expected = list(text)
    while pairs := [
        (-scores[left + right], i)
        for i, (left, right) in enumerate(pairwise(expected))
        if left + right in scores
    ]:
        _, i = min(pairs)
        expected[i : i + 2] = [expected[i] + expected[i + 1]]
    assert texts_of(tokenizer, tokenizer.encode(text, add_special=False)) == expected


@pytest.mark.parametrize(
    ("merges", "texts"),
    [
        ([b"h e", b"e l"], ["he", "l"]),
        ([b"e l", b"h e"], ["h", "el"]),
        ([b"h e", b"e l", b"h e"], ["he", "l"]),  # the first of equals counts
    ],
)
def test_merges_come_in_the_order_of_the_file(merges: list[bytes], texts: list[str]) -> None:
    tokenizer = build({**byte_pairs(("el", N)), "merges": merges})
    assert texts_of(tokenizer, tokenizer.encode("hel")) == texts


LETTERS = st.text("abcé ", min_size=1, max_size=3)


@given(
    pieces=st.lists(st.text("abcéx ", min_size=1, max_size=12), min_size=1),
    pairs=st.lists(st.tuples(LETTERS, LETTERS), max_size=30),
    ignores_merges=st.booleans(),
)
def test_a_piece_alone_is_merged_as_by_the_whole_vocabulary(
    pieces: list[str], pairs: list[tuple[str, str]], ignores_merges: bool
) -> None:
    texts = dict.fromkeys(["a", "b", "c", "é", *(left + right for left, right in pairs)])
    tokens = {text.encode(): token for token, text in enumerate(texts)}
    merges = [f"{left} {right}".encode() for left, right in pairs]
    merger = Merger(tokens, Merges(merges), {}, 1000, ignores_merges)
    apart = [merger.ids(piece) for piece in pieces]
    merger.ids("a" * LONG_TEXT)  # from here on the whole vocabulary merges
    assert apart == [merger.ids(piece) for piece in pieces]


def test_a_token_may_reach_across_a_space() -> None:
    apart, joined = build(sentence_pieces(("▁b", N))), build(sentence_pieces(("a▁", N), ("a▁b", N)))
    assert texts_of(apart, apart.encode("a b", add_special=False)) == ["▁", "a", "▁b"]
    assert texts_of(joined, joined.encode("a b", add_special=False)) == ["▁", "a▁b"]


def test_word_pieces_are_the_longest_from_the_left() -> None:
    tokenizer = build(word_pieces())
    ids = tokenizer.encode("Unaffable, CAFÉ\u200b中文 unknown !")
    words = ["▁un", "aff", "able", "▁,", "▁cafe", "▁中", "▁文", "[UNK]", "▁!"]
    assert texts_of(tokenizer, ids) == ["[CLS]", *words, "[SEP]"]
    assert tokenizer.decode(ids) == "unaffable, cafe 中 文!"
    assert tokenizer.decode(tokenizer.encode("it's")) == "it's"


@ALL
@given(text=MIXED)
def test_decode_inverts_encode(tokenizer: Tokenizer, text: str) -> None:
    text = text.replace("▁", "")
    if tokenizer is SENTENCE:  # a word after a special token gets a space
        text = re.sub("<tool>|\n\n|ş", "a", text)  # what is left must not make them anew
    assert tokenizer.decode(tokenizer.encode(text, add_special=False)) == text


@ALL
def test_streamed_bytes_make_up_characters_split_over_tokens(tokenizer: Tokenizer) -> None:
    ids = tokenizer.encode("hé😀", add_special=False)
    streamed = [tokenizer.token_bytes(token) for token in ids]
    assert b"".join(streamed).decode().strip() == "hé😀"
    assert [part for part in streamed if part.strip()][-4:] == [b"\xf0", b"\x9f", b"\x98", b"\x80"]


@pytest.mark.parametrize(
    ("tokenizer", "alphabet"),
    [(RWKV, None), (PLAMO, None), (BYTE_LEVEL, None), (GEMMA, None), (UNIGRAM, "abcé ▁x")],
    ids=["rwkv", "plamo2", "bpe", "raw", "unigram"],
)
@given(data=st.data())
def test_streamed_bytes_are_the_text(
    tokenizer: Tokenizer, alphabet: str | None, data: st.DataObject
) -> None:
    letters = st.characters(exclude_categories=["Cs"], exclude_characters="\0▁\ufeff")
    text = data.draw(st.text(alphabet or letters, max_size=20)).replace("▁", "").replace("x", "")
    ids = tokenizer.encode_segments([Segment(text, trusted=False)], add_special=False)
    decoder = codecs.getincrementaldecoder("utf-8")()
    pieces = [decoder.decode(tokenizer.token_bytes(token)) for token in ids]
    assert "".join(pieces) + decoder.decode(b"", final=True) == text


@ALL
@given(text=MIXED)
def test_untrusted_text_never_becomes_a_special_token(tokenizer: Tokenizer, text: str) -> None:
    blank_or_letter = {tokenizer.token_id("\n\n"), tokenizer.token_id("ş")}
    ids = tokenizer.encode_segments([Segment(text, trusted=False)], add_special=False)
    assert {tokenizer.token_type(token) for token in set(ids) - blank_or_letter} <= {N, B}


@ALL
@given(parts=st.lists(st.tuples(MIXED, st.booleans())))
def test_segments_without_specials_are_encoded_as_one_text(
    tokenizer: Tokenizer, parts: list[tuple[str, bool]]
) -> None:
    clean = [(text.replace("<", "(").replace("\ud800", ""), trusted) for text, trusted in parts]
    segments = [Segment(text, trusted) for text, trusted in clean]
    whole = tokenizer.encode("".join(text for text, _ in clean), parse_special=True)
    assert tokenizer.encode_segments(segments) == whole


@ALL
@given(text=MIXED, cuts=st.lists(st.integers(0, 40)))
def test_trusted_segments_are_encoded_as_one_text(
    tokenizer: Tokenizer, text: str, cuts: list[int]
) -> None:
    edges = [0, *sorted(min(cut, len(text)) for cut in cuts), len(text)]
    segments = [Segment(text[a:b], True) for a, b in pairwise(edges)]
    assert tokenizer.encode_segments(segments) == tokenizer.encode(text, parse_special=True)


@ALL
def test_special_tokens_are_found_in_trusted_parts_only(tokenizer: Tokenizer) -> None:
    end, tool = tokenizer.token_id("<|im_end|>"), tokenizer.token_id("<tool>")
    parts = [("he", False), ("<|im_end|>", True), ("<tool>", True), ("<tool><|im_end|>", False)]
    parts += [("<|im_", True), ("end|>", False)]
    ids = tokenizer.encode_segments([Segment(*part) for part in parts])
    assert (ids.count(end), ids.count(tool)) == (1, 1)
    assert b"".join(map(tokenizer.token_bytes, ids)).count(b"<|im_end|>") == 2


@ALL
def test_blank_runs_and_letters_that_are_user_defined_are_words(tokenizer: Tokenizer) -> None:
    ids = tokenizer.encode_segments([Segment("h\n", False), Segment("\nş", False)])
    assert ids[-2:] == [tokenizer.token_id("\n\n"), tokenizer.token_id("ş")]
    assert {"\n\n", "ş"}.isdisjoint(tokenizer.special_texts)
    assert {"<|im_start|>", "<|im_end|>", "<tool>"} <= set(tokenizer.special_texts)


@ALL
def test_text_makes_no_token_that_marks_something_without_parse_special(
    tokenizer: Tokenizer,
) -> None:
    text = "<tool><|im_end|>\n\nş"
    ids = tokenizer.encode(text, add_special=False)
    special = {tokenizer.token_id("<tool>"), tokenizer.token_id("<|im_end|>")}
    assert special.isdisjoint(ids)
    assert {tokenizer.token_id("\n\n"), tokenizer.token_id("ş")} <= set(ids)  # these are words
    assert special <= set(tokenizer.encode(text, add_special=False, parse_special=True))


def test_the_longest_special_token_wins_wherever_it_stands() -> None:
    tokenizer = build(byte_pairs(("abc", C), ("bcde", C), ("de", C)))
    ids = tokenizer.encode("abcdeabc", parse_special=True)
    assert texts_of(tokenizer, ids) == ["a", "bcde", "abc"]


def test_phi3_special_tokens_swallow_the_blank_after_them() -> None:
    keys = sentence_pieces(*SPECIAL) | {"general.name": "Phi-3 mini"}
    tokenizer = build(keys)
    with_blank = tokenizer.encode("<|im_end|> \n he", parse_special=True)
    assert texts_of(tokenizer, with_blank) == ["<s>", "<|im_end|>", "▁he"]
    assert len(tokenizer.encode("<s>\nhe", parse_special=True)) == 5  # this one does not


def test_the_mask_swallows_the_blank_before_it() -> None:
    tokenizer = build(byte_pairs(("<mask>", C), pre="jina-v2-code"))
    assert texts_of(tokenizer, tokenizer.encode("a \n<mask> a", parse_special=True)) == [
        *("a", "<mask>", "Ġ", "a"),
    ]


def test_control_tokens_are_seen_only_when_rendered() -> None:
    end, tool = SENTENCE.token_id("<|im_end|>"), SENTENCE.token_id("<tool>")
    assert end is not None
    assert tool is not None
    assert SENTENCE.token_bytes(end) == b""
    assert SENTENCE.token_bytes(end, render_special=True) == b"<|im_end|>"
    assert SENTENCE.token_bytes(tool) == b"<tool>"
    assert SENTENCE.decode([1, end, tool]) == "<tool>"


def test_characters_without_token_are_unknown_or_left_out() -> None:
    keys = {"model": "llama", **vocabulary([("<unk>", U), ("<s>", C), ("</s>", C), ("▁", N)])}
    assert build(keys).encode("é ", add_special=False) == [3, 0, 3]
    keys = {"model": "gpt2", "pre": "gpt-2", **vocabulary([("a", N), ("b", N), ("ab", N)])}
    keys["merges"] = [b"a b"]  # which does not reach across what is left out
    assert build(keys).encode("abaéb", add_special=False) == [2, 0, 1]


def test_tokens_that_sentencepiece_refuses_do_no_harm() -> None:
    odd = ("a\0", "\0", " ", "a b", "a" * 7999, "a" * 8000, "<0x4a>")
    tokenizer = build(sentence_pieces(*((text, N) for text in odd)))
    for text in ("a\0", "j <0x4a>", "a" * 8000):
        assert tokenizer.decode(tokenizer.encode(text, add_special=False)) == text


@pytest.mark.parametrize("kind", [sentence_pieces, gemma4])
def test_bytes_that_are_not_all_there_are_not_used(kind: Callable[[], dict[str, Any]]) -> None:
    whole, partial = kind(), kind()
    partial["token_type"][partial["tokens"].index(b"<0x00>")] = N
    unknown = build(whole).token_id("<unk>")
    assert unknown not in build(whole).encode("hé")
    assert build(partial).encode("hé")[-1] == unknown


@pytest.mark.parametrize(
    ("lowercase", "capitals"),
    [(False, [7]), (True, [15, 17])],  # as llama.cpp has it
)
def test_a_whitespace_vocabulary_leaves_out_blanks(lowercase: bool, capitals: list[int]) -> None:
    special = [("<s>", C), ("</s>", C), ("<unk>", U)]
    tokens = [*special, *((text, N) for text in [*"abcdeè中文国 \n", "ab", "abc", "中国", "de"])]
    merges = {"merges": [b"a b", b"ab c", "中 国".encode(), b"d e"]}
    keys = {"model": "whitespace", "pre": "whitespace", **vocabulary(tokens), **merges}
    tokenizer = build({**keys, "tokenizer.ggml.normalizer.lowercase": lowercase})
    texts = ("abc de", "  ab\n\ncd", "中国中文 abc", "x abc y", "aé\u3000b\tc", "a\u2028b \x85 c")
    found = [tokenizer.encode(text, add_special=False) for text in texts]
    assert found == [[15, 17], [14, 5, 6], [16, 9, 10, 15], [15], [3, 4, 5], [3, 4, 5]]
    assert tokenizer.encode("ABC De", add_special=False) == capitals


def test_dna_has_a_token_for_each_six_bases() -> None:
    bases = ("ACGTAC", "GTAAAA", "CCCCCC")
    marked = [(f"{six}\ue000", N) for six in bases]
    keys = byte_pairs(*((text, N) for text in ("<dna>", "</dna>", "<oov>", "CCCCCC")), *marked)
    tokenizer = build({**keys, "model": "hybriddna"})
    first = keys["tokens"].index(b"<dna>")
    begin, end, other, _, one, two, three = range(first, first + 7)
    for text, ids in {  # as llama.cpp has them
        "<dna>ACGTAC</dna>": [begin, one, end],
        "<dna>acgtacgt": [begin, one, two],
        "<dna></dna>": [begin, end],
        "<dna>ACGTNNACGTAC</dna><dna>CCCCCCé</dna>": [
            *(begin, other, one, end),
            *(begin, three, other, end),
        ],
        "<dna>A\n</dna><dna>\n": [begin, other, end, begin, other],
    }.items():
        assert tokenizer.encode(text, add_special=False) == ids
    text = "hello <dna>ACGTAC</dna> hello CCCCCC</dna>"
    assert tokenizer.decode(tokenizer.encode(text, add_special=False)) == text
    plain = build({**byte_pairs(), "model": "hybriddna"}).encode("<dna>A", add_special=False)
    assert plain == build(byte_pairs()).encode("<dna>A", add_special=False)


def test_text_without_utf8_form_is_refused() -> None:
    with pytest.raises(UsageError, match="lone surrogate at character 1"):
        SENTENCE.encode("a\ud800")


@pytest.mark.parametrize("token", [-1, SENTENCE.vocab_size])
def test_ids_outside_the_vocabulary_are_refused(token: int) -> None:
    for call in (SENTENCE.token_bytes, SENTENCE.token_text, SENTENCE.token_type):
        with pytest.raises(UsageError, match=f"no token {token}"):
            call(token)
    with pytest.raises(UsageError):
        SENTENCE.decode([token])


@ALL
def test_long_words_take_no_quadratic_time(tokenizer: Tokenizer) -> None:
    text = "he" * 20_000
    assert tokenizer.decode(tokenizer.encode(text, add_special=False)) == text


@pytest.mark.parametrize("preset", ["llama", "gpt2"])
def test_a_written_file_has_a_tokenizer(tmp_path: Path, preset: str) -> None:
    tokenizer = build_tokenizer(GGUF.open(write_model(tmp_path / "a.gguf", preset)).metadata)
    ids = tokenizer.encode("the world<|im_end|>", parse_special=True)
    assert tokenizer.decode(ids) == "the world"
    assert ids[-1] in tokenizer.end_of_generation
    assert tokenizer.notes == ()


def test_rwkv_takes_the_longest_token_each_time() -> None:
    tokenizer = RWKV
    ids = tokenizer.encode("hell hello\n\n\t\\ 中ä<s>", add_special=False)
    assert texts_of(tokenizer, ids) == [
        *("he", "l", "l", " ", "hello", r"\n\n", r"\t", "\\\\", " ", r"\xe4\xb8\xad"),
        *(r"\xc3", r"\xa4", "<", "s", ">"),
    ]
    assert tokenizer.decode(ids) == "hell hello\n\n\t\\ 中ä<s>"
    assert tokenizer.token_bytes(ids[10]) == b"\xc3"


@given(text=st.text(max_size=30))
def test_rwkv_tokens_give_back_any_text(text: str) -> None:
    assert RWKV.decode(RWKV.encode(text, add_special=False)) == text.replace("\0", "")


def test_rwkv_bytes_that_begin_no_token_are_unknown() -> None:
    assert RWKV.encode("\0a", add_special=False) == RWKV.encode("a", add_special=False)
    known = build(longest_matches(("<unk>", U)) | {"unknown_token_id": 261})
    assert texts_of(known, known.encode("\0a", add_special=False)) == ["<unk>", "a"]


def test_rwkv_escapes_that_name_no_byte_stand_for_themselves() -> None:
    tokenizer = build(longest_matches((r"\xzz", N), (r"\q", N), ("ends\\", N)))
    assert [tokenizer.token_bytes(token) for token in (261, 262, 263)] == [b"xzz", b"q", b"ends\\"]


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("abc", ["abc"]),  # 5 is as good as ab, c: the longer token first
        ("abcab", ["ab", "cab"]),  # 3 in all
        ("bcab", ["b", "cab"]),
        ("cc", ["cc"]),
        ("a 中b", ["a", " ", "中", "b"]),
        ("aä", ["a", "<0xC3>", "<0xA4>"]),
        ("\ufeffa", ["a"]),
        ("<|plamo:eos|>", [f"<0x{byte:02X}>" for byte in b"<|pl"] + ["a"]),
    ],
)
def test_plamo_takes_the_best_sum_of_scores(text: str, tokens: list[str]) -> None:
    ids = PLAMO.encode(text, add_special=False)
    assert texts_of(PLAMO, ids)[: len(tokens)] == tokens
    assert PLAMO.decode(ids) == text.removeprefix("\ufeff")


@given(text=st.text("abc ä中", max_size=9))
def test_no_other_way_to_cut_a_text_has_a_better_sum(text: str) -> None:
    scores = dict(zip(best_scores()["tokens"], best_scores()["scores"].tolist(), strict=True))

    def best(rest: str) -> float:
        if not rest:
            return 0.0
        sums = [best(rest[1:]) - 1000]
        for end in range(1, len(rest) + 1):
            if (piece := rest[:end].encode()) in scores:
                sums.append(scores[piece] + best(rest[end:]))
        return max(sums)

    tokens = texts_of(PLAMO, PLAMO.encode(text, add_special=False))
    known = sum(scores[token.encode()] for token in tokens if not token.startswith("<0x"))
    assert known - 1000 * text.count("ä") == pytest.approx(best(text))
