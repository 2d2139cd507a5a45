"""Translates a JSON schema for the engine: closed objects, no annotations, one draft.

Texts of the result satisfy the given schema. It may allow less: objects have only declared
properties even if the schema allows others, as in llama.cpp, since a model might add properties
without end. What generation cannot enforce is left to the check of answers, if requested.
"""

from collections.abc import Iterable, Sequence
from itertools import combinations
from typing import Any

import regex

from lepton_cli.engine.constraints.schema.answers import pointer_to
from lepton_cli.engine.constraints.schema.check import ANNOTATIONS, CHECK_IT, Document
from lepton_cli.engine.constraints.schema.formats import (
    FORMATS,
    FREE,
    INTEGERS,
    TEXT_PATTERNS,
    checkable_formats,
)
from lepton_cli.engine.constraints.schema.overlap import Overlap
from lepton_cli.engine.constraints.schema.patterns import portable_pattern, without_looks
from quant.errors import UsageError

Names = tuple[str, ...] | None  # of properties, without duplicates; None: any
Schema = dict[str, Any]
COPIED = """type const enum minItems maxItems required minProperties maxProperties minLength
maxLength minimum maximum multipleOf"""
AS_GIVEN = frozenset(COPIED.split())
LOOKS = regex.compile(
    r"\(\?<?[=!]|(?<!\\)(?:\\\\)*\\[bBk1-9]"
)  # parts of a pattern that are not a regular language
AT_ONCE = ("anyOf", "oneOf", "allOf")  # lists of schemas for the same value


def engine_schema(document: Document, part: str, *, checked: bool) -> Schema:
    """The part at a pointer, as a complete schema. `checked`: answers are checked afterwards.

    Raises UsageError naming what cannot be enforced.
    """
    writer = _Writer(document, checked=checked)
    return {**writer.reference(part, ()), "$defs": writer.definitions()}


def has_maps(schema: Any) -> bool:
    """Whether objects of an engine schema may have arbitrary keys."""
    if not isinstance(schema, dict):
        return schema is True
    own = schema.keys() - {"allOf", "anyOf", "$ref", "$defs"}
    if (own or not schema) and not schema.keys() & {"const", "enum"} and _is_open(schema):
        return True
    parts = [*schema.get("properties", {}).values(), *schema.get("$defs", {}).values()]
    parts += [each for name in ("allOf", "anyOf", "prefixItems") for each in schema.get(name, ())]
    return any(map(has_maps, [*parts, schema.get("items")]))


def _is_open(schema: Schema) -> bool:
    """Whether it allows objects with any keys, or lists of anything."""
    types = schema.get("type", ("object", "array"))
    closed = schema.get("additionalProperties") is False and not schema.get("patternProperties")
    return ("object" in types and not closed) or ("array" in types and "items" not in schema)


