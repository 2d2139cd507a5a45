"""Rows in OpenAI's batch format for `/v1/embeddings`: the inputs of each, and the response."""

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from lepton_cli.engine.embedding.pooling import Rows
from lepton_cli.engine.jobs.openai.requests import EMBEDDINGS, refuse_unknown, request_body
from lepton_cli.engine.library.json_values import Plain
from quant.errors import UsageError

Encoding = Literal["float", "base64"]
DIGITS = 9  # that tell any two float32 apart
OWN = {"model", "input", "encoding_format", "dimensions"}
Input = str | tuple[int, ...]


@dataclass(frozen=True, slots=True)
class EmbeddingRequest:
    """The inputs of a request, texts or token ids, and how their vectors are given."""

    inputs: tuple[Input, ...]
    encoding: Encoding
    dimensions: int | None


def read_request(row: Mapping[str, Plain]) -> EmbeddingRequest:
    """Raises UsageError, naming anything that Lepton does not support."""
    _, body = request_body(row, (EMBEDDINGS,))
    refuse_unknown(body, OWN)
    encoding = body.get("encoding_format") or "float"
    if encoding not in get_args(Encoding):
        raise UsageError(f"encoding_format is {encoding!r:.60}: it must be float or base64")
    inputs, dimensions = _inputs(body.get("input")), body.get("dimensions")
    if isinstance(dimensions, bool) or not isinstance(dimensions, int | None):
        raise UsageError(f"dimensions is {dimensions!r:.60}: it must be a whole number")
    return EmbeddingRequest(inputs, "base64" if encoding == "base64" else "float", dimensions)


def _inputs(given: Plain) -> tuple[Input, ...]:
    """A text or a list of token ids, or several of one of the two."""
    several = given if isinstance(given, list) and _ids(given) is None else [given]
    texts = [each for each in several if each and isinstance(each, str)]
    ids = [found for found in map(_ids, several) if found is not None]
    if not several or len(several) not in (len(texts), len(ids)):
        kinds = "a text, a list of texts, token ids, or a list of lists of them"
        raise UsageError(f"input is {given!r:.60}: it must be {kinds}")
    return tuple(texts) or tuple(ids)


def _ids(given: Plain) -> tuple[int, ...] | None:
    values = given if isinstance(given, list) else []
    found = [each for each in values if isinstance(each, int) and not isinstance(each, bool)]
    return tuple(found) if found and len(found) == len(values) else None


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
