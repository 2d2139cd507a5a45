"""Parses and checks JSON schemas: every unknown keyword is an error.

The engine would ignore unknown keywords, round numbers to 64-bit floats, and accept schemas that
only an infinite text could satisfy; all of these are refused here.
"""

import difflib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from jsonschema import FormatChecker
from jsonschema.exceptions import SchemaError
from jsonschema.validators import validator_for

from lepton_cli.engine.constraints.schema.answers import pointer_to, read_json, written_pointer
from lepton_cli.engine.constraints.schema.patterns import portable_pattern
from quant.errors import UsageError

DRAFTS = {
    "http://json-schema.org/draft-04/schema": 4,
    "http://json-schema.org/draft-06/schema": 6,
    "http://json-schema.org/draft-07/schema": 7,
    "https://json-schema.org/draft/2019-09/schema": 2019,
    "https://json-schema.org/draft/2020-12/schema": 2020,
}
URIS = {draft: uri for uri, draft in DRAFTS.items()}
GUESSED = (2020, 7, 4)  # for a schema without $schema: the first that fits
KEPT = """$schema $id id $anchor $comment $defs definitions title description default examples
deprecated readOnly writeOnly contentEncoding contentMediaType contentSchema
example discriminator xml externalDocs components
markdownDescription enumNames enumDescriptions enum-varnames errorMessage propertyOrdering"""
ANNOTATIONS = frozenset(KEPT.split())  # JSON Schema's own, OpenAPI's, those of other tools
MAPS = frozenset(  # of schemas, by name
    ("properties", "patternProperties", "$defs", "definitions", "dependentSchemas", "dependencies")
)
LISTS = frozenset(("anyOf", "oneOf", "allOf", "prefixItems"))
ALONE = """items additionalItems additionalProperties propertyNames not if then else contains
unevaluatedItems unevaluatedProperties"""
SINGLES = frozenset(ALONE.split())
FOLLOWED = """anyOf oneOf allOf $ref const enum type items additionalItems prefixItems minItems
maxItems properties additionalProperties patternProperties required minProperties maxProperties
minLength maxLength pattern format minimum maximum exclusiveMinimum exclusiveMaximum multipleOf
nullable"""
ENFORCED = frozenset(FOLLOWED.split())
AFTERWARDS = """not if then else contains minContains maxContains uniqueItems propertyNames
dependencies dependentRequired dependentSchemas unevaluatedItems unevaluatedProperties"""
CHECKED = frozenset(AFTERWARDS.split())  # by --schema-check, as generation cannot enforce them
LEFT_OUT = "$dynamicRef $dynamicAnchor $recursiveRef $recursiveAnchor $vocabulary"
UNSUPPORTED = CHECKED | frozenset(LEFT_OUT.split())
SINCE = {"const": 6, "$id": 6, "$anchor": 2019, "prefixItems": 2020}
UNTIL = {"id": 4, "additionalItems": 2019}
TYPES = ("null", "boolean", "integer", "number", "string", "array", "object")
NUMBERS = ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf")
CHECK_IT = "add --schema-check to check answers for it afterwards, or remove it"


@dataclass(frozen=True, slots=True)
class SchemaPart:
    """A subschema, and the JSON pointer to it."""

    pointer: str
    schema: Any  # a dict or a bool


@dataclass(frozen=True, slots=True)
class Document:
    """A schema, its draft, and all its parts by pointer, deepest first."""

    schema: Any  # a dict or a bool
    draft: int
    parts: Mapping[str, SchemaPart]
    names: Mapping[str, str]  # text of a $ref -> the pointer that it means

    @property
    def uri(self) -> str:
        """The URI of its draft."""
        return URIS[self.draft]

    def target(self, reference: str) -> str:
        """The pointer that a $ref means; every $ref of a parsed document has one."""
        return self.names.get(reference, reference)


def read_schema(text: str) -> Document:
    """Parses a schema. Raises UsageError with the position."""
    try:
        schema = _parsed(text)
        draft = _draft(schema)
        walk = _Walk(schema, draft)
        _check_finite(walk.parts, walk.names)
    except RecursionError:
        hint = "give deep parts names in $defs, and refer to them"
        raise UsageError("the JSON schema is nested too deeply", hint) from None
    deepest = sorted(walk.parts.values(), key=lambda part: -part.pointer.count("/"))
    return Document(schema, draft, {part.pointer: part for part in deepest}, walk.names)


# --- reading -----------------------------------------------------------------------------------


def _parsed(text: str) -> Any:
    try:
        schema = read_json(text)
    except ValueError as error:
        hint = 'a schema is a JSON object, like \'{"type": "object"}\''
        raise UsageError(f"the JSON schema is not valid JSON: {error}", hint) from None
    if not isinstance(schema, dict | bool):
        raise UsageError(f"the JSON schema is {text.strip():.40}, not an object", "give an object")
    return schema


