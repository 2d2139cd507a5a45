"""Pre-tokenizers: every name cuts text into pieces, loses nothing, and takes its time evenly."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lepton_cli.engine.text.tokenizer.pretokenizers import PRETOKENIZERS
from lepton_cli.engine.text.tokenizer.spellers.byte_pairs import PatternCutter

DISTINCT = tuple({pretokenizer: name for name, pretokenizer in PRETOKENIZERS.items()}.values())
LONG = ("a", "A", " ", "\n", " \n", "1", "é", "中", "́", "a b ", "A1 ", ".", "\t ")

CUTS = (
    (
        "llama-bpe",
        "I've  12345 cats!!\n\n x",
        ["I", "'ve", " ", " ", "123", "45", " cats", "!!\n\n", " x"],
    ),
    ("qwen2", "12 DON'T", ["1", "2", " DON", "'T"]),
    ("gpt-2", "I've  12 cats\n\nx", ["I", "'ve", " ", " 12", " cats", "\n", "\n", "x"]),
    ("starcoder", "a12", ["a", "1", "2"]),
    ("falcon", "a>>b 1234", ["a", ">>", "b", " ", "123", "4"]),
    ("default", "a>>b 1234", ["a", ">>", "b", " ", "123", "4"]),
    ("tekken", "FooBAR's 12", ["Foo", "BAR", "'s", " ", "1", "2"]),
    ("gpt-4o", "FooBAR's 1234/", ["Foo", "BAR's", " ", "123", "4", "/"]),
    ("tiny_aya", "1234567 12", ["1", "234", "567", " ", "12"]),
    ("afmoe", "x 1234567中あ", ["x", " ", "1", "234", "567", "中あ"]),
    ("superbpe", "ab 1234567 cd", ["ab ", "1", "234", "567", " cd"]),
    ("kimi-k2", "中文abc's 1234", ["中文", "abc's", " ", "123", "4"]),
    ("deepseek-llm", "ab 12中文  ", ["ab", " ", "12", "中文", "  "]),
    ("deepseek-coder", "ab 12", ["ab", " ", "1", "2"]),
    ("deepseek-v3", "1234中あ", ["123", "4", "中あ"]),
    ("gemma4", "a b\n\nc", ["a▁b", "\n\n", "c"]),
    ("exaone-moe", "a b c 1", ["a b c", " ", "1"]),
    ("bloom", "a, b", ["a", ",", " b"]),
    ("chameleon", "IMGIMGABZx", ["IMGIMGABZ", "x"]),
    ("whitespace", "a  b", ["a", "  ", "b"]),
)


def cut(name: str, text: str) -> list[str]:
    return PatternCutter(PRETOKENIZERS[name]).cut(text)


@pytest.mark.parametrize(("name", "text", "pieces"), CUTS)
def test_pieces_are_those_of_the_model_makers(name: str, text: str, pieces: list[str]) -> None:
    assert cut(name, text) == pieces


@pytest.mark.parametrize("name", DISTINCT)
@given(text=st.text())
def test_pieces_join_to_the_text(name: str, text: str) -> None:
    pieces = cut(name, text)
    assert "".join(pieces) == text.replace(" ", PRETOKENIZERS[name].space)
    assert all(pieces)


@pytest.mark.parametrize("name", DISTINCT)
def test_long_runs_are_cut_in_even_time(name: str) -> None:
    for unit in LONG:  # a pattern that searches again from every character takes minutes here
        text = unit * (30_000 // len(unit)) + "一"
        assert "".join(cut(name, text)) == text.replace(" ", PRETOKENIZERS[name].space)
