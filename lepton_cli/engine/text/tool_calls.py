r"""Finds the calls of tools in an answer, in the form in which the chat template writes them.

Each family of models has its own form, and the template knows it: it is asked to write calls of a
probe, and what it writes around name, keys and values is the form.

json        <tool_call>\n{"name": "f", "arguments": {"k": "v"}}\n</tool_call>
name, json  [TOOL_CALLS]f[ARGS]{"k": "v"}
pairs       <function=f>\n<parameter=k>\nv\n</parameter>\n</function>
elements    <invoke name="f"><k>v</k><list><item>1</item></list></invoke>
"""

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from lepton_cli.engine.text.call_pairs import Tools, elements_form, pairs_form
from lepton_cli.engine.text.call_probes import (
    KEY,
    NAME,
    WORD,
    common_end,
    loose,
    marker,
    probe,
)
from lepton_cli.engine.text.call_values import json_at
from lepton_cli.engine.text.messages import ToolCall
from lepton_cli.engine.text.template import ChatTemplate


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
    if told := told_form(template):
        return told
    found = probe(template)
    if found is None:
        return None
    writer, one, several = found
    form = _json_form(one) or _name_form(one, several)
    return form or pairs_form(writer, one, several) or elements_form(writer, one, several)


def told_form(template: ChatTemplate) -> CallForm | None:
    """The form of models that call in another form than their template writes."""
    if HARMONY_MARK in template.source:
        return HARMONY
    is_told = HERMES.opening in template.source and "tool_calls" not in template.source
    return HERMES if is_told else None


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
            value, end = json_at(text, place) or (None, place + 1)
            name, arguments = _at(value, self.name), _at(value, self.arguments)
            if isinstance(arguments, str):
                arguments, _ = json_at(arguments, 0) or (None, 0)
            if isinstance(name, str) and isinstance(arguments, dict):
                yield begin, name, arguments
            place = end


HERMES = JsonForm("<tool_call>", ("name",), ("arguments",))
"""A form that models are told in words, also by templates that write no calls."""


def _json_form(one: str) -> JsonForm | None:
    """The innermost object with both, of those that begin before the name."""
    named = one.index(NAME)
    for begin in (found.start() for found in re.finditer(r"\{", one[:named])):
        value, _ = json_at(one, begin) or (None, 0)
        paths = dict(_paths(value))
        if NAME in paths and KEY in paths:
            return JsonForm(one[:begin].strip(" \n["), paths[NAME], paths[KEY])
    return None


def _paths(value: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, tuple[str, ...]]]:
    """The keys that lead to the probe's name, and to its arguments."""
    if value == NAME:
        yield NAME, path
    elif isinstance(value, str):
        arguments, _ = json_at(value, 0) or (None, 0)
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
            arguments, _ = json_at(text, call.end()) or (None, 0)
            if isinstance(arguments, dict):
                yield call.start(), call[1], arguments


HARMONY_MARK = "to=functions."
HARMONY = NameForm("", re.compile(rf"{HARMONY_MARK}({WORD})\s*<\|[^{{]*?<\|message\|>\s*(?=\{{)"))
"""gpt-oss's: it names the tool in the header of a message, its template in another place."""


def _name_form(one: str, several: str) -> NameForm | None:
    given = one.find('{"' + KEY)
    named = one.rfind(NAME, 0, max(given, 0))
    if named < 0 or json_at(one, given) is None:
        return None
    opening, each = marker(one, several, named)
    between = one[named + len(NAME) : given]
    return NameForm(opening, re.compile(f"{loose(each)}({WORD}){loose(between)}\\s*(?=\\{{)"))


def _at(value: Any, path: Sequence[str]) -> Any:
    for key in path:
        value = value.get(key) if isinstance(value, dict) else None
    return value
