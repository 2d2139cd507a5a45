"""Files of chats that somebody else wrote or damaged."""

import json
from pathlib import Path
from typing import Any

import pytest
from fake_session import contents

from lepton_cli.engine.chat.autosave import read_session
from quant.errors import UsageError

GOOD: list[dict[str, Any]] = [
    {"format": "lepton-session", "version": 1},
    {"turn": "1", "after": None, "role": "user", "content": "a"},
    {"turn": "2", "after": "1", "role": "assistant", "content": "one"},
    {"at": "2", "model": "m", "file": "/m.gguf", "time": 1},
]


def written(path: Path, *records: object) -> Path:
    path.write_bytes(b"".join(json.dumps(record).encode() + b"\n" for record in records))
    return path


@pytest.mark.parametrize(
    "first", [b"", b"\xff\xfe", b"[]", b"{}", b"[" * 100_000, b'{"format": "lepton-session"}']
)
def test_a_file_that_is_not_a_chat_is_refused(tmp_path: Path, first: bytes) -> None:
    (tmp_path / "x.jsonl").write_bytes(first + b"\n")
    with pytest.raises(UsageError, match=r"x\.jsonl"):
        read_session(tmp_path / "x.jsonl")
    with pytest.raises(UsageError, match="cannot be read"):
        read_session(tmp_path / "missing.jsonl")


@pytest.mark.parametrize(
    "bad",
    [
        7,
        {},
        {"turn": 3, "after": None, "role": "user", "content": "x"},
        {"turn": "3", "after": "9", "role": "user", "content": "x"},
        {"turn": "3", "after": "2", "role": "boss", "content": "x"},
        {"turn": "3", "after": "2", "role": "user", "content": None},
        {"turn": "3", "after": "2", "role": "system", "content": "x"},
        {"turn": "3", "after": ["2"], "role": "user", "content": "x"},
        {"at": "9"},
        {"at": {}},
    ],
    ids=repr,
)
def test_a_damaged_line_costs_itself_alone(tmp_path: Path, bad: object) -> None:
    kept = read_session(written(tmp_path / "x.jsonl", GOOD[0], *GOOD[1:3], bad, GOOD[3]))
    assert (contents(kept), kept.damaged, kept.model) == (["a", "one"], 1, "m")


@pytest.mark.parametrize("tokens", [None, "1", [1, "2"], [1.5], {"1": 2}, [True]])
def test_tokens_that_are_none_are_left_out(tmp_path: Path, tokens: object) -> None:
    answer = {**GOOD[2], "tokens": tokens, "identity": "i"}
    kept = read_session(written(tmp_path / "x.jsonl", GOOD[0], GOOD[1], answer, GOOD[3]), "i")
    assert kept.conversation.turns[-1].token_ids == ()
    assert kept.damaged == 0
