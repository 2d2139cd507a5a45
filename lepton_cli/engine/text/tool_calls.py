r"""Finds the calls of tools in an answer, in the form in which the chat template writes them.

Each family of models has its own form, and the template knows it: it is asked to write calls of a
probe, and what it writes around name, keys and values is the form.

json        <tool_call>\n{"name": "f", "arguments": {"k": "v"}}\n</tool_call>
name, json  [TOOL_CALLS]f[ARGS]{"k": "v"}
pairs       <function=f>\n<parameter=k>\nv\n</parameter>\n</function>
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import takewhile
from typing import Any, Protocol

from lepton_cli.engine.library.json_values import Plain, finite, refuse_constant
from lepton_cli.engine.text.jinja.program import ChatTemplateError
from lepton_cli.engine.text.messages import Message, ToolCall
from lepton_cli.engine.text.template import CALL_PROBE, TOOL_PROBE, ChatTemplate

Tools = Sequence[Mapping[str, Any]]

NAME, KEY, VALUE, MORE, NUMBER = CALL_PROBE.name, "zq7key", "zq7value", "zq7more", 70707
IDS = (CALL_PROBE.id, f"functions.{NAME}:0")  # some templates write the name in the id only
WORD, WORDS = r"[\w.\-]+?", "Zq7 words"


@dataclass(frozen=True, slots=True)
class Calls:
    """The calls of an answer, and where in it they begin."""

    begin: int
    calls: tuple[ToolCall, ...]


class CallForm(Protocol):
    """How a template writes calls."""

    @property
    def opening(self) -> str:
        """What it writes before all of them."""

    def found(self, text: str, tools: Tools) -> Iterator[tuple[int, str, Any]]:
        """The begin, the tool's name and the arguments of each call."""


def read_calls(text: str, form: CallForm | None, tools: Tools, prefix: str) -> Calls:
    """`text` has the special tokens; ids of calls are made from `prefix`."""
    names = {tool.get("name") for tool in tools}
    found = [] if form is None else [call for call in form.found(text, tools) if call[1] in names]
    if not found or form is None:
        return Calls(len(text), ())
    calls = (
        ToolCall(f"{prefix}{number}", name, json.dumps(arguments, ensure_ascii=False))
        for number, (_, name, arguments) in enumerate(found)
    )
    before = text[: found[0][0]].rstrip()
    opened = common_end(before, form.opening.strip())
    return Calls(len(before) - len(opened), tuple(calls))


def call_form(template: ChatTemplate) -> CallForm | None:
    """The form of calls of a template; None if it writes none that can be read."""
    for call_id in IDS:
        try:
            one, two, several = (_written(template, call_id, each) for each in PROBES)
        except ChatTemplateError:
            continue
        if NAME in one:
            forms = _json_form(one), _name_form(one, several), _pairs_form(one, two, several)
            return _told_form(template) or next((form for form in forms if form), None)
    return _told_form(template)


def _told_form(template: ChatTemplate) -> CallForm | None:
    """The form of models that call in another form than their template writes."""
    if HARMONY_MARK in template.source:
        return HARMONY
    is_told = HERMES.opening in template.source and "tool_calls" not in template.source
    return HERMES if is_told else None


PROBES: tuple[Sequence[Mapping[str, Plain]], ...] = (
    ({KEY: VALUE},),
    ({KEY: VALUE, MORE: NUMBER},),
    ({KEY: VALUE}, {KEY: VALUE}),
)


def _written(template: ChatTemplate, call_id: str, calls: Sequence[Mapping[str, Plain]]) -> str:
    """What the template writes for an answer with these calls; "" if it refuses several."""
    tools = {"tools": [TOOL_PROBE]}
    question, made = (
        Message("user", "Zq7"),
        tuple(ToolCall(call_id, NAME, json.dumps(arguments)) for arguments in calls),
    )

    def shown(*answer: Message) -> str:
        prompt = template.render(
            [question, *answer], variables=tools, add_generation_prompt=not answer
        )
        return "".join(segment.text for segment in prompt)

    try:
        called = shown(Message("assistant", "", calls=made))
    except ChatTemplateError:
        if len(calls) == 1:
            raise
        return ""
    begin = len(common_beginning(shown(), called))
    turn_end = shown(Message("assistant", WORDS)).rpartition(WORDS)[2]
    return called[begin:].removesuffix(turn_end)


