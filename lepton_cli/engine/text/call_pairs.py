r"""Forms of calls of tools in which each argument has marks of its own around key and value.

pairs       <function=f>\n<parameter=k>\nv\n</parameter>\n</function>
elements    <invoke name="f"><k>v</k><list><item>1</item></list></invoke>
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from lepton_cli.engine.library.json_values import Plain
from lepton_cli.engine.text.call_probes import (
    INNER,
    KEY,
    MARKUP,
    MORE,
    NAME,
    NESTED,
    NUMBER,
    TEXTS,
    VALUE,
    WORD,
    CallWriter,
    common_beginning,
    common_end,
    loose,
    marker,
)
from lepton_cli.engine.text.call_values import json_at, literal_at, types_of, value_of

Tools = Sequence[Mapping[str, Any]]

KEY_PATTERN = r"(?P<key>[^\s<>{}]+?)"
OTHERS: dict[str, Plain] = {  # a value of each JSON type but text
    "number": NUMBER,
    "boolean": True,
    "null": None,
    "object": NESTED,
    "array": [*TEXTS],
}


@dataclass(frozen=True, slots=True)
class PairsForm:
    """A name, then keys and values between marks; `each` begins a call, `end` ends it, or
    `empty` where there are none.

    `key` is what a pair begins with, `text` the rest if its value is text. Values of other kinds
    are literals (`mark` begins and ends their texts); `others` are what is before and behind them.
    """

    opening: str
    each: re.Pattern[str]
    key: re.Pattern[str]
    text: re.Pattern[str]
    others: tuple[tuple[re.Pattern[str], re.Pattern[str]], ...]
    mark: str
    end: re.Pattern[str]
    empty: re.Pattern[str]

    def found(self, text: str, tools: Tools) -> Iterator[tuple[int, str, Any]]:
        for call in self.each.finditer(text):
            schema, arguments, place = _schema(tools, call[1]), dict[str, Any](), call.end()
            while pair := self._pair(text, place, schema):
                key, arguments[key], place = pair
            if self.end.match(text, place) or (not arguments and self.empty.match(text, place)):
                yield call.start(), call[1], arguments

    def _pair(self, text: str, place: int, schema: Any) -> tuple[str, Any, int] | None:
        """The key and the value at a place, and their end."""
        begun = self.key.match(text, place)
        if begun is None:
            return None
        key, place = begun["key"], begun.end()
        if found := self.text.match(text, place):
            assert found.lastgroup is not None, "one of the texts has matched"
            return key, value_of(found[found.lastgroup], part_of(schema, key)), found.end()
        for before, behind in self.others:
            opened = before.match(text, place)
            literal = literal_at(text, opened.end(), self.mark) if opened else None
            closed = behind.match(text, literal[1]) if literal else None
            if literal and closed:
                return key, literal[0], closed.end()
        return None


def pairs_form(writer: CallWriter, one: str, several: str) -> PairsForm | None:
    """`one`: the call of the probe with a text; `several`: two of it."""
    two = writer.tried({KEY: VALUE, MORE: NUMBER})
    cut = PairParts.of(one, two, several, writer.tried({}))
    if cut is None:
        return None
    literals = literal_marks(writer, cut).values()
    others = dict.fromkeys((each.before, each.behind) for each in literals)
    befores = "|".join(map(loose, dict.fromkeys([cut.is_text, *(each[0] for each in others)])))
    following, end = loose(cut.following), loose(cut.end)
    empty = end if cut.empty is None else loose(cut.empty)
    goes_on = f"(?={following}[^\\s<>{{}}]+?(?:{befores})|{end})"
    key = f"(?:{loose(cut.first)}|{following}){KEY_PATTERN}(?={befores})"
    texts = [
        f"{loose(cut.is_text + before)}(?P<text{number}>.*?){loose(behind + cut.closing)}{goes_on}"
        for number, (before, behind) in enumerate(_around_texts(writer, cut))
    ]
    opening, each = marker(one, several, cut.named)
    return PairsForm(
        opening,
        re.compile(f"{loose(each)}({WORD})(?={loose(cut.first)}|{end}|{empty})"),
        re.compile(key),
        re.compile("|".join(texts), re.DOTALL),
        tuple(
            (re.compile(loose(before)), re.compile(loose(behind) + goes_on))
            for before, behind in others
        ),
        max((each.quote for each in literals), default=""),
        re.compile(end),
        re.compile(empty),
    )


@dataclass(frozen=True, slots=True)
class LiteralMarks:
    """What is between a key and a literal, and behind it; `quote` begins and ends its texts."""

    before: str
    behind: str
    quote: str
    is_json: bool


@dataclass(frozen=True, slots=True)
class PairParts:
    """The parts of what a template writes for a call: name, first, key, is_text, value, closing,
    then following and the next key, or end; `empty` is behind the name if there are no arguments.
    `named`: where the name is; `tail` follows the last closing.
    """

    named: int
    first: str
    is_text: str
    closing: str
    following: str
    end: str
    tail: str
    empty: str | None

    @classmethod
    def of(cls, one: str, two: str, several: str, empty: str) -> "PairParts | None":
        key, value, more = (two.find(word) for word in (KEY, VALUE, MORE))
        named = two.rfind(NAME, 0, max(key, 0))
        if not 0 <= named < key < value < more:
            return None
        after, last = two[value + len(VALUE) : more], one[one.index(VALUE) + len(VALUE) :]
        closing = common_beginning(after, last).rstrip("<")  # which begins both what follows it
        if not closing or any(word in closing for word in (NAME, KEY, VALUE, MORE)):
            return None
        tail = last[len(closing) :]
        end = tail
        if several:
            later = several[several.index(VALUE) + len(VALUE + closing) :]
            end = common_beginning(end, later).rstrip("<")
        first, is_text = two[named + len(NAME) : key], two[key + len(KEY) : value]
        _, name, rest = empty.rpartition(NAME)
        bare = rest.removesuffix(tail.removeprefix(end)) if name else None
        return cls(named, first, is_text, closing, after[len(closing) :], end, tail, bare)


def _around_texts(writer: CallWriter, cut: PairParts) -> Iterator[tuple[str, str]]:
    """What is around texts within their marks: CDATA's, if markup has it, or nothing."""
    written = writer.tried({KEY: MARKUP})
    before, _, behind = written.partition(MARKUP)
    before, behind = before[before.rfind(KEY) + len(KEY) :], behind.removesuffix(cut.tail)
    if before.startswith(cut.is_text) and behind.endswith(cut.closing) and before != cut.is_text:
        yield before.removeprefix(cut.is_text), behind.removesuffix(cut.closing)
    yield "", ""


