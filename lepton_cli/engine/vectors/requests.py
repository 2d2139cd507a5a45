"""Rows in OpenAI's batch format for `/v1/embeddings`: the texts of each, and the response."""

import base64
from collections.abc import Mapping, Sequence
from typing import Literal, get_args

from lepton_cli.engine.embedding.pooling import Rows
from lepton_cli.engine.jobs.openai.requests import EMBEDDINGS, IGNORED, request_body
from lepton_cli.engine.library.json_values import Plain
from quant.errors import UsageError

Encoding = Literal["float", "base64"]
DIGITS = 9  # that tell any two float32 apart
OWN = {"model", "input", "encoding_format"}


def read_request(row: Mapping[str, Plain]) -> tuple[tuple[str, ...], Encoding]:
    """The texts of a request, and how their vectors are written. Raises UsageError."""
    _, body = request_body(row, (EMBEDDINGS,))
    for name, value in body.items():
        if name not in OWN | IGNORED and value is not None:
            raise UsageError(f"the parameter {name} is not supported")
    encoding = body.get("encoding_format") or "float"
    if encoding not in get_args(Encoding):
        raise UsageError(f"encoding_format is {encoding!r:.60}: it must be float or base64")
    given = body.get("input")
    texts = given if isinstance(given, list) else [given]
    if not texts or not all(text and isinstance(text, str) for text in texts):
        raise UsageError(f"input is {given!r:.60}: it must be a text, or a list of texts")
    return tuple(map(str, texts)), "base64" if encoding == "base64" else "float"


def response_body(
    vectors: Sequence[Rows], tokens: int, encoding: Encoding, model: str
) -> dict[str, Plain]:
    """`vectors`: (1, width) of each text."""
    data: list[Plain] = [
        {"object": "embedding", "index": index, "embedding": _written(rows[0], encoding)}
        for index, rows in enumerate(vectors)
    ]
    usage: Plain = {"prompt_tokens": tokens, "total_tokens": tokens}
    return {"object": "list", "data": data, "model": model, "usage": usage}


def plain_numbers(row: Rows) -> list[Plain]:
    """(width,): the shortest numbers that become the same float32."""
    return [float(f"{number:.{DIGITS}g}") for number in row.tolist()]


def _written(row: Rows, encoding: Encoding) -> Plain:
    if encoding == "base64":
        return base64.b64encode(row.astype("<f4").tobytes()).decode()
    return plain_numbers(row)