@dataclass(frozen=True, slots=True)
class JsonForm:
    """An object that holds the name and the arguments, after `opening` if there is one."""

    opening: str
    name: tuple[str, ...]  # the keys that lead to it
    arguments: tuple[str, ...]

    def found(self, text: str, tools: Tools) -> Iterator[tuple[int, str, Any]]:
        begin = text.find(self.opening)
        if begin < 0 or (not self.opening and not text.lstrip().startswith(("{", "["))):
            return
        place = begin + len(self.opening)
        while (place := text.find("{", place)) >= 0:
            value, end = _json_at(text, place)
            name, arguments = _at(value, self.name), _at(value, self.arguments)
            if isinstance(arguments, str):
                arguments, _ = _json_at(arguments, 0)
            if isinstance(name, str) and isinstance(arguments, dict):
                yield begin, name, arguments
            place = end


HERMES = JsonForm("<tool_call>", ("name",), ("arguments",))
"""A form that models are told in words, also by templates that write no calls."""


def _json_form(one: str) -> JsonForm | None:
    """The innermost object with both, of those that begin before the name."""
    named = one.index(NAME)
    for begin in (found.start() for found in re.finditer(r"\{", one[:named])):
        value, _ = _json_at(one, begin)
        paths = dict(_paths(value))
        if NAME in paths and KEY in paths:
            return JsonForm(one[:begin].strip(" \n["), paths[NAME], paths[KEY])
    return None


def _paths(value: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, tuple[str, ...]]]:
    """The keys that lead to the probe's name, and to its arguments."""
    if value == NAME:
        yield NAME, path
    elif isinstance(value, str):
        arguments, _ = _json_at(value, 0)
        if isinstance(arguments, dict):
            yield from _paths(arguments, path)
    elif isinstance(value, dict) and KEY in value:
        yield KEY, path
    elif isinstance(value, dict):
        for key, each in value.items():
            yield from _paths(each, (*path, key))


@dataclass(frozen=True, slots=True)
class NameForm:
    """A name, then its arguments as an object; `each` begins a call."""

    opening: str  # of all calls
    each: re.Pattern[str]

    def found(self, text: str, tools: Tools) -> Iterator[tuple[int, str, Any]]:
        for call in self.each.finditer(text):
            arguments, _ = _json_at(text, call.end())
            if isinstance(arguments, dict):
                yield call.start(), call[1], arguments


HARMONY_MARK = "to=functions."
HARMONY = NameForm("", re.compile(rf"{HARMONY_MARK}({WORD})\s*<\|[^{{]*?<\|message\|>\s*(?=\{{)"))
"""gpt-oss's: it names the tool in the header of a message, its template in another place."""


def _name_form(one: str, several: str) -> NameForm | None:
    named, given = one.index(NAME), one.find('{"' + KEY)
    if given < named or not isinstance(_json_at(one, given)[0], dict):
        return None
    opening, marker = _marker(one, several)
    between = one[named + len(NAME) : given]
    return NameForm(opening, re.compile(f"{_loose(marker)}({WORD}){_loose(between)}\\s*(?=\\{{)"))


@dataclass(frozen=True, slots=True)
class PairsForm:
    """A name, then keys and values in tags of their own; `each` begins a call, `end` ends it."""

    opening: str
    each: re.Pattern[str]
    pair: re.Pattern[str]
    end: re.Pattern[str]

    def found(self, text: str, tools: Tools) -> Iterator[tuple[int, str, Any]]:
        for call in self.each.finditer(text):
            types, arguments, place = _types(tools, call[1]), dict[str, Any](), call.end()
            while pair := self.pair.match(text, place):
                value = pair["other"] if pair["text"] is None else pair["text"]
                arguments[pair["key"]] = _value(value, types.get(pair["key"]))
                place = pair.end()
            if self.end.match(text, place):
                yield call.start(), call[1], arguments