def _draft(schema: Any) -> int:
    """The draft that the schema names; else the first that it conforms to."""
    named = schema.get("$schema") if isinstance(schema, dict) else None
    if named is None:
        fitting = (draft for draft in GUESSED if _shape_error(schema, draft) is None)
        draft = next(fitting, GUESSED[0])
    else:
        draft = DRAFTS.get(named.removesuffix("#"), 0) if isinstance(named, str) else 0
        if not draft:
            known = "Lepton reads drafts 4, 6, 7, 2019-09 and 2020-12"
            raise UsageError(f"the JSON schema's $schema is {named!r:.80}, which is unknown", known)
    _check_shape(schema, draft)
    return draft


def _shape_error(schema: Any, draft: int) -> SchemaError | None:
    """The first violation of the draft's meta-schema, or None."""
    try:
        validator = validator_for({"$schema": URIS[draft]})
        validator.check_schema(schema, FormatChecker(formats=()))
    except SchemaError as error:
        return error
    return None


def _check_shape(schema: Any, draft: int) -> None:
    error = _shape_error(schema, draft)
    if error is None:
        return
    path = list(error.absolute_path)
    if "type" in path[-1:] or "type" in path[-2:-1]:
        nearest = difflib.get_close_matches(str(error.instance), TYPES, n=1)
        hint = f"did you mean {nearest[0]}?" if nearest else f"types are {', '.join(TYPES)}"
        message = f"the JSON schema's type at {written_pointer(path)} is {error.instance!r:.40}"
        raise UsageError(message, hint) from None
    message = f"the JSON schema is wrong at {written_pointer(path)}: {error.message:.120}"
    raise UsageError(message, "see json-schema.org for the values of keywords") from None


# --- keywords ----------------------------------------------------------------------------------


class _Walk:
    """Checks all parts of a schema, including those that only a $ref reaches."""

    def __init__(self, root: Any, draft: int) -> None:
        self.parts: dict[str, SchemaPart] = {}
        self.names: dict[str, str] = {"#": "#", "": "#"}
        self._root, self._draft = root, draft
        self._inner: list[str] = []  # parts with their own id
        self._id = _own_id(root)
        if self._id:
            self.names |= {self._id: "#", f"{self._id}#": "#"}
        references = list(self._enter(root, "#"))
        while references:
            reference, pointer = references.pop()
            target = self._target(reference, pointer)
            if target not in self.parts:
                references += self._enter(self._resolved(target, pointer), target)

    def _enter(self, schema: Any, pointer: str) -> Iterator[tuple[str, str]]:
        """Checks a part; yields its references with their positions."""
        if pointer in self.parts:
            return
        self.parts[pointer] = SchemaPart(pointer, schema)
        if isinstance(schema, bool):
            return
        if not isinstance(schema, dict):
            raise UsageError(
                f"the JSON schema at {pointer} is not a schema", "give an object there"
            )
        self._name(schema, pointer)
        for keyword, value in schema.items():
            self._check(keyword, value, pointer)
            for name, part in parts_of(keyword, value):
                yield from self._enter(part, f"{pointer}{name}")
        if "$ref" in schema:
            yield schema["$ref"], pointer

    def _name(self, schema: Mapping[str, Any], pointer: str) -> None:
        """Records the names by which a $ref may refer to a part."""
        if "$anchor" in schema:
            self.names[f"#{schema['$anchor']}"] = pointer
        own = _own_id(schema)
        if own and pointer != "#":
            self.names[own] = pointer
            self._inner.append(pointer)

    def _check(self, keyword: str, value: Any, pointer: str) -> None:
        self._check_known(keyword, pointer)
        place = f"{pointer}/{keyword}"
        if keyword == "$schema" and pointer != "#":
            raise _unsupported(keyword, pointer, "it is allowed only at the top")
        patterns = [value] if keyword == "pattern" else []
        patterns += list(value) if keyword == "patternProperties" else []
        for pattern in patterns:
            try:
                portable_pattern(pattern)
            except ValueError as error:
                message = f"the JSON schema's pattern {pattern!r:.80} at {place} is wrong: {error}"
                raise UsageError(
                    message, "correct it: a regular expression of ECMAScript"
                ) from None
        if keyword in ("const", "enum", *NUMBERS):
            _check_numbers(value, place)

    def _check_known(self, keyword: str, pointer: str) -> None:
        if keyword in UNSUPPORTED - CHECKED:
            raise _unsupported(keyword, pointer, "Lepton cannot enforce it")
        known = ENFORCED | ANNOTATIONS | CHECKED
        if keyword not in known and not keyword.startswith("x-"):
            nearest = difflib.get_close_matches(keyword, sorted(known), n=1)
            hint = (
                f"did you mean {nearest[0]}?" if nearest else "remove it, or describe it in title"
            )
            raise UsageError(
                f"the JSON schema has an unknown keyword {keyword!r} at {pointer}", hint
            )
        since, until = SINCE.get(keyword, 0), UNTIL.get(keyword, 9999)
        if not since <= self._draft <= until:
            raise _unsupported(keyword, pointer, f"draft {self._draft} has no such keyword")

    def _target(self, reference: str, pointer: str) -> str:
        """The pointer that a $ref means. Raises UsageError for a reference outside the schema."""
        for inner in self._inner if reference.startswith("#") else ():
            if f"{pointer}/".startswith(f"{inner}/"):
                raise _unsupported("$id", inner, f"{reference} would mean something else within it")
        if self._id and reference.startswith(f"{self._id}#"):
            reference = self.names.setdefault(reference, reference.removeprefix(self._id))
        found = self.names.get(reference, reference)
        if found == "#" or found.startswith("#/"):
            return found
        raise UsageError(
            f"the JSON schema at {pointer} has the $ref {reference!r:.80}, which is not in it",
            "copy its target into $defs and refer to #/$defs/...",
        )

    def _resolved(self, reference: str, pointer: str) -> Any:
        target = self._root
        for raw in reference[2:].split("/"):
            key = _unquoted(raw)
            if isinstance(target, list) and key.isdecimal() and int(key) < len(target):
                target = target[int(key)]
            elif isinstance(target, dict) and key in target:
                target = target[key]
            else:
                message = (
                    f"the JSON schema at {pointer} refers to {reference}, which does not exist"
                )
                raise UsageError(message, "define it, or correct the $ref")
        return target


