"""The result of a row: one line of JSON without times, so that the bytes are reproducible.

{"row": 1, "id": null, "text": "...", "reasoning": null, "finish_reason": "stop", "seed": 7,
 "counts": {"prompt": 9, "dropped": 0, "generated": 30}, "key": "...", "fingerprint": "..."}
{"row": 2, "id": null, "error": {"code": "bad_row", "message": "...", "hint": null},
 "finish_reason": null, "key": ...}

A row in OpenAI's format gets a result in OpenAI's: {"id", "custom_id", "response", "error"}, with
our own fields under "lepton".
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from lepton_cli.engine.decoding.scheduler import Outcome
from lepton_cli.engine.events import FinishReason
from lepton_cli.engine.jobs.planning import Job
from lepton_cli.engine.library.json_values import Plain, json_line
from quant.errors import ConstraintError, ContextOverflowError, LeptonError, UsageError

Record = dict[str, Plain]
OURS = "lepton"
CODES = (  # exception, our code, OpenAI's type
    (ContextOverflowError, "context_overflow", "context_length_exceeded"),
    (ConstraintError, "unmet_constraint", "server_error"),
    (UsageError, "bad_row", "invalid_request_error"),
    (LeptonError, "failed", "server_error"),
)


@dataclass(frozen=True, slots=True)
class Label:
    """The fields that identify a line: which row's result it is."""

    row: int
    key: str
    fingerprint: str
    failed: bool


def response_record(job: Job, body: Plain, seed: int, fingerprint: str) -> Record:
    """Of a row in OpenAI's format, with the body of its response."""
    ours: Record = {"row": job.row, "seed": seed, "key": job.key, "fingerprint": fingerprint}
    return openai_record(job.ask.id, 200, body, None, ours)


def answer_record(job: Job, outcome: Outcome, seed: int, fingerprint: str) -> Record:
    assert outcome.done is not None, "the answer has ended"
    stats = outcome.done.stats
    return {
        "row": job.row,
        "id": job.ask.id,
        "text": outcome.text,
        "reasoning": outcome.reasoning or None,
        "finish_reason": outcome.done.reason,
        "seed": seed,
        "counts": {
            "prompt": stats.prompt_tokens,
            "dropped": stats.dropped_tokens,
            "generated": stats.generated_tokens,
            "reasoning": stats.reasoning_tokens,
        },
        "key": job.key,
        "fingerprint": fingerprint,
    }


def error_record(
    job: Job, error: LeptonError, fingerprint: str, reason: FinishReason | None = None
) -> Record:
    """`reason`: how the answer ended, if the error is that it does not meet its constraint."""
    ours: Record = {"finish_reason": reason, "key": job.key, "fingerprint": fingerprint}
    return failure(job.row, job.ask.id, error, ours, is_request=job.ask.shape != "lepton")


def failure(row: int, name: Plain, error: LeptonError, ours: Record, *, is_request: bool) -> Record:
    """Of a row that failed, in OpenAI's form for a request; `ours` are its other fields."""
    code, theirs = next((own, their) for kind, own, their in CODES if isinstance(error, kind))
    if not is_request:
        details: Plain = {"code": code, "message": error.message, "hint": error.hint}
        return {"row": row, "id": name, "error": details, **ours}
    body: Plain = {"error": {"message": error.message, "type": theirs, "param": None, "code": code}}
    status = 500 if theirs == "server_error" else 400
    told: Plain = {"code": code, "message": error.message}
    return openai_record(name, status, body, told, {"row": row, **ours})


def openai_record(custom_id: Plain, status: int, body: Plain, error: Plain, ours: Record) -> Record:
    response: Plain = {"status_code": status, "request_id": ours["key"], "body": body}
    return {
        "id": f"batch_req_{ours['key']}",
        "custom_id": custom_id,
        "response": response,
        "error": error,
        OURS: ours,
    }


def line_of(record: Mapping[str, Plain]) -> bytes:
    return json_line(record).encode() + b"\n"


def label_of(record: Mapping[str, Any]) -> Label | None:
    """The label of a record; None if it is not ours."""
    ours = record.get(OURS, record)
    if not isinstance(ours, dict):
        return None
    row, key, fingerprint = (ours.get(name) for name in ("row", "key", "fingerprint"))
    if not (isinstance(row, int) and isinstance(key, str) and isinstance(fingerprint, str)):
        return None
    return Label(row, key, fingerprint, bool(record.get("error")))


def renumber(line: bytes, row: int) -> bytes:
    """The same record with another row number."""
    record = read_record(line)
    record.get(OURS, record)["row"] = row
    return line_of(record)


def read_record(line: bytes) -> dict[str, Any]:
    """A record from its line; empty if it is not a JSON object."""
    try:
        record = json.loads(line)
    except (ValueError, RecursionError):
        return {}
    return record if isinstance(record, dict) else {}
