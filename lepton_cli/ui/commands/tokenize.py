"""`lepton tokenize`: shows the token ids of a text, and the text of each token."""

import json
import sys
from collections.abc import Sequence

from lepton_cli.engine.library.json_values import Plain
from lepton_cli.engine.text.tokenizer import Tokenizer
from lepton_cli.ui.reports.numbers import columns
from lepton_cli.ui.terminal.output import emit, emit_json

SCHEMA = "lepton.tokenize.v1"


def show(tokenizer: Tokenizer, ids: Sequence[int]) -> None:
    """One token per line: its id, and its text quoted as in JSON."""
    rows = [(str(token), _quoted(tokenizer, token)) for token in ids]
    emit(sys.stdout, columns(rows, right=(0,)))


def show_ids(ids: Sequence[int]) -> None:
    """The ids as llama-tokenize prints them: [1, 403, 407]."""
    emit(sys.stdout, f"{list(ids)}\n")


def show_json(tokenizer: Tokenizer, ids: Sequence[int]) -> None:
    pieces: list[Plain] = [_piece(tokenizer, token) for token in ids]
    emit_json(sys.stdout, {"schema": SCHEMA, "ids": list(ids), "pieces": pieces})


def _quoted(tokenizer: Tokenizer, token: int) -> str:
    try:
        text = tokenizer.token_bytes(token, render_special=True).decode()
    except UnicodeDecodeError:
        return f'"{_piece(tokenizer, token)}"'
    return json.dumps(text, ensure_ascii=False)


def _piece(tokenizer: Tokenizer, token: int) -> str:
    r"""The token's text; bytes of partial characters are written as \xHH."""
    return tokenizer.token_bytes(token, render_special=True).decode("utf-8", "backslashreplace")