class _Writer:
    """Writes parts; each pair of a $ref's target and the names around it is a definition."""

    def __init__(self, document: Document, *, checked: bool) -> None:
        self._document, self._checked = document, checked
        self._overlap = Overlap(document)
        self._referred: dict[tuple[str, Names], str] = {}

    def reference(self, pointer: str, around: Names) -> Schema:
        name = self._referred.setdefault((pointer, around), str(len(self._referred)))
        return {"$ref": f"#/$defs/{name}"}

    def definitions(self) -> Schema:
        """The definitions of everything that is referred to, directly or indirectly."""
        found: Schema = {}
        while len(found) < len(self._referred):
            (pointer, around), name = list(self._referred.items())[len(found)]
            found[name] = self._part(pointer, around)
        return found

    def _part(self, here: str, around: Names = ()) -> Any:
        """Writes a part. `around`: properties that other parts declare for the same object."""
        schema = self._document.parts[here].schema
        if isinstance(schema, bool):
            return schema
        found: Schema = {}
        for keyword, value in schema.items():
            for name, written in self._keyword(keyword, value, here, around).items():
                found[name] = [*found.get(name, ()), *written] if name == "allOf" else written
        self._close(found, here, around)
        self._limit(found, here)
        return {"anyOf": [found, {"type": "null"}]} if schema.get("nullable") is True else found

    def _keyword(self, keyword: str, value: Any, here: str, around: Names) -> Schema:
        place = f"{here}/{keyword}"
        match keyword:
            case _ if keyword in AS_GIVEN:
                return {keyword: value}
            case "$ref":
                target = self._document.target(value)
                return self.reference(target, self._around(here, target, keyword, around))
            case "anyOf" | "allOf":
                return {keyword: self._branches(keyword, here, around)}
            case "oneOf":
                self._tell_apart(here)
                return {"allOf": [{"anyOf": self._branches(keyword, here, around)}]}
            case "properties":
                return {keyword: {name: self._part(place + pointer_to(name)) for name in value}}
            case "patternProperties":
                found = {
                    self._pattern(each, place): self._part(place + pointer_to(each))
                    for each in value
                }
                return {keyword: found}
            case "items" | "prefixItems" if isinstance(value, list):
                return {"prefixItems": [self._part(f"{place}/{n}") for n in range(len(value))]}
            case "items" | "additionalProperties":
                return {keyword: self._part(place)}
            case "additionalItems":
                listed = isinstance(self._document.parts[here].schema.get("items"), list)
                return {"items": self._part(place)} if listed else {}
            case "exclusiveMinimum" | "exclusiveMaximum":
                return self._exclusive(keyword, value, here)
            case "unevaluatedItems" if self._is_list_alone(here):
                return {"items": self._part(place)}
            case "pattern":
                regular = without_looks(portable_pattern(value)) if self._checked else value
                referring = self._checked and LOOKS.search(regular)  # a backreference
                return {} if referring else {keyword: self._pattern(regular, place)}
            case "format":
                return self._format(value, here)
        if keyword not in ANNOTATIONS and not keyword.startswith("x-") and keyword != "nullable":
            self._leave(keyword, value, here)
        return {}

    # --- what the check is left with ---------------------------------------------------------

    def _leave(self, keyword: str, value: Any, here: str) -> None:
        """Raises UsageError for a keyword that is neither enforced nor checked."""
        if self._checked or self._says_nothing(keyword, value, here):
            return
        why = "Lepton cannot enforce it while generating"
        raise UsageError(f"the JSON schema has {keyword!r} at {here}: {why}", CHECK_IT)

    def _says_nothing(self, keyword: str, value: Any, here: str) -> bool:
        """Whether everything that can be generated satisfies it anyway."""
        schema = self._document.parts[here].schema
        match keyword:
            case "uniqueItems":
                return value is False or schema.get("maxItems", 2) <= 1
            case "propertyNames":
                return value is True or self._names_pattern(here) is not None
            case "unevaluatedProperties":
                return value in (True, {}) or self._all_names(here, ()) is not None
            case "unevaluatedItems":
                return value in (True, {})
        return False

    def _is_list_alone(self, here: str) -> bool:
        """Whether only this part describes the list's items, and leaves some open."""
        alone = self._overlap.same_value(here) == [here]
        return alone and not {"items", "contains"} & self._document.parts[here].schema.keys()

    def _pattern(self, pattern: str, place: str) -> str:
        """The pattern for the engine. Raises UsageError if it is not a regular language."""
        written = portable_pattern(pattern)
        looks = LOOKS.search(written)
        if looks is None:
            return written
        what = "a look-around" if looks[0].startswith("(") else "a boundary or backreference"
        message = f"the JSON schema's pattern at {place} has {what}, {looks[0]!r}"
        raise UsageError(f"{message}: Lepton cannot enforce it while generating", CHECK_IT)

    def _format(self, name: str, here: str) -> Schema:
        if name in FORMATS:
            return {"format": name}
        if name in INTEGERS:
            low, high = INTEGERS[name]
            return {"allOf": [{"minimum": low, "maximum": high}]}
        if name in TEXT_PATTERNS:
            return {"allOf": [{"pattern": TEXT_PATTERNS[name]}]}
        beside = "pattern" in self._document.parts[here].schema
        if name in FREE or beside or (self._checked and name in checkable_formats()):
            return {}
        known = ", ".join(sorted(FORMATS | TEXT_PATTERNS.keys()))
        cure = CHECK_IT if name in checkable_formats() else f"formats are {known}; or use pattern"
        message = f"the JSON schema has the format {name!r:.40} at {here}/format"
        raise UsageError(f"{message}, which is not enforced", cure)

    def _exclusive(self, keyword: str, value: Any, here: str) -> Schema:
        """An exclusive bound; in draft 4 it is a boolean beside the bound."""
        if not isinstance(value, bool):
            return {keyword: value}
        schema = self._document.parts[here].schema
        bound = schema.get("minimum" if keyword == "exclusiveMinimum" else "maximum")
        return {keyword: bound} if value and bound is not None else {}

    # --- schemas that speak of the same value ------------------------------------------------

    def _branches(self, keyword: str, here: str, around: Names) -> list[Any]:
        schema = self._document.parts[here].schema
        places = [f"{here}/{keyword}/{n}" for n in range(len(schema[keyword]))]
        found = [self._part(each, self._around(here, each, keyword, around)) for each in places]
        name = self._telling(places) if keyword == "oneOf" else None
        if name is None:
            return found
        return [{"allOf": [each, {"type": "object", "required": [name]}]} for each in found]

    def _tell_apart(self, here: str) -> None:
        """Raises UsageError if a value may satisfy two alternatives of a oneOf."""
        alternatives = self._document.parts[here].schema["oneOf"]
        places = [f"{here}/oneOf/{n}" for n in range(len(alternatives))]
        if self._checked or self._are_apart(places) or self._telling(places) is not None:
            return
        message = f"the JSON schema's oneOf at {here} has alternatives that may overlap"
        cure = "use anyOf, or give each its own required constant or type; "
        raise UsageError(message, f"{cure}or add --schema-check to check answers afterwards")

    def _are_apart(self, places: Sequence[str]) -> bool:
        """Whether a text generated for one of them never satisfies another."""
        return all(
            not self._overlap.possible(one, other)
            or (self._misses(one, other) and self._misses(other, one))
            for one, other in combinations(places, 2)
        )

    def _misses(self, one: str, other: str) -> bool:
        """Whether objects generated for `one` lack a required property of `other`."""
        mine, theirs = self._overlap.view(one), self._overlap.view(other)
        if {"object"} not in (mine.types, theirs.types) or not mine.declares:
            return False
        names = self._all_names(one, ())
        return names is not None and not theirs.required <= set(names)

    def _telling(self, places: Sequence[str]) -> str | None:
        """A property that distinguishes the alternatives if each requires it."""
        if self._are_apart(places):
            return None
        views = [self._overlap.view(each) for each in places]
        if any(view.types != {"object"} for view in views):
            return None
        return next((n for n in views[0].names if self._overlap.apart_by(n, views)), None)

    # --- closed objects ----------------------------------------------------------------------

    def _close(self, found: Schema, here: str, around: Names) -> None:
        """Closes an object: only declared properties are allowed."""
        schema = self._document.parts[here].schema
        declares = {"properties", "patternProperties"} & schema.keys() or schema.get("required")
        shut = schema.get("unevaluatedProperties", True) not in (True, {})
        others = [self._names(each) for each in self._overlap.same_value(here)[1:]]
        names = _joined([schema.get("properties", ()), schema.get("required", ()), around, *others])
        if not (declares or shut) or "additionalProperties" in schema or names is None:
            return
        if "patternProperties" in schema or schema.get("minProperties", 0) <= len(names):
            properties = found.get("properties", {})
            found["properties"] = {**properties, **{n: properties.get(n, True) for n in names}}
            found["additionalProperties"] = False

    def _all_names(self, here: str, around: Names) -> Names:
        return _joined([around, *(self._names(each) for each in self._overlap.same_value(here))])

    def _around(self, here: str, member: str, keyword: str, around: Names) -> Names:
        """The names around a branch: all except its own and its alternatives'."""
        schema = self._document.parts[here].schema
        names = [around, self._names(here)]
        for each in AT_ONCE:
            if each != keyword or each == "allOf":
                places = [f"{here}/{each}/{n}" for n in range(len(schema.get(each, ())))]
                names += [self._all_names(place, ()) for place in places if place != member]
        if "$ref" in schema and keyword != "$ref":
            names.append(self._all_names(self._document.target(schema["$ref"]), ()))
        return _joined(names)

    def _names(self, here: str) -> Names:
        """The names that a part itself declares."""
        schema = self._document.parts[here].schema
        if isinstance(schema, bool):
            return ()
        if "patternProperties" in schema or schema.get("additionalProperties", False) is not False:
            return None
        return (*schema.get("properties", ()), *schema.get("required", ()))

    def _limit(self, found: Schema, here: str) -> None:
        """Limits names and number of properties, as far as the engine supports it."""
        schema = self._document.parts[here].schema
        pattern = self._names_pattern(here)
        if pattern and found.get("additionalProperties") is not False:
            found["patternProperties"] = {pattern: found.get("additionalProperties", True)}
            found["additionalProperties"] = False
        if found.get("additionalProperties") is not False or "patternProperties" in found:
            return
        count, needed = len(found.get("properties", ())), len(schema.get("required", ()))
        least, most = found.get("minProperties", 0), found.get("maxProperties", count)
        one_or_more = least <= needed + 1 and most in (
            needed + 1,
            count,
        )  # the counts that the engine supports
        left = self._checked and needed < count and not one_or_more
        if left or most >= count:
            found.pop("maxProperties", None)
        if left or least <= needed:
            found.pop("minProperties", None)

    def _names_pattern(self, here: str) -> str | None:
        """propertyNames as a pattern; "" if there is none; None if it cannot be one."""
        schema = self._document.parts[here].schema
        if not isinstance(schema, dict) or "propertyNames" not in schema:
            return ""
        view = self._overlap.view(f"{here}/propertyNames")
        pattern = view.text_pattern
        if pattern is None or LOOKS.search(pattern) or "patternProperties" in schema:
            return None
        known = regex.compile(pattern)
        return pattern if all(map(known.search, schema.get("properties", ()))) else None


def _joined(names: Sequence[Iterable[str] | None]) -> Names:
    found: dict[str, None] = {}
    for each in names:
        if each is None:
            return None
        found |= dict.fromkeys(each)
    return tuple(found)
