"""The request of one row, as a value: a prompt, and parameters of its own."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from lepton_cli.engine.constraints.constraint import Constraint, JsonSchema, find_constraint
from lepton_cli.engine.decoding.tool_use import ToolUse
from lepton_cli.engine.library.json_values import Plain
from lepton_cli.engine.text.messages import Message
from quant.errors import UsageError

Shape = Literal["lepton", "chat.completion", "text_completion"]
"""The form of the result: our own record, or one of OpenAI's two."""

CONSTRAINTS = ("schema", "json_schema", "schema_check", "regex", "choices", "grammar")


@dataclass(frozen=True, slots=True)
class Ask:
    """The request of a row: `messages` for the chat template, or a raw `prompt` to complete.

    It gets `choices` answers; `logprobs`: how many likely tokens are told at each place, if any
    are; `use`: of tools.
    """

    id: Plain = None
    messages: tuple[Message, ...] = ()
    prompt: str | None = None
    given: Mapping[str, Plain] = field(default_factory=dict)  # the row's own parameters
    constraint: Constraint | None = None
    shape: Shape = "lepton"
    choices: int = 1
    logprobs: int | None = None
    use: ToolUse = field(default_factory=ToolUse)

    def content(self) -> str:
        """Everything that determines the answer, as one text; equal rows have equal texts."""
        messages = [_parts(each) for each in self.messages]
        constraint = self.constraint and [self.constraint.kind, self.constraint.text]
        parts: list[Any]
        parts = [self.id, messages, self.prompt, dict(self.given), constraint, self.shape]
        later = [self.choices, self.logprobs, self.use.tools]
        parts += later if later != [1, None, ()] else []  # results of rows without them stay valid
        choice = [self.use.must_call, self.use.one_call]
        parts += choice if any(choice) else []
        return json.dumps(parts, ensure_ascii=False, sort_keys=True)

    def with_system(self, system: str | None) -> "Ask":
        """This request with a system prompt, if its messages have none."""
        has_system = bool(self.messages) and self.messages[0].role == "system"
        if system is None or has_system or not self.messages:
            return self
        return replace(self, messages=(Message("system", system), *self.messages))


def _parts(message: Message) -> list[Any]:
    """What of it determines an answer; calls are left out where there are none."""
    calls = [[call.id, call.name, call.arguments] for call in message.calls]
    more = [calls, message.call_id, message.name]
    return [message.role, message.content, message.reasoning, *(more if any(more) else [])]


def read_constraint(
    columns: Mapping[str, Plain], *, schema_check: bool = False
) -> Constraint | None:
    """The constraint of an answer from the columns CONSTRAINTS. Raises UsageError.

    `schema_check` is the default for rows without that column.
    """
    schema, choices = columns.get("json_schema", columns.get("schema")), columns.get("choices")
    wanted = _flag("schema_check", columns.get("schema_check"))
    if wanted and schema in (None, ""):
        raise UsageError("schema_check is true, but the row has no schema")
    return find_constraint(
        json_schema=None if schema in (None, "") else _schema(schema),
        schema_check=schema_check if wanted is None else wanted,
        regex=_pattern("regex", columns),
        choices=None if choices in (None, "") else _choices(choices),
        grammar=_pattern("grammar", columns),
    )


def read_text(name: str, value: Plain) -> str:
    """A nonempty text. Raises UsageError for anything else."""
    if value in (None, ""):
        raise UsageError(f"{name} is empty")
    if not isinstance(value, str):
        raise UsageError(f"{name} is {value!r:.60}: it must be text")
    return value


def _schema(value: Plain) -> JsonSchema:
    if not isinstance(value, str | bool | dict):
        raise UsageError(f"the schema is {value!r:.60}: it must be an object, or the text of one")
    return value


def _choices(value: Plain) -> list[str]:
    """A list, or its JSON text (in a CSV)."""
    try:
        found = json.loads(value) if isinstance(value, str) else value
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, list) or not all(isinstance(each, str) for each in found):
        raise UsageError(f"choices is {value!r:.60}: it must be a list of strings")
    return [str(each) for each in found]


def _flag(name: str, value: Plain) -> bool | None:
    """A boolean, or its text (in a CSV); None if empty."""
    values = {None: None, "": None, "true": True, "false": False, True: True, False: False}
    key = value.lower() if isinstance(value, str) else value
    if not isinstance(key, str | bool | None) or key not in values:
        raise UsageError(f"{name} is {value!r:.60}: it must be true or false")
    return values[key]


def _pattern(name: str, columns: Mapping[str, Plain]) -> str | None:
    value = columns.get(name)
    return None if value in (None, "") else read_text(name, value)