def _pairs_form(one: str, two: str, several: str) -> PairsForm | None:
    words = (NAME, KEY, VALUE, MORE, str(NUMBER))
    places = [two.find(word) for word in words]
    if min(places) < 0 or places != sorted(places):
        return None
    ends = [place + len(word) for place, word in zip(places, words, strict=True)]
    first, is_text, after, is_number = (two[ends[i] : places[i + 1]] for i in range(4))
    last, rest = one[one.index(VALUE) + len(VALUE) :], two[ends[4] :]
    closing = common_beginning(after, last)
    if not closing or any(word in closing for word in words):
        return None
    number_closing = rest.removesuffix(last[len(closing) :])
    end, following = last[len(closing) :], after[len(closing) :]
    if several:
        end = common_beginning(end, several[several.index(VALUE) + len(VALUE + closing) :])
    opening, marker = _marker(one, several)
    goes_on = f"(?={_loose(following)}|{_loose(end)})"
    text = f"{_loose(is_text)}(?P<text>.*?){_loose(closing)}{goes_on}"
    other = f"{_loose(is_number)}(?P<other>.*?){_loose(number_closing)}{goes_on}"
    pair = f"(?:{_loose(first)}|{_loose(following)})(?P<key>[^\\s<>{{}}]+?)(?:{text}|{other})"
    return PairsForm(
        opening,
        re.compile(f"{_loose(marker)}({WORD})(?={_loose(first)}|{_loose(end)})"),
        re.compile(pair, re.DOTALL),
        re.compile(_loose(end)),
    )


def _marker(one: str, several: str) -> tuple[str, str]:
    """What begins all calls, and what begins each."""
    before, named = one[: one.index(NAME)], one.count(NAME)
    places = [found.start() for found in re.finditer(NAME, several)]
    if len(places) < 2 * named:
        return before, before
    marker = common_end(before, several[: places[named]])
    return before.removesuffix(marker), marker


def _types(tools: Tools, name: str) -> dict[str, Any]:
    """The types of a tool's parameters, by name."""
    tool = next((tool for tool in tools if tool.get("name") == name), {})
    properties = _at(tool, ("parameters", "properties"))
    given = properties if isinstance(properties, dict) else {}
    return {key: _at(value, ("type",)) for key, value in given.items()}


def _value(text: str, kind: Any) -> Any:
    """Text, or the JSON that the tool's schema wants."""
    if kind == "string":
        return text
    value, end = _json_at(text.strip(), 0)
    return value if end == len(text.strip()) else text


def _json_at(text: str, place: int) -> tuple[Any, int]:
    """The JSON value at a place and its end; None and the next place if there is none."""
    decoder = json.JSONDecoder(parse_float=finite, parse_constant=refuse_constant)
    try:
        value, end = decoder.raw_decode(text, place)
    except (ValueError, RecursionError):
        return None, place + 1
    return value, end


def common_beginning(first: str, second: str) -> str:
    pairs = zip(first, second, strict=False)
    return "".join(a for a, _ in takewhile(lambda pair: pair[0] == pair[1], pairs))


def common_end(first: str, second: str) -> str:
    return common_beginning(first[::-1], second[::-1])[::-1]


def _at(value: Any, path: Sequence[str]) -> Any:
    for key in path:
        value = value.get(key) if isinstance(value, dict) else None
    return value


def _loose(text: str) -> str:
    """A pattern for it, in which ids and numbers may differ, and blanks be missing."""
    parts = [re.escape(part) for part in re.split(r"\s+", text)]
    pattern = r"\s*".join(parts)
    return re.sub(r"(?<!\\)\d+", r"\\d+", pattern.replace(IDS[0], r"[\w\-]+?"))
