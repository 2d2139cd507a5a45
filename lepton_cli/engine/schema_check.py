"""JSON schemas: every keyword is known and enforced, or named in an error; answers are validated.

The engine behind the grammars ignores keywords that it does not know, rounds numbers to 64-bit
floats and lets schemas pass that only an endless text could satisfy: all that is refused here.
"""

import difflib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal, InvalidOperation, localcontext
from typing import Any, NoReturn

from jsonschema import FormatChecker
from jsonschema.exceptions import SchemaError, best_match
from jsonschema.validators import validator_for

from quant.errors import UsageError

DRAFTS = {
    "http://json-schema.org/draft-04/schema": 4,
    "http://json-schema.org/draft-06/schema": 6,
    "http://json-schema.org/draft-07/schema": 7,
    "https://json-schema.org/draft/2019-09/schema": 2019,
    "https://json-schema.org/draft/2020-12/schema": 2020,
}
NEWEST = next(reversed(DRAFTS))
KEPT = """$schema $id id $anchor $comment $defs definitions title description default examples
deprecated readOnly writeOnly"""
ANNOTATIONS = frozenset(KEPT.split())
MAPS = ("properties", "patternProperties", "$defs", "definitions")  # of schemas, by name
LISTS = ("anyOf", "oneOf", "allOf", "prefixItems")
SINGLES = ("items", "additionalItems", "additionalProperties")
FOLLOWED = """anyOf oneOf allOf $ref const enum type items additionalItems prefixItems minItems
maxItems properties additionalProperties patternProperties required minProperties maxProperties
minLength maxLength pattern format minimum maximum exclusiveMinimum exclusiveMaximum multipleOf"""
ENFORCED = frozenset(FOLLOWED.split())
LEFT_OUT = """not if then else contains minContains maxContains uniqueItems propertyNames
dependencies dependentRequired dependentSchemas unevaluatedItems unevaluatedProperties
contentEncoding contentMediaType contentSchema $dynamicRef $dynamicAnchor $recursiveRef
$recursiveAnchor $vocabulary"""
UNSUPPORTED = frozenset(LEFT_OUT.split())
SINCE = {"const": 6, "$id": 6, "$anchor": 2019, "prefixItems": 2020}
UNTIL = {"id": 4, "additionalItems": 2019}
TYPES = ("null", "boolean", "integer", "number", "string", "array", "object")
FORMATS = (
    "date-time",
    "time",
    "date",
    "duration",
    "email",
    "hostname",
    "ipv4",
    "ipv6",
    "uuid",
    "uri",
)
NUMBERS = ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf")


@dataclass(frozen=True, slots=True)
class Part:
    """A schema within the schema, and the JSON pointer to it."""

    pointer: str
    schema: Any  # a dict or a bool


def read_schema(text: str) -> tuple[Any, list[Part]]:
    """The schema, and all its parts with the deepest first. Raises UsageError that names where."""
    try:
        schema = _parsed(text)
        draft = _draft(schema)
        _check_shape(schema)
        parts = _Walk(schema, draft).parts
        _check_finite(parts)
    except RecursionError:
        hint = "give deep parts names in $defs, and refer to them"
        raise UsageError("the JSON schema is nested too deeply", hint) from None
    return schema, sorted(parts.values(), key=lambda part: -part.pointer.count("/"))


def problem_with(schema: Any, text: str) -> str | None:
    """Why a text is no JSON that satisfies the schema; None where it does."""
    try:
        value = _json(text)
        validator = validator_for(schema, default=validator_for({"$schema": NEWEST}))
        with localcontext() as context:
            context.prec = 2 * len(text) + 400  # digits that a multipleOf may need
            error = best_match(validator(schema, format_checker=_formats()).iter_errors(value))
    except (ValueError, RecursionError, InvalidOperation) as reason:
        return f"it is no JSON that can be checked: {reason}"
    if error is None:
        return None
    where = f" at {_pointer(error.absolute_path)}" if error.absolute_path else ""
    return f"{error.message:.200}{where}"


# --- reading -----------------------------------------------------------------------------------


def _parsed(text: str) -> Any:
    try:
        schema = _json(text)
    except ValueError as error:
        hint = 'a schema is a JSON object, like \'{"type": "object"}\''
        raise UsageError(f"the JSON schema is no JSON: {error}", hint) from None
    if not isinstance(schema, dict | bool):
        raise UsageError(f"the JSON schema is {text.strip():.40}, not an object", "give an object")
    return schema