def _own_id(schema: Any) -> str | None:
    found = schema.get("$id", schema.get("id")) if isinstance(schema, dict) else None
    return found if isinstance(found, str) and not found.startswith("#") else None


def _unquoted(key: str) -> str:
    """A pointer's step, unescaped (first %-escapes, as in a URL)."""
    key = re.sub("%([0-9A-Fa-f]{2})", lambda found: chr(int(found[1], 16)), key)
    return key.replace("~1", "/").replace("~0", "~")


def _unsupported(keyword: str, pointer: str, why: str) -> UsageError:
    return UsageError(f"the JSON schema has {keyword!r} at {pointer}: {why}", f"remove {keyword}")


def parts_of(keyword: str, value: Any) -> Iterator[tuple[str, Any]]:
    """The subschemas in a keyword's value, with their relative pointers."""
    if keyword in MAPS:
        for name, part in value.items():
            if keyword != "dependencies" or not isinstance(part, list):
                yield f"/{keyword}{pointer_to(name)}", part
    elif keyword in LISTS or (keyword in SINGLES and isinstance(value, list)):
        for number, part in enumerate(value):
            yield f"/{keyword}/{number}", part
    elif keyword in SINGLES:
        yield f"/{keyword}", value


def _check_numbers(value: Any, place: str) -> None:
    """Refuses numbers that 64-bit floats cannot hold exactly."""
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


def _check_finite(parts: Mapping[str, SchemaPart], names: Mapping[str, str]) -> None:
    """Refuses schemas that always contain themselves: their texts would be infinite."""
    ended: set[str] = set()
    grown = True
    while grown:
        found = {each for each, part in parts.items() if _ends(part, names, ended)}
        grown, ended = len(found) > len(ended), found
    for pointer in sorted(parts.keys() - ended, key=len):
        message = (
            f"the JSON schema at {pointer} always contains itself: no finite text satisfies it"
        )
        raise UsageError(message, "make a property optional, or allow null, where it repeats")


def _ends(part: SchemaPart, names: Mapping[str, str], ended: set[str]) -> bool:
    """Whether a finite text satisfies it if only the parts in `ended` have one."""
    schema, here = part.schema, part.pointer
    if isinstance(schema, bool):
        return True
    if "$ref" in schema and names.get(schema["$ref"], schema["$ref"]) not in ended:
        return False
    if schema.get("nullable") is True:
        return True
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
        return all(f"{here}/properties{pointer_to(name)}" in ended for name in needed)
    if kind == "array" and schema.get("minItems", 0):
        prefix = schema.get("prefixItems", ())[: schema["minItems"]]
        listed = [f"{here}/prefixItems/{number}" for number in range(len(prefix))]
        if len(prefix) < schema["minItems"] and isinstance(schema.get("items"), dict):
            listed.append(f"{here}/items")
        return all(each in ended for each in listed)
    return True
