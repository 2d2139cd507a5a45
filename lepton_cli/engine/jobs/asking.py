"""The request of one row, as a value: a prompt, and parameters of its own."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Literal, get_args

from lepton_cli.engine.constraints.constraint import Constraint, JsonSchema, find_constraint
from lepton_cli.engine.library.json_values import Plain
from lepton_cli.engine.text.messages import Message, Role
from quant.errors import UsageError

Shape = Literal["lepton", "chat.completion", "text_completion"]
"""The form of the result: our own record, or one of OpenAI's two."""

ROLES = {role: role for role in get_args(Role)} | {"developer": "system"}
CONSTRAINTS = ("schema", "json_schema", "schema_check", "regex", "choices", "grammar")
IGNORED = ("name", "refusal", "annotations")  # message fields that do not change the prompt
THOUGHTS = ("reasoning", "reasoning_content")


@dataclass(frozen=True, slots=True)
class Ask:
    """The request of a row: `messages` for the chat template, or a raw `prompt` to complete."""

    id: Plain = None
    messages: tuple[Message, ...] = ()
    prompt: str | None = None
    given: Mapping[str, Plain] = field(default_factory=dict)  # the row's own parameters
    constraint: Constraint | None = None
    shape: Shape = "lepton"

    def content(self) -> str:
        """Everything that determines the answer, as one text; equal rows have equal texts."""
        messages = [[each.role, each.content, each.reasoning] for each in self.messages]
        constraint = self.constraint and [self.constraint.kind, self.constraint.text]
        parts = [self.id, messages, self.prompt, dict(self.given), constraint, self.shape]
        return json.dumps(parts, ensure_ascii=False, sort_keys=True)

    def with_system(self, system: str | None) -> "Ask":
        """This request with a system prompt, if its messages have none."""
        has_system = bool(self.messages) and self.messages[0].role == "system"
        if system is None or has_system or not self.messages:
            return self
        return replace(self, messages=(Message("system", system), *self.messages))


def read_messages(value: Plain) -> tuple[Message, ...]:
    """Messages in OpenAI's format. Raises UsageError for anything else."""
    if not isinstance(value, list) or not value:
        raise UsageError("messages must be a list with at least one message")
    messages = tuple(_message(f"message {i}", each) for i, each in enumerate(value, 1))
    if any(message.role == "system" for message in messages[1:]):
        raise UsageError("only the first message may have the role system")
    return messages


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


def _message(where: str, value: Plain) -> Message:
    if not isinstance(value, dict):
        raise UsageError(f"{where} is not an object")
    role, content = value.get("role"), value.get("content")
    if role not in ROLES:
        raise UsageError(f"{where}: the role {role!r} is not one of {', '.join(ROLES)}")
    for name, each in value.items():
        if name not in ("role", "content", *IGNORED, *THOUGHTS) and each is not None:
            raise UsageError(f"{where}: {name} is not supported")
    thought = next((value[name] for name in THOUGHTS if value.get(name)), None)
    if thought is not None and not isinstance(thought, str):
        raise UsageError(f"{where}: its reasoning must be text")
    return Message(ROLES[role], _content(where, content), thought)


def _content(where: str, value: Plain) -> str:
    """Text, or a list of text parts joined by newlines."""
    if isinstance(value, str):
        return value
    parts = value if isinstance(value, list) else [value]
    texts = [part.get("text") if isinstance(part, dict) else None for part in parts]
    if not texts or not all(isinstance(text, str) for text in texts):
        raise UsageError(f"{where}: its content must be text: Lepton sees no images")
    return "\n".join(map(str, texts))
