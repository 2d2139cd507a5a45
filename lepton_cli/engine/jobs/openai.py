"""Reads rows in OpenAI's batch format, {"custom_id", "method", "url", "body"}."""

from collections.abc import Mapping
from typing import Any

from lepton_cli.engine.jobs.asking import Ask, Shape, read_constraint, read_messages, read_text
from lepton_cli.engine.jobs.parameters import KNOWN
from lepton_cli.engine.library.json_values import Plain
from quant.errors import UsageError

CHAT, COMPLETION = "/v1/chat/completions", "/v1/completions"
SHAPES: dict[str, Shape] = {CHAT: "chat.completion", COMPLETION: "text_completion"}
KEYS = {"custom_id", "method", "url", "body"}
OWN = {"model", "messages", "prompt", "response_format"}
IGNORED = {"user", "metadata", "store", "service_tier", "safety_identifier", "stream_options"}
ONLY: dict[str, tuple[Plain, ...]] = {  # values that are accepted because they change nothing
    "n": (1,),
    "best_of": (1,),
    "stream": (False,),
    "logprobs": (False, 0),
    "top_logprobs": (0,),
    "echo": (False,),
    "tools": ([],),
    "tool_choice": ("none", "auto"),
    "parallel_tool_calls": (True, False),
}


def is_request(row: Mapping[str, Plain]) -> bool:
    """Whether a row is a request, even an incomplete one without its id or body."""
    if "custom_id" in row and "body" in row:
        return True
    return row.keys() <= KEYS and ("custom_id" in row or isinstance(row.get("body"), dict))


def shape_of(row: Mapping[str, Plain]) -> Shape:
    """The form of the result of a request, even of an invalid one."""
    url = row.get("url", CHAT)
    return SHAPES.get(url, SHAPES[CHAT]) if isinstance(url, str) else SHAPES[CHAT]


def read_request(row: Mapping[str, Plain], *, schema_check: bool = False) -> Ask:
    """Reads a request. Raises UsageError naming anything that Lepton does not support."""
    for name in ("custom_id", "body"):
        if name not in row:
            raise UsageError(f"the request has no {name}")
    url, method, body = row.get("url", CHAT), row.get("method", "POST"), row["body"]
    if not isinstance(url, str) or url not in SHAPES:
        raise UsageError(f"the url {url!r} is not one of {CHAT} {COMPLETION}")
    if method != "POST":
        raise UsageError(f"the method is {method!r}, not POST")
    if not isinstance(body, dict):
        raise UsageError("the body is not an object")
    _refuse_unknown(body)
    given = {name: body[name] for name in body if name in KNOWN and body[name] is not None}
    constraint = read_constraint(_schema(body.get("response_format")), schema_check=schema_check)
    if url == CHAT:
        messages = read_messages(body.get("messages"))
        return Ask(row["custom_id"], messages, None, given, constraint, SHAPES[CHAT])
    prompt = read_text("the prompt", body.get("prompt"))
    return Ask(row["custom_id"], (), prompt, given, constraint, SHAPES[COMPLETION])


def _refuse_unknown(body: Mapping[str, Plain]) -> None:
    for name, value in body.items():
        if value is None or name in KNOWN | OWN | IGNORED:
            continue
        if name not in ONLY:
            raise UsageError(f"the parameter {name} is not supported")
        if value not in ONLY[name]:
            raise UsageError(f"the parameter {name} is {value!r:.60}: it is not supported")


def _schema(wanted: Plain) -> dict[str, Plain]:
    """The schema of a `response_format`: text, any JSON object, or a given schema."""
    kind: Any = wanted.get("type") if isinstance(wanted, dict) else None
    if wanted is None or kind == "text":
        return {}
    if kind == "json_object":
        return {"schema": {"type": "object"}}
    inner = wanted.get("json_schema") if isinstance(wanted, dict) else None
    if kind != "json_schema" or not isinstance(inner, dict) or not inner.get("schema"):
        raise UsageError(f"the response_format is {wanted!r:.60}: it is not supported")
    return {"schema": inner["schema"]}