def _json(text: str) -> Any:
    """Python's reader takes more than JSON, and less exactly. Raises ValueError, RecursionError."""
    return json.loads(
        text,
        parse_float=Decimal,
        parse_constant=_refuse_constant,
        object_pairs_hook=_unique,
    )


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON number")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"an object has the key {twice!r} twice")
    return found


def _draft(schema: Any) -> int:
    named = schema.get("$schema", NEWEST) if isinstance(schema, dict) else NEWEST
    draft = DRAFTS.get(named.removesuffix("#")) if isinstance(named, str) else None
    if draft is None:
        known = "Lepton reads drafts 4, 6, 7, 2019-09 and 2020-12"
        raise UsageError(f"the JSON schema's $schema is {named!r:.80}, which is unknown", known)
    return draft


def _check_shape(schema: Any) -> None:
    """Whether every keyword's value is of its form, by the draft's own schema."""
    validator = validator_for(schema, default=validator_for({"$schema": NEWEST}))
    try:
        validator.check_schema(schema)
    except SchemaError as error:
        path = list(error.absolute_path)
        if "type" in path[-1:] or "type" in path[-2:-1]:
            nearest = difflib.get_close_matches(str(error.instance), TYPES, n=1)
            hint = f"did you mean {nearest[0]}?" if nearest else f"types are {', '.join(TYPES)}"
            message = f"the JSON schema's type at {_pointer(path)} is {error.instance!r:.40}"
            raise UsageError(message, hint) from None
        message = f"the JSON schema is wrong at {_pointer(path)}: {error.message:.120}"
        raise UsageError(message, "see json-schema.org for what a keyword takes") from None


def _pointer(path: Sequence[str | int]) -> str:
    return "#" + "".join("/" + str(key).replace("~", "~0").replace("/", "~1") for key in path)


# --- keywords ----------------------------------------------------------------------------------


class _Walk:
    """Checks a schema's parts one by one, those too that only a $ref reaches."""

    def __init__(self, root: Any, draft: int) -> None:
        self.parts: dict[str, Part] = {}
        self._root, self._draft = root, draft
        self._enter(root, "#")

    def _enter(self, schema: Any, pointer: str) -> None:
        if pointer in self.parts:
            return
        self.parts[pointer] = Part(pointer, schema)
        if isinstance(schema, bool):
            return
        if not isinstance(schema, dict):
            raise UsageError(f"the JSON schema at {pointer} is no schema", "give an object there")
        for keyword, value in schema.items():
            self._check(keyword, value, pointer)
            for name, part in _parts_of(keyword, value):
                self._enter(part, f"{pointer}{name}")
        if "$ref" in schema:
            self._follow(schema["$ref"], pointer)

    def _check(self, keyword: str, value: Any, pointer: str) -> None:
        self._check_known(keyword, pointer)
        place = f"{pointer}/{keyword}"
        if keyword in ("$id", "id", "$schema") and pointer != "#":
            raise _unsupported(keyword, pointer, "it is known at the top only")
        if keyword == "format" and value not in FORMATS:
            raise UsageError(
                f"the JSON schema has the format {value!r:.40} at {place}, which is not enforced",
                f"formats are {', '.join(FORMATS)}; or use pattern",
            )
        if keyword in ("const", "enum", *NUMBERS):
            _check_numbers(value, place)

    def _check_known(self, keyword: str, pointer: str) -> None:
        if keyword in UNSUPPORTED:
            raise _unsupported(keyword, pointer, "Lepton cannot enforce it while generating")
        if keyword not in ENFORCED | ANNOTATIONS:
            known = sorted(ENFORCED | ANNOTATIONS)
            nearest = difflib.get_close_matches(keyword, known, n=1)
            hint = (
                f"did you mean {nearest[0]}?" if nearest else "remove it, or describe it in title"
            )
            raise UsageError(
                f"the JSON schema has an unknown keyword {keyword!r} at {pointer}", hint
            )
        since, until = SINCE.get(keyword, 0), UNTIL.get(keyword, 9999)
        if not since <= self._draft <= until:
            raise _unsupported(keyword, pointer, f"draft {self._draft} has no such keyword")

    def _follow(self, reference: str, pointer: str) -> None:
        if not reference.startswith("#"):
            raise UsageError(
                f"the JSON schema at {pointer} has the $ref {reference!r:.80}, which is elsewhere",
                "copy what it names into $defs and refer to #/$defs/...",
            )
        if reference.startswith("#/"):
            target = self._resolved(reference, pointer)
            self._enter(target, reference)

    def _resolved(self, reference: str, pointer: str) -> Any:
        target = self._root
        for raw in reference[2:].split("/"):
            key = _unquoted(raw)
            if isinstance(target, list) and key.isdecimal() and int(key) < len(target):
                target = target[int(key)]
            elif isinstance(target, dict) and key in target:
                target = target[key]
            else:
                message = f"the JSON schema at {pointer} refers to {reference}, which is not there"
                raise UsageError(message, "define it, or correct the $ref")
        return target


