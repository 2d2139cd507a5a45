"""The constraint of an answer: a JSON schema, a regex, a list of choices or a grammar.

Cheap to import; `grammars` implements the four kinds.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from quant.errors import UsageError

Kind = Literal["json-schema", "checked-json-schema", "regex", "choices", "grammar", "calls"]
"""A checked schema may contain parts that only a check of the finished answer can verify.

Calls of tools are written as an expression: see call_frame.
"""

JsonSchema = str | bool | Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Constraint:
    """A kind and its text; equal texts are equal constraints.

    Choices are written as a JSON array of strings; a grammar is llama.cpp's GBNF.
    """

    kind: Kind
    text: str


def find_constraint(
    *,
    json_schema: JsonSchema | None = None,
    regex: str | None = None,
    choices: Sequence[str] | None = None,
    grammar: str | None = None,
    schema_check: bool = False,
) -> Constraint | None:
    """The given constraint, or None. Raises UsageError for more than one, and for invalid choices.

    `schema_check`: parts of a JSON schema that generation cannot enforce are checked in the
    finished answer; otherwise such a schema is refused.
    """
    found: dict[str, Constraint] = {}
    if json_schema is not None:
        text = json_schema if isinstance(json_schema, str) else _written(json_schema)
        kind: Kind = "checked-json-schema" if schema_check else "json-schema"
        found["a JSON schema"] = Constraint(kind, text)
    if regex is not None:
        found["a regex"] = Constraint("regex", regex)
    if choices is not None:
        found["choices"] = Constraint("choices", _written(_checked(choices)))
    if grammar is not None:
        found["a grammar"] = Constraint("grammar", grammar)
    if len(found) > 1:
        names = " and ".join(found)
        raise UsageError(
            f"{names} are both given: an answer can follow one of them", "give one of them"
        )
    return next(iter(found.values()), None)


def _written(value: JsonSchema | list[str]) -> str:
    try:
        return json.dumps(value, ensure_ascii=False, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise UsageError(
            f"the JSON schema is not valid JSON: {error}", "give plain JSON values"
        ) from None


def _checked(choices: Sequence[str]) -> list[str]:
    if isinstance(choices, str) or not all(isinstance(choice, str) for choice in choices):
        raise UsageError(f"the choices are {choices!r:.60}", "give a list of strings")
    if not choices or "" in choices:
        raise UsageError("there are no choices, or one is empty", "give each some text")
    return list(dict.fromkeys(choices))
