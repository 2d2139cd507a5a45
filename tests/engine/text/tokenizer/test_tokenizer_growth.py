"""Tokenizers take time in proportion to their text: steps are counted, not seconds."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import pytest
from tiny_vocabularies import (
    C,
    D,
    N,
    best_scores,
    build,
    byte_pairs,
    character_map,
    gemma4,
    longest_matches,
    sentence_pieces,
    unigram,
    word_pieces,
)

import lepton_cli.engine.text.tokenizer as package

FOLDER = str(Path(package.__file__).parent)
MARKS = [("<x>", C), ("<x><x>", D), ("\n\n", D), ("\n\n\n", D), ("\n\n\n\n\n", D)]
MAP = character_map({"e\u0301": "é", "\u0301\u0301": ""})
KINDS: dict[str, dict[str, Any]] = {
    "llama": sentence_pieces(*MARKS),
    "phi3": sentence_pieces(*MARKS) | {"general.name": "phi-3"},
    "gpt2": byte_pairs(*MARKS),
    "mask": byte_pairs(*MARKS, ("<mask>", C), pre="jina-v2-code"),
    "gemma4": gemma4(*MARKS),
    "bert": word_pieces(),
    "bert letters": word_pieces(("▁a", N), ("a", N), ("aa", N), ("▁1", N), ("1", N)),
    "t5": {**unigram(*MARKS), "precompiled_charsmap": MAP},
    "rwkv": longest_matches(*MARKS),
    "plamo2": best_scores(),
}
TEXTS = (
    *("a", "é", "中", " ", "\n", "<x>", "<x>\n", " <mask>", "e\u0301", "\u0301", "a ", "1", "\0"),
)


@contextmanager
def counted() -> Iterator[list[int]]:
    """Counts the lines that run in the tokenizers."""
    count = [0]

    def local(frame: FrameType, event: str, _: object) -> Callable[..., Any]:
        count[0] += event == "line"
        return local

    def step(frame: FrameType, event: str, _: object) -> Callable[..., Any] | None:
        return local if frame.f_code.co_filename.startswith(FOLDER) else None

    before = sys.gettrace()
    sys.settrace(step)
    try:
        yield count
    finally:
        sys.settrace(before)


def steps(keys: dict[str, Any], text: str, trusted: bool) -> int:
    tokenizer = build(keys)
    with counted() as count:
        tokenizer.encode(text, parse_special=trusted)
    return count[0]


@pytest.mark.parametrize("kind", KINDS)
def test_steps_grow_in_proportion_to_the_text(kind: str) -> None:
    for unit in TEXTS:
        for trusted in (False, True):
            small = steps(KINDS[kind], unit * 500, trusted)
            assert steps(KINDS[kind], unit * 2000, trusted) < 4.4 * small + 200, repr(unit)
