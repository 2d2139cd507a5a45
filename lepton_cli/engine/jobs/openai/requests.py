"""Reads rows in OpenAI's batch format, {"custom_id", "method", "url", "body"}."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any

from lepton_cli.engine.jobs.asking import Ask, Shape, read_constraint, read_text
from lepton_cli.engine.jobs.openai.messages import read_messages
from lepton_cli.engine.jobs.openai.tools import read_tools
from lepton_cli.engine.jobs.parameters import KNOWN
from lepton_cli.engine.library.json_values import Plain
from quant.errors import UsageError

CHAT, COMPLETION = "/v1/chat/completions", "/v1/completions"
EMBEDDINGS = "/v1/embeddings"
SHAPES: dict[str, Shape] = {CHAT: "chat.completion", COMPLETION: "text_completion"}
CURES = {  # of urls that another command answers
    **dict.fromkeys(SHAPES, "`lepton batch MODEL FILE` answers it"),
    EMBEDDINGS: "`lepton embed MODEL -f FILE` makes vectors",
}
KEYS = {"custom_id", "method", "url", "body"}
OWN = {"model", "messages", "prompt", "response_format", "n", "logprobs", "top_logprobs"}
TOOLS = {"tools", "tool_choice", "parallel_tool_calls"}
OF_TEMPLATES = {
    name for name in KNOWN if name.startswith(("reasoning_", "thinking_", "chat_template_"))
}
MOST_CHOICES, MOST_LOGPROBS = 128, 20
IGNORED = {"user", "metadata", "store", "service_tier", "safety_identifier", "stream_options"}
ONLY: dict[str, tuple[Plain, ...]] = {  # values that are accepted because they change nothing
    "best_of": (1,),
    "stream": (False,),
    "echo": (False,),
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


def request_body(row: Mapping[str, Plain], urls: Sequence[str]) -> tuple[str, dict[str, Plain]]:
    """The url of a request, one of `urls` (the first where it has none), and the body.

    Raises UsageError.
    """
    for name in ("custom_id", "body"):
        if name not in row:
            raise UsageError(f"the request has no {name}")
    url, method, body = row.get("url", urls[0]), row.get("method", "POST"), row["body"]
    if not isinstance(url, str) or url not in urls:
        cure = CURES.get(url) if isinstance(url, str) else None
        raise UsageError(f"the url {url!r:.60} is not {' or '.join(urls)}", cure)
    if method != "POST":
        raise UsageError(f"the method is {method!r:.60}, not POST")
    if not isinstance(body, dict):
        raise UsageError("the body is not an object")
    return url, body


def refuse_unknown(body: Mapping[str, Plain], known: Collection[str]) -> None:
    """Raises UsageError for a parameter that is neither known nor without effect."""
    for name, value in body.items():
        if value is not None and name not in known and name not in IGNORED:
            raise UsageError(f"the parameter {name} is not supported")


def read_request(row: Mapping[str, Plain], *, schema_check: bool = False) -> Ask:
    """Reads a request. Raises UsageError naming anything that Lepton does not support."""
    url, body = request_body(row, tuple(SHAPES))
    refuse_unknown(body, KNOWN | OWN | ONLY.keys() | (TOOLS if url == CHAT else set()))
    for name in body.keys() & ONLY.keys():
        if body[name] not in (None, *ONLY[name]):
            raise UsageError(f"the parameter {name} is {body[name]!r:.60}: it is not supported")
    given = {name: body[name] for name in body if name in KNOWN and body[name] is not None}
    constraint = read_constraint(_schema(body.get("response_format")), schema_check=schema_check)
    choices = _whole("n", body.get("n"), 1, MOST_CHOICES) or 1
    ask = Ask(row["custom_id"], (), None, given, constraint, SHAPES[url], choices)
    if url == COMPLETION:
        for name in given.keys() & OF_TEMPLATES:
            raise UsageError(f"{name} needs a chat template, which {url} has not", f"use {CHAT}")
        prompt = read_text("the prompt", body.get("prompt"))
        logprobs = _whole("logprobs", body.get("logprobs"), 0, MOST_LOGPROBS)
        return replace(ask, prompt=prompt, logprobs=logprobs)
    messages, logprobs = read_messages(body.get("messages")), _logprobs(body)
    use = read_tools(*(body.get(name) for name in ("tools", "tool_choice", "parallel_tool_calls")))
    if use.tools and constraint is not None:
        raise UsageError("tools and a response_format cannot be used together", "leave one out")
    return replace(ask, messages=messages, logprobs=logprobs, use=use)


def _whole(name: str, value: Plain, least: int, most: int) -> int | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        raise UsageError(f"{name} is {value!r:.60}: it must be a whole number, {least} to {most}")
    return value


def _logprobs(body: Mapping[str, Plain]) -> int | None:
    """How many likely tokens a chat's answer has at each place; None: no logprobs at all."""
    wanted, top = body.get("logprobs"), body.get("top_logprobs")
    if not isinstance(wanted, bool | None):
        raise UsageError(f"logprobs is {wanted!r:.60}: it must be true or false")
    if not wanted and top:
        raise UsageError(f"top_logprobs is {top!r:.60}, but logprobs is not true", "set it to true")
    return (_whole("top_logprobs", top, 0, MOST_LOGPROBS) or 0) if wanted else None


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
