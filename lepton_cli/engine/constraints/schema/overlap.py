"""Whether one value can satisfy two parts of a JSON schema, which decides `oneOf`."""

from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from itertools import combinations, product
from typing import Any

from lepton_cli.engine.constraints.schema.answers import validator
from lepton_cli.engine.constraints.schema.check import ANNOTATIONS, TYPES, Document
from lepton_cli.engine.constraints.schema.patterns import portable_pattern

MAX_DEPTH = 8  # of nested properties that are compared
BOUNDS = {  # for each type, the keywords of its lower and upper bounds
    "string": ("minLength", "maxLength"),
    "array": ("minItems", "maxItems"),
    "object": ("minProperties", "maxProperties"),
    "number": ("minimum", "maximum"),
}


class Overlap:
    """Overlap tests for one document. "No" is certain; "yes" means that a value may exist."""

    def __init__(self, document: Document) -> None:
        self._document = document

    def possible(self, one: str, other: str, depth: int = 0) -> bool:
        """Whether a value may satisfy both parts, given by pointers."""
        if depth > MAX_DEPTH:
            return True
        for branches, rest in ((self._branches(one), other), (self._branches(other), one)):
            for alternatives in branches:
                if not any(self.possible(each, rest, depth + 1) for each in alternatives):
                    return False
        return not self._apart(self.view(one), self.view(other), depth)

    def view(self, pointer: str) -> "View":
        """A part together with its $ref target and its allOf."""
        return View([self._document.parts[each].schema for each in self._joined(pointer)])

    def apart_by(self, name: str, views: Sequence["View"]) -> bool:
        """Whether a property distinguishes the objects if all of them have it."""
        places = [self._property(view, name) for view in views]
        return all(
            any(not self.possible(a, b) for a, b in product(one, other))
            for one, other in combinations(places, 2)
        )

    def same_value(self, pointer: str) -> list[str]:
        """All parts for the same value, including alternatives."""
        return self._joined(pointer, alternatives=True)

    def _joined(self, pointer: str, *, alternatives: bool = False) -> list[str]:
        lists = ("allOf", "anyOf", "oneOf") if alternatives else ("allOf",)
        found, waiting = list[str](), [pointer]
        while waiting:
            here = waiting.pop()
            if here in found:
                continue
            found.append(here)
            schema = self._document.parts[here].schema
            if isinstance(schema, dict):
                waiting += [self._document.target(schema["$ref"])] if "$ref" in schema else []
                for each in lists:
                    count = len(schema.get(each, ()))
                    waiting += [f"{here}/{each}/{n}" for n in reversed(range(count))]
        return found

    def _branches(self, pointer: str) -> Iterator[list[str]]:
        """The alternatives of each anyOf and oneOf."""
        for here in self._joined(pointer):
            schema = self._document.parts[here].schema
            for either in ("anyOf", "oneOf"):
                if isinstance(schema, dict) and either in schema:
                    yield [f"{here}/{either}/{n}" for n in range(len(schema[either]))]

    def _apart(self, one: "View", other: "View", depth: int) -> bool:
        types = one.types & other.types
        if not types or self._values_differ(one, other) or self._values_differ(other, one):
            return True
        if len(types) == 1 and any(_beyond(a, b, *types) for a, b in ((one, other), (other, one))):
            return True
        return types == {"object"} and self._objects_apart(one, other, depth)

    def _values_differ(self, one: "View", other: "View") -> bool:
        """Whether `one` is a list of values that `other` does not allow."""
        if one.values is None:
            return False
        whole = validator(self._document.schema, self._document.uri)
        return not any(
            all(whole.evolve(schema=schema).is_valid(value) for schema in other.schemas)
            for value in one.values
        )

    def _objects_apart(self, one: "View", other: "View", depth: int) -> bool:
        """Whether a required property cannot satisfy both."""
        for name in one.required | other.required:
            if one.lacks(name) or other.lacks(name):
                return True
            pairs = product(self._property(one, name), self._property(other, name))
            if any(not self.possible(a, b, depth + 1) for a, b in pairs):
                return True
        return False

    def _property(self, view: "View", name: str) -> list[str]:
        schemas = [schema["properties"][name] for schema in view.declaring(name)]
        return [self._pointers[id(schema)] for schema in schemas if id(schema) in self._pointers]

    @cached_property
    def _pointers(self) -> Mapping[int, str]:
        parts = self._document.parts.values()
        return {id(part.schema): part.pointer for part in parts if isinstance(part.schema, dict)}


class View:
    """Several schemas that one value must satisfy."""

    def __init__(self, schemas: Sequence[Any]) -> None:
        self.schemas = schemas
        self._dicts: list[Mapping[str, Any]] = [each for each in schemas if isinstance(each, dict)]

    @cached_property
    def types(self) -> frozenset[str]:
        found = frozenset(TYPES)
        for schema in self.schemas:
            found &= _types(schema)
        return found

    @cached_property
    def values(self) -> list[Any] | None:
        """The list of allowed values, if there is one."""
        for schema in self._dicts:
            if "const" in schema:
                return [schema["const"]]
            if "enum" in schema:
                return list(schema["enum"])
        return None

    @cached_property
    def required(self) -> frozenset[str]:
        """The required properties of an object."""
        return frozenset(name for each in self._dicts for name in each.get("required", ()))

    @property
    def names(self) -> list[str]:
        """The properties that it declares."""
        return [name for each in self._dicts for name in each.get("properties", ())]

    @property
    def declares(self) -> bool:
        return bool(self.names or self.required)

    @property
    def text_pattern(self) -> str | None:
        """A pattern of the allowed texts; "" for all; None if unknown."""
        rules = {key for each in self._dicts for key in each} - ANNOTATIONS - {"type", "$ref"}
        if "string" not in self.types or not rules <= {"pattern", "enum", "const"}:
            return None
        if self.values is not None:
            texts = [each for each in self.values if isinstance(each, str)]
            return f"^(?:{'|'.join(map(_literal, texts))})$" if len(rules) == 1 else None
        patterns = self.bounds("pattern")
        return None if len(patterns) > 1 else portable_pattern("".join(patterns))

    def declaring(self, name: str) -> list[Mapping[str, Any]]:
        return [each for each in self._dicts if name in each.get("properties", {})]

    def lacks(self, name: str) -> bool:
        """Whether the property can never be present."""
        return any(
            each.get("additionalProperties") is False
            and name not in each.get("properties", {})
            and not each.get("patternProperties")
            for each in self._dicts
        )

    def bounds(self, key: str) -> list[Any]:
        return [each[key] for each in self._dicts if key in each]


def _literal(text: str) -> str:
    return "".join(rf"\U{ord(letter):08x}" for letter in text)


def _types(schema: Any) -> frozenset[str]:
    """The types of a schema; integers are numbers, too."""
    if isinstance(schema, bool):
        return frozenset(TYPES if schema else ())
    named = schema.get("type", TYPES)
    found = {named} if isinstance(named, str) else set(named)
    if "number" in found:
        found.add("integer")
    if schema.get("nullable") is True:
        found.add("null")
    return frozenset(found)


def _beyond(low: View, high: View, kind: str) -> bool:
    """Whether all values of `low` are below all of `high`, by the bounds of their type."""
    least, most = BOUNDS.get("number" if kind == "integer" else kind, ("", ""))
    tops, floors = low.bounds(most), high.bounds(least)
    return any(top < floor for top, floor in product(tops, floors))