def _unquoted(key: str) -> str:
    """A pointer's step without its escapes; `%` ones come first, as in a URL."""
    key = re.sub("%([0-9A-Fa-f]{2})", lambda found: chr(int(found[1], 16)), key)
    return key.replace("~1", "/").replace("~0", "~")


def _unsupported(keyword: str, pointer: str, why: str) -> UsageError:
    return UsageError(f"the JSON schema has {keyword!r} at {pointer}: {why}", f"remove {keyword}")


def _parts_of(keyword: str, value: Any) -> Iterator[tuple[str, Any]]:
    """The schemas in a keyword's value, with the pointers from the schema that holds it."""
    if keyword in MAPS:
        for name, part in value.items():
            yield _pointer((keyword, name))[1:], part
    elif keyword in LISTS or (keyword in SINGLES and isinstance(value, list)):
        for number, part in enumerate(value):
            yield f"/{keyword}/{number}", part
    elif keyword in SINGLES:
        yield f"/{keyword}", value


def _check_numbers(value: Any, place: str) -> None:
    """Refuses numbers that the grammar's 64-bit floats would change."""
    if isinstance(value, list):
        for each in value:
            _check_numbers(each, place)
    elif isinstance(value, dict):
        _check_numbers(list(value.values()), place)
    elif isinstance(value, int | Decimal) and not isinstance(value, bool):
        try:
            held = Decimal(repr(float(value))) == value
        except OverflowError:
            held = False
        if not held:
            message = f"the JSON schema's number at {place} has more digits than can be enforced"
            raise UsageError(message, "give at most 15 digits")


# --- schemas without an end --------------------------------------------------------------------


def _check_finite(parts: Mapping[str, Part]) -> None:
    """Refuses schemas that refer to themselves without a way out: their texts would never end."""
    ended: set[str] = set()
    grown = True
    while grown:
        found = {each for each, part in parts.items() if _ends(part, ended)}
        grown, ended = len(found) > len(ended), found
    for pointer in sorted(parts.keys() - ended, key=len):
        message = f"the JSON schema at {pointer} needs itself again and again: no text is enough"
        raise UsageError(message, "make a property optional, or allow null, where it repeats")


def _ends(part: Part, ended: set[str]) -> bool:
    """Whether a text can satisfy it if only the parts in `ended` can be."""
    schema, here = part.schema, part.pointer
    if isinstance(schema, bool):
        return True
    if str(schema.get("$ref", "")).startswith("#/") and schema["$ref"] not in ended:
        return False
    if schema.get("$ref") == "#" and "#" not in ended:
        return False
    if any(f"{here}/allOf/{n}" not in ended for n in range(len(schema.get("allOf", ())))):
        return False
    for either in ("anyOf", "oneOf"):
        count = len(schema.get(either, ()))
        if count and not any(f"{here}/{either}/{n}" in ended for n in range(count)):
            return False
    types = schema.get("type", TYPES)
    types = [types] if isinstance(types, str) else types
    return any(_type_ends(kind, schema, here, ended) for kind in types)


def _type_ends(kind: str, schema: Any, here: str, ended: set[str]) -> bool:
    if kind == "object":
        needed = set(schema.get("required", ())) & schema.get("properties", {}).keys()
        return all(here + _pointer(("properties", name))[1:] in ended for name in needed)
    if kind == "array" and schema.get("minItems", 0):
        prefix = schema.get("prefixItems", ())[: schema["minItems"]]
        listed = [f"{here}/prefixItems/{number}" for number in range(len(prefix))]
        if len(prefix) < schema["minItems"] and isinstance(schema.get("items"), dict):
            listed.append(f"{here}/items")
        return all(each in ended for each in listed)
    return True


# --- formats -----------------------------------------------------------------------------------


def _formats() -> FormatChecker:
    """What the grammar's patterns of formats leave open: days that no calendar has."""
    checker = FormatChecker(formats=("ipv4", "ipv6", "uuid"))
    checker.checks("date", ValueError)(_has_a_day)
    checker.checks("date-time", ValueError)(_has_a_day)
    return checker


def _has_a_day(value: object) -> bool:
    return not isinstance(value, str) or date.fromisoformat(value[:10]) is not None