def literal_marks(writer: CallWriter, cut: PairParts) -> dict[str, LiteralMarks]:
    """By the names of JSON types; those that are not written as literals are left out."""
    found, own = dict[str, LiteralMarks](), common_end(cut.is_text, cut.closing)
    for kind, value in OTHERS.items():
        text = writer.tried({KEY: VALUE, MORE: value}).removesuffix(cut.tail)
        begin = text.find(MORE) + len(MORE)
        for quote in ("", own):
            literals = (
                LiteralMarks(text[begin:place], text[literal[1] :], quote, is_json)
                for place in range(len(text) - 1, begin - 1, -1)
                if (literal := literal_at(text, place, quote)) and _equal(literal[0], value)
                for is_json in [json_at(text, place) == literal]
            )
            if marks := next(literals, None):
                found[kind] = marks
                break
    return found


def _equal(literal: Any, value: Any) -> bool:
    return type(literal) is type(value) and bool(literal == value)


@dataclass(frozen=True, slots=True)
class ElementsForm:
    """A name, then an element for each argument, with the key as its name, and elements in it.

    `element` begins one, `close` is around the key at its end; elements of lists are called `item`.
    """

    opening: str
    each: re.Pattern[str]
    element: re.Pattern[str]
    close: tuple[str, str]
    item: str
    end: re.Pattern[str]

    def found(self, text: str, tools: Tools) -> Iterator[tuple[int, str, Any]]:
        for call in self.each.finditer(text):
            try:
                arguments, place = self._elements(text, call.end(), _schema(tools, call[1]))
            except RecursionError:  # elements within elements, without end
                continue
            if self.end.match(text, place):
                yield call.start(), call[1], dict(arguments)

    def _elements(self, text: str, place: int, schema: Any) -> tuple[list[tuple[str, Any]], int]:
        """The elements from a place on, and the end of the last one that is closed."""
        found = list[tuple[str, Any]]()
        while opened := self.element.match(text, place):
            key = opened["key"]
            content = self._content(text, opened.end(), key, part_of(schema, key))
            if content is None:
                break
            value, place = content
            found.append((key, value))
        return found, place

    def _content(self, text: str, place: int, key: str, schema: Any) -> tuple[Any, int] | None:
        close = self.close[0] + key + self.close[1]
        inside, end = self._elements(text, place, schema)
        if inside and text.startswith(close, end):
            is_list = {key for key, _ in inside} == {self.item} and types_of(schema) != ["object"]
            value = [value for _, value in inside] if is_list else dict(inside)
            return value, end + len(close)
        end = text.find(close, place)
        return None if end < 0 else (value_of(text[place:end], schema), end + len(close))


def elements_form(writer: CallWriter, one: str, several: str) -> ElementsForm | None:
    """See `pairs_form`. Learned from an object in an argument, which shows all parts of marks."""
    nested = writer.tried({KEY: {INNER: VALUE}})
    words = [*re.finditer(f"{KEY}|{INNER}|{VALUE}", nested)]
    if [word[0] for word in words] != [KEY, INNER, VALUE, INNER, KEY]:
        return None
    opened, begun, closing, closed = (
        nested[word.end() : after.start()] for word, after in pairwise(words)
    )
    begin = opened.removeprefix(begun)  # the end of a mark is between it and the key
    close = closing, closed.removesuffix(closing)
    named, last = nested.rfind(NAME, 0, words[0].start()), f"{VALUE}{closing}{KEY}{close[1]}"
    if named < 0 or not begin or last not in one:
        return None
    end = one.partition(last)[2]
    if several:
        end = common_beginning(end, several.partition(last)[2])
    opening, each = marker(one, several, named)
    before = nested[named + len(NAME) : words[0].start()].removesuffix(begin)
    listed = writer.tried({KEY: [VALUE]}).partition(f"{begun}{VALUE}")[0]
    return ElementsForm(
        opening,
        re.compile(f"{loose(each)}({WORD}){loose(before)}(?={loose(begin)}|{loose(end)})"),
        re.compile(f"\\s*{loose(begin)}{KEY_PATTERN}{loose(begun)}"),
        close,
        listed.rpartition(begin)[2],
        re.compile(f"\\s*{loose(end)}"),
    )


def _schema(tools: Tools, name: str) -> Any:
    """The schema of a tool's arguments."""
    return next((tool.get("parameters") for tool in tools if tool.get("name") == name), None)


def part_of(schema: Any, key: str) -> Any:
    """The schema of a value in an object, or in a list."""
    if not isinstance(schema, Mapping):
        return None
    properties, items = schema.get("properties"), schema.get("items")
    return properties.get(key) if isinstance(properties, Mapping) else items
