"""Values in calls of tools, as models write them: JSON, like Python, or with marks of their own."""

import re
from collections.abc import Mapping
from typing import Any

from lepton_cli.engine.library.json_values import STRICT

CONSTANTS = {"true": True, "True": True, "false": False, "False": False, "null": None, "None": None}
BLANKS, BARE = re.compile(r"\s*"), re.compile(r"[\w.\-]+")
QUOTED = r"'(?P<single>(?:[^'\\]|\\.)*)'|\"(?P<double>(?:[^\"\\]|\\.)*)\""
ESCAPE = re.compile(r"\\(?:x([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|(.))", re.DOTALL)
ESCAPED = {"n": "\n", "t": "\t", "r": "\r", "b": "\b", "f": "\f", "\n": ""}
TYPES = {dict: "object", list: "array", str: "string", bool: "boolean", type(None): "null"}
EMPTY = {"array": list[Any], "object": dict[str, Any]}


def json_at(text: str, place: int) -> tuple[Any, int] | None:
    """The JSON value at a place and its end; None if there is none."""
    try:
        return STRICT.raw_decode(text, place)
    except (ValueError, RecursionError):
        return None


def literal_at(text: str, place: int, mark: str = "") -> tuple[Any, int] | None:
    """The value at a place, and its end: JSON, or as Python writes it, or with bare keys.

    `mark` begins and ends texts, beside the usual quotes.
    """
    try:
        return json_at(text, place) or _Literals(text, mark).value(place)
    except (ValueError, RecursionError):
        return None


def value_of(text: str, schema: Any) -> Any:
    """Text, or the value that it is a literal of, as the schema of a parameter wants."""
    wanted = types_of(schema)
    if wanted == ["string"]:
        return text
    if not text and len(wanted) == 1 and wanted[0] in EMPTY:
        return EMPTY[wanted[0]]()
    stripped = text.strip()
    value, end = literal_at(stripped, 0) or (None, -1)
    is_text = isinstance(value, str) and not stripped.startswith('"')
    if end != len(stripped) or is_text or ("string" in wanted and not _fits(value, wanted)):
        return text
    return value


def types_of(schema: Any) -> list[str]:
    """The types that a schema names, which may be no valid one."""
    kind = schema.get("type") if isinstance(schema, Mapping) else None
    return [each for each in (kind if isinstance(kind, list) else [kind]) if isinstance(each, str)]


def _fits(value: Any, wanted: list[str]) -> bool:
    if type(value) in TYPES:
        return TYPES[type(value)] in wanted
    return "number" in wanted or ("integer" in wanted and isinstance(value, int))


class _Literals:
    """Reads values from a text. Its methods raise ValueError where there is none."""

    def __init__(self, text: str, mark: str) -> None:
        marked = (
            f"{re.escape(mark)}(?P<marked>.*?){re.escape(mark)}|" if mark else "(?P<marked>(?!))|"
        )
        self._text, self._quoted = text, re.compile(marked + QUOTED, re.DOTALL)

    def value(self, place: int) -> tuple[Any, int]:
        if self._text.startswith("{", place):
            return self._object(place + 1)
        if self._text.startswith("[", place):
            return self._list(place + 1)
        if quoted := self._quoted.match(self._text, place):
            return _unquoted(quoted), quoted.end()
        word = BARE.match(self._text, place)
        if word and word[0] in CONSTANTS:
            return CONSTANTS[word[0]], word.end()
        return STRICT.raw_decode(self._text, place)

    def _object(self, place: int) -> tuple[dict[str, Any], int]:
        found = dict[str, Any]()
        while not self._text.startswith("}", place := self._after_blanks(place)):
            key = self._quoted.match(self._text, place) or BARE.match(self._text, place)
            if key is None:
                raise ValueError("a key is missing")
            colon = self._after_blanks(key.end())
            if not self._text.startswith(":", colon):
                raise ValueError("a colon is missing")
            name = _unquoted(key) if key.re is self._quoted else key[0]
            found[name], place = self.value(self._after_blanks(colon + 1))
            place = self._after_comma(place, "}")
        return found, place + 1

    def _list(self, place: int) -> tuple[list[Any], int]:
        found = list[Any]()
        while not self._text.startswith("]", place := self._after_blanks(place)):
            value, place = self.value(place)
            found.append(value)
            place = self._after_comma(place, "]")
        return found, place + 1

    def _after_comma(self, place: int, end: str) -> int:
        place = self._after_blanks(place)
        if self._text.startswith(",", place):
            return place + 1
        if not self._text.startswith(end, place):
            raise ValueError("a comma is missing")
        return place

    def _after_blanks(self, place: int) -> int:
        blanks = BLANKS.match(self._text, place)
        return blanks.end() if blanks else place


def _unquoted(quoted: re.Match[str]) -> str:
    if quoted["marked"] is not None:
        return quoted["marked"]
    return ESCAPE.sub(
        _unescaped, quoted["double"] if quoted["single"] is None else quoted["single"]
    )


def _unescaped(escape: re.Match[str]) -> str:
    code = escape[1] or escape[2]
    return chr(int(code, 16)) if code else ESCAPED.get(escape[3], escape[3])
