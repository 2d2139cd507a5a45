"""The result of a text: one line of JSON, with each number in as many digits as float32 has.

{"row": 1, "id": null, "embedding": [0.0312, ...], "counts": {"prompt": 9, "dropped": 0},
 "key": "...", "fingerprint": "..."}

Without pooling there is a list for each token. A text that failed has an "error" instead. OpenAI
requests get responses in OpenAI's form.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from lepton_cli.engine.embedding.pooling import Rows
from lepton_cli.engine.jobs.prose import LineOutput
from lepton_cli.engine.jobs.records import Record, failure
from lepton_cli.engine.library.json_values import Plain
from lepton_cli.engine.vectors.requests import DIGITS, plain_numbers
from lepton_cli.engine.vectors.tasks import Task
from quant.errors import LeptonError


def vector_record(
    task: Task, rows: Rows, tokens: int, dropped: int, fingerprint: str, *, pooled: bool
) -> Record:
    numbers = [plain_numbers(row) for row in rows]
    embedding: Plain = list[Plain](numbers[0] if pooled else numbers)
    return {
        "row": task.row,
        "id": task.id,
        "embedding": embedding,
        "counts": {"prompt": tokens, "dropped": dropped},
        "key": task.key,
        "fingerprint": fingerprint,
    }


def failed_record(task: Task, error: LeptonError, fingerprint: str) -> Record:
    ours: Record = {"key": task.key, "fingerprint": fingerprint}
    return failure(task.row, task.id, error, ours, is_request=task.encoding is not None)


def vectors_of(record: Mapping[str, Any]) -> Rows | None:
    """(n, width) of a record; None of one that failed, or that somebody wrote by hand."""
    try:
        found = np.atleast_2d(np.array(record["embedding"], np.float32))
    except (KeyError, TypeError, ValueError, OverflowError):
        return None
    return found if found.ndim == 2 and found.size else None


class NumberOutput(LineOutput):
    """A line of numbers for each row of a result; a text that failed keeps an empty line."""

    def line(self, record: Mapping[str, Any]) -> bytes:
        found = vectors_of(record)
        if found is None:
            return b"\n"
        lines = (" ".join(f"{number:.{DIGITS}g}" for number in row) for row in found.tolist())
        return "".join(f"{line}\n" for line in lines).encode()
