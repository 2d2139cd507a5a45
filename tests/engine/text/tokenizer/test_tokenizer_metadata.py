"""Tokenizers and their metadata: roles of tokens, what is noted, and files that are broken."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_vocabularies import (
    C,
    N,
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
from quant.errors import ModelFileError

ROLES = ("bos_token_id", "eos_token_id", "unknown_token_id", "cls_token_id", "fim_pad_token_id")
FLAGS = ("add_bos_token", "add_eos_token", "add_space_prefix")
KEYS = ("model", "pre", "tokens", "token_type", "scores", "merges", *ROLES, *FLAGS, "general.name")
KINDS = {
    "llama": sentence_pieces,
    "gpt2": byte_pairs,
    "gemma4": gemma4,
    "bert": word_pieces,
    "t5": unigram,
    "rwkv": longest_matches,
    "plamo2": best_scores,
}


def ends(*texts: str, **keys: Any) -> set[str]:
    """The texts that end an answer in a vocabulary of these normal tokens."""
    tokenizer = build({**byte_pairs(*((text, N) for text in texts)), **keys})
    return {tokenizer.token_text(token) for token in tokenizer.end_of_generation}


@pytest.mark.parametrize(
    ("keys", "before", "after"),
    [
        (sentence_pieces(), [1], []),
        ({**sentence_pieces(), "add_bos_token": False, "add_eos_token": True}, [], [2]),
        ({**sentence_pieces(), "bos_token_id": 5, "eos_token_id": 6}, [5], []),
        (byte_pairs(), [], []),
        ({**byte_pairs(), "add_bos_token": True}, [], []),  # there is no BOS to add
        ({**byte_pairs(), "add_bos_token": True, "bos_token_id": 7}, [7], []),
        ({**byte_pairs(pre="llama-bpe"), "bos_token_id": 7}, [7], []),
        ({**byte_pairs(pre="llama-bpe"), "bos_token_id": 7, "add_bos_token": False}, [], []),
        ({**byte_pairs(pre="glm4"), "add_bos_token": True}, [], []),
        ({**gemma4(), "add_bos_token": False}, [2], []),
        ({**word_pieces(), "add_bos_token": False}, [2], [3]),
    ],
)
def test_what_goes_around_a_text(keys: dict[str, Any], before: list[int], after: list[int]) -> None:
    tokenizer = build(keys)
    inside = tokenizer.encode("he", add_special=False)
    assert tokenizer.encode("he") == [*before, *inside, *after]
    assert (tokenizer.adds_bos, tokenizer.adds_eos) == (bool(before), bool(after))
    assert tokenizer.encode("") == [*before, *after]


def test_falcons_default_end_counts_only_where_it_is_a_control_token() -> None:
    tokens = [(f"t{i}", N) for i in range(11)]
    for kind, end in ((C, 11), (N, None)):
        tokenizer = build({"model": "gpt2", "pre": "falcon", **vocabulary([*tokens, ("x", kind)])})
        assert (tokenizer.bos, tokenizer.eos) == (end, end)


def test_ends_are_found_by_role_and_by_text() -> None:
    assert ends() == set()
    assert ends("<|im_end|>", "<end_of_turn>", "<other>") == {"<|im_end|>", "<end_of_turn>"}
    assert ends(eos_token_id=0, eot_token_id=1, eom_token_id=2) == {"Ā", "ā", "Ă"}
    assert ends("<|fim_pad|>", "<|file_sep|>", "<|fim_prefix|>") == {"<|fim_pad|>", "<|file_sep|>"}
    assert ends("<|fim_pad|>", fim_pad_token_id=0) == {"Ā"}


def test_some_ends_only_end_a_part_of_an_answer() -> None:
    assert ends("<|return|>", "<|call|>", "<|end|>") == {"<|return|>", "<|call|>"}
    assert ends("<|flush|>", "<|calls|>", "<|end|>") == {"<|flush|>", "<|calls|>"}
    assert ends("<|return|>", "<|end|>") == {"<|return|>", "<|end|>"}
    assert ends("<|tool_response>", "</s>") == {"<|tool_response>"}


def test_types_are_corrected_by_text() -> None:
    more = [("<|channel|>", C), ("</s>", N), ("<unused1>", C), ("<x>", C)]
    tokenizer = build(byte_pairs(*more))
    types = {text: tokenizer.token_type(tokenizer.token_id(text) or 0).name for text, _ in more}
    assert types["<|channel|>"] == "USER_DEFINED"
    assert (types["</s>"], types["<unused1>"], types["<x>"]) == ("CONTROL", "CONTROL", "CONTROL")


@pytest.mark.parametrize(
    ("more", "text", "expected"),
    [
        (("<|tool_response>", "</s>"), "</s>", "NORMAL"),  # Gemma 4: crossed out in HTML
        (("<|plamo:eos|>", "</s>"), "</s>", "NORMAL"),
        (("<|call|>", "<|return|>", "<|end|>"), "<|end|>", "USER_DEFINED"),
        (("<|end|>",), "<|end|>", "CONTROL"),
        (("<｜fim▁hole｜>",), "<｜fim▁hole｜>", "CONTROL"),
        (("<fim_prefix>",), "<fim_prefix>", "CONTROL"),
        (("[PAD]",), "[PAD]", "CONTROL"),
    ],
)
def test_types_are_those_of_llama_cpp(more: tuple[str, ...], text: str, expected: str) -> None:
    tokenizer = build(byte_pairs(*((name, N) for name in more)))
    assert tokenizer.token_type(tokenizer.token_id(text) or 0).name == expected


def test_fill_tokens_that_the_file_names_leave_others_as_they_are() -> None:
    tokenizer = build({**byte_pairs(("<PRE>", N), ("<MID>", N)), "fim_pre_token_id": 0})
    types = [tokenizer.token_type(tokenizer.token_id(text) or 0) for text in ("<PRE>", "<MID>")]
    assert types == [N, C]


def test_types_that_are_odd_count_as_normal() -> None:
    keys = byte_pairs()
    keys["token_type"] = np.full(len(keys["tokens"]), 77, np.int32)
    assert build(keys).encode("hello") == build(byte_pairs()).encode("hello")


def test_an_empty_text_is_named_after_its_id() -> None:
    assert (
        build(byte_pairs(("", N))).token_text(build(byte_pairs()).vocab_size).startswith("[EMPTY_")
    )


@pytest.mark.parametrize(
    ("keys", "note"),
    [
        ({**byte_pairs(), "pre": None}, "no tokenizer.ggml.pre"),
        ({**byte_pairs(), "pre": "new\x1b"}, r"tokenizer.ggml.pre is 'new\\x1b', which is unknown"),
        ({**byte_pairs(), "merges": None}, "no tokenizer.ggml.merges"),
        ({**byte_pairs(), "token_type": None}, "no tokenizer.ggml.token_type"),
        ({**sentence_pieces(), "scores": None}, "no tokenizer.ggml.scores"),
        ({**sentence_pieces(), "eos_token_id": 4294967295}, "eos_token_id is 4294967295, outside"),
        ({**sentence_pieces(), "padding_token_id": 4294967295}, None),
    ],
)
def test_what_a_file_leaves_open_is_noted(keys: dict[str, Any], note: str | None) -> None:
    tokenizer = build({key: value for key, value in keys.items() if value is not None})
    assert len(tokenizer.notes) == (note is not None)
    assert (note or "").replace("\\\\", "\\") in "".join(tokenizer.notes)
    assert tokenizer.decode(tokenizer.encode("hello")) == "hello"


@pytest.mark.parametrize("model", ["none", "no_vocab", None])
def test_a_file_without_tokenizer_says_so(model: str | None) -> None:
    with pytest.raises(ModelFileError, match="the file has no tokenizer") as caught:
        build({} if model is None else {"model": model})
    assert "token ids" in (caught.value.hint or "")


@pytest.mark.parametrize("model", ["tiktoken", "nonsense\x1b[2J"])
def test_other_models_are_named(model: str) -> None:
    with pytest.raises(ModelFileError) as caught:
        build({**byte_pairs(), "model": model})
    assert f"the key tokenizer.ggml.model is {model!r}" in caught.value.message
    assert "gpt2" in (caught.value.hint or "")


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({**byte_pairs(), "tokens": []}, "tokens holds no tokens"),
        ({**byte_pairs(), "tokens": "abc"}, "tokens should be an array of strings"),
        ({**byte_pairs(), "tokens": np.arange(3)}, "tokens should be an array of strings"),
        ({"model": "gpt2"}, "tokens is missing"),
        (byte_pairs(("x<", N), ("x<", C)), "tokens holds b'x<' twice, as tokens 273 and 274"),
        (
            {**byte_pairs(), "tokens": [b"a", b"\xff\xfe"]},
            r"tokens holds b'\\xff', which is not UTF",
        ),
        ({**byte_pairs(), "token_type": np.ones(3)}, "token_type holds 3 numbers for 273 tokens"),
        ({**byte_pairs(), "token_type": [b"x"]}, "token_type should be an array of numbers"),
        ({**byte_pairs(), "merges": [b"a b", b"ab"]}, "merges holds b'ab', which is not a pair"),
        ({**byte_pairs(), "merges": 5}, "merges should be an array of strings"),
        ({**byte_pairs(), "merges": [b"a \xc3"]}, r"merges holds b'a \\xc3', which is not UTF-8"),
        ({**byte_pairs(), "pre": 5}, "pre should be a string"),
        ({**byte_pairs(), "model": 5}, "model should be a string"),
        ({**byte_pairs(), "eos_token_id": "x"}, "eos_token_id should be an integer"),
        ({**byte_pairs(), "add_bos_token": 1}, "add_bos_token should be true or false"),
        ({**byte_pairs(), "general.name": 1}, "general.name should be a string"),
        ({**sentence_pieces(), "scores": np.zeros(9)}, "scores holds 9 numbers for"),
        ({**sentence_pieces(), "scores": np.full(999, np.nan)}, "scores holds a NaN"),
        (
            {**sentence_pieces(), "add_space_prefix": "x"},
            "add_space_prefix should be true or false",
        ),
        ({**word_pieces(), "tokenizer.ggml.normalizer.lowercase": 2}, "lowercase should be true"),
    ],
)
def test_broken_metadata_is_an_error_that_names_the_key(keys: dict[str, Any], message: str) -> None:
    with pytest.raises(ModelFileError, match=message) as caught:
        build(keys)
    assert caught.value.message.startswith("tiny.gguf: ")
    assert "\n" not in caught.value.message


numbers = st.lists(st.integers(-(2**31), 2**31 - 1), max_size=300)
values = st.one_of(
    *(st.none(), st.booleans(), st.integers(-(2**63), 2**64 - 1), st.floats(), st.text()),
    *(st.lists(st.binary(max_size=6), max_size=8), numbers.map(np.array)),
)
texts = st.one_of(st.sampled_from(["a", "b", "▁", "</s>", " ", ""]), st.text(max_size=3))


def builds_or_names_the_key(keys: dict[str, Any], text: str) -> None:
    """Either one clear error, or a tokenizer that works."""
    try:
        tokenizer = build({key: value for key, value in keys.items() if value is not None})
    except ModelFileError as error:
        assert error.message.startswith("tiny.gguf: ")
        assert "\n" not in error.message
        return
    ids = tokenizer.encode_segments([Segment(text, True), Segment(text, False)])
    assert tokenizer.decode(ids) is not None
    assert all(0 <= token < tokenizer.vocab_size for token in ids)


@pytest.mark.parametrize("kind", KINDS)
@given(changes=st.dictionaries(st.sampled_from(KEYS), values, min_size=1), text=st.text())
def test_hostile_keys_never_crash(kind: str, changes: dict[str, Any], text: str) -> None:
    builds_or_names_the_key({**KINDS[kind](), **changes}, text)


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=200)
@given(
    tokens=st.lists(texts, min_size=1, max_size=40, unique=True),
    types=st.lists(st.integers(-1, 7), min_size=40, max_size=40),
    merges=st.lists(st.tuples(texts, texts).map(" ".join)),
    text=st.text(alphabet="ab </s>▁é\n"),
)
def test_hostile_vocabularies_never_crash(
    kind: str, tokens: list[str], types: list[int], merges: list[str], text: str
) -> None:
    numbers = {"token_type": np.array(types), "scores": np.array(types, np.float32)}
    strings = {"tokens": [t.encode() for t in tokens], "merges": [m.encode() for m in merges]}
    keys = {"model": kind, "pre": "default", **strings, **numbers, "unknown_token_id": 0}
    builds_or_names_the_key(keys, text)


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=200)
@given(
    tokens=st.lists(st.text("ab<>", min_size=1, max_size=4), min_size=1, max_size=20, unique=True),
    types=st.lists(st.integers(1, 5), min_size=21, max_size=21),
    text=st.text("ab<> ", max_size=30),
)
def test_no_untrusted_text_spells_a_special_token(
    kind: str, tokens: list[str], types: list[int], text: str
) -> None:
    pairs = [f"{token[:i]} {token[i:]}" for token in tokens for i in range(1, len(token))]
    strings = {"tokens": ["?", *tokens], "merges": pairs}
    numbers = {"token_type": np.array(types), "scores": np.arange(21.0)}
    arrays = {key: [text.encode() for text in strings[key]] for key in strings}
    tokenizer = build({"model": kind, "unknown_token_id": 0, **arrays, **numbers})
    ids = tokenizer.encode_segments([Segment(text, trusted=False)], add_special=False)
    spelled = {tokenizer.token_text(token) for token in ids if token != 0}
    assert spelled.isdisjoint(tokenizer.special_texts)


@pytest.mark.parametrize(
    ("limit", "most"), [("vocabulary.MAX_TOKENS", 9), ("spellers.merging.MAX_MERGES", 3)]
)
def test_more_tokens_or_merges_than_real_files_have_are_refused(monkeypatch, limit, most):
    build(byte_pairs())
    monkeypatch.setattr(f"lepton_cli.engine.text.tokenizer.{limit}", most)
    with pytest.raises(ModelFileError, match=f"the limit is {most}"):
        build(byte_pairs())


def test_a_token_of_more_letters_than_real_ones_is_refused():
    with pytest.raises(ModelFileError, match="a text of 8193 bytes; the limit is 8192"):
        build(byte_pairs(("a" * 8193, N)))
