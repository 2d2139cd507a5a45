"""Says which texts are calls of given tools in the form of a template, to constrain an answer."""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lepton_cli.engine.constraints.constraint import Constraint
from lepton_cli.engine.text.call_pairs import LiteralMarks, PairParts, PairsForm, literal_marks
from lepton_cli.engine.text.call_probes import IDS, KEY, MORE, NAME, NUMBER, VALUE, probe
from lepton_cli.engine.text.call_values import json_at
from lepton_cli.engine.text.template import ChatTemplate
from lepton_cli.engine.text.tokenizer import Tokenizer
from lepton_cli.engine.text.tool_calls import HARMONY, HERMES, call_form, told_form
from quant.errors import UsageError

Expression = Any
"""A text that comes as it is; the id of a token; a list of what follows one another; or one of

{"id": length}, letters and digits      {"until": text or token}, any text that ends with it
{"json": schema}                        {"one of": [expression, ...]}
{"repeated": expression}, also not at all
"""
Function = Mapping[str, Any]
CURE = 'take the tool_choice "auto", or another --chat-template'
HERMES_CALL = (
    f'<tool_call>\n{{"name": "{NAME}", "arguments": {{"{KEY}": "{VALUE}"}}}}\n</tool_call>'
)
NAMES = re.compile(r"[\w.\-]+")
LIKE_PYTHON = {"boolean": ["True", "False"], "null": ["None"]}
FREE_TEXT = {"type", "title", "description", "default", "examples"}  # keywords that allow any text


class Marks:
    """Finds special tokens in what a template writes."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        texts = sorted(tokenizer.special_texts, key=len, reverse=True)
        self._tokenizer = tokenizer
        self._special = re.compile(f"({'|'.join(map(re.escape, texts)) or '(?!)'})")

    def marked(self, text: str) -> Expression:
        """The text up to a token that ends an answer."""
        first, *rest = self._special.split(text)
        found = _with_ids(first)
        for special, following in zip(rest[::2], rest[1::2], strict=True):
            token = self._tokenizer.token_id(special)
            if token in self._tokenizer.end_of_generation:
                break
            found += [token, *_with_ids(following)]
        return [each for each in found if each != ""]


def _with_ids(text: str) -> list[Expression]:
    """The text with any id in place of the probe's."""
    return [
        {"id": len(IDS[0])} if each == IDS[0] else each for each in re.split(f"({IDS[0]})", text)
    ]


@dataclass(frozen=True, slots=True)
class JsonCall:
    """A call from its name to its arguments, or the other way round; the arguments are JSON."""

    text: str
    arguments: str

    def of(self, function: Function, marks: Marks) -> Expression:
        schema = {"type": "object", "properties": {}, **(function.get("parameters") or {})}
        whole: list[Expression] = []
        for part in re.split(f"({NAME}|{re.escape(self.arguments)})", self.text):
            own = {NAME: function["name"], self.arguments: {"json": schema}}
            whole.append(own[part] if part in own else marks.marked(part))
        return whole


@dataclass(frozen=True, slots=True)
class PairsCall:
    """A call in pairs: `name`, then `parts` for each argument."""

    name: str
    parts: PairParts
    literals: Mapping[str, LiteralMarks]

    def of(self, function: Function, marks: Marks) -> Expression:
        from lepton_cli.engine.constraints.schema.check import read_schema  # for start-up time

        schema = function.get("parameters") or {}
        read_schema(json.dumps(schema))  # its parts are taken apart here
        properties = schema.get("properties") or {}
        if schema.keys() & {"$ref", "allOf", "anyOf"}:
            raise refused("the tool's parameters are not a plain object")
        required = set(schema.get("required") or ())
        if missing := required - properties.keys():
            raise refused(f"the required argument {min(missing)!r:.60} has no schema")
        pairs = [
            (key, [key, self._value(key, each, schema, marks)], key in required)
            for key, each in properties.items()
        ]
        head = [
            function["name"] if part == NAME else marks.marked(part)
            for part in re.split(f"({NAME})", self.name)
        ]
        return [*head, {"one of": [*self._beginnings(pairs, marks)]}]

    def _beginnings(
        self, pairs: Sequence[tuple[str, Expression, bool]], marks: Marks
    ) -> Iterable[Expression]:
        """The rest of a call, for each argument that may be its first one."""
        first, following, end = (
            marks.marked(each) for each in (self.parts.first, self.parts.following, self.parts.end)
        )
        for number, (_, pair, is_required) in enumerate(pairs):
            later = [
                [following, each] if needed else {"one of": [[following, each], ""]}
                for _, each, needed in pairs[number + 1 :]
            ]
            yield [first, pair, *later, end]
            if is_required:
                return
        if self.parts.empty is None:
            raise refused("the template writes no calls without arguments")
        yield marks.marked(self.parts.empty)

    def _value(self, key: str, schema: Any, whole: Mapping[str, Any], marks: Marks) -> Expression:
        kind = str(schema.get("type") if isinstance(schema, Mapping) else None)
        if kind == "string":
            return self._text(key, schema, marks)
        literal = self.literals.get("number" if kind == "integer" else kind)
        if literal is None or not (literal.is_json or kind in LIKE_PYTHON):
            message = f"the argument {key!r:.60} of the type {kind:.60} is not written as JSON"
            raise refused(message)
        defined = {name: whole[name] for name in ("$defs", "definitions") if name in whole}
        value: Expression = {"json": {**schema, **defined}}
        if not literal.is_json:
            value = {"one of": LIKE_PYTHON[kind]}
        return [marks.marked(literal.before), value, marks.marked(literal.behind)]

    def _text(self, key: str, schema: Mapping[str, Any], marks: Marks) -> Expression:
        before, closing = marks.marked(self.parts.is_text), self.parts.closing
        choices = [schema["const"]] if "const" in schema else schema.get("enum")
        if choices is not None:
            choices = [each for each in choices if isinstance(each, str) and closing not in each]
            if not choices:
                raise refused(f"the text {key!r:.60} has no choice that can be written")
            return [before, {"one of": choices}, marks.marked(closing)]
        if not schema.keys() <= FREE_TEXT:
            limits = ", ".join(sorted(schema.keys() - FREE_TEXT))
            raise refused(
                f"the text {key!r:.60} has limits ({limits:.60}) and is not written as JSON"
            )
        ends = marks.marked(closing)
        if isinstance(ends[0], str) and not ends[0].strip():  # blanks belong to the text
            ends = ends[1:]
        if not ends or (isinstance(ends[0], str) and len(ends[0].strip()) == 1):
            raise refused(f"the text {key!r:.60} may contain what ends it ({closing!r})")
        return [before, {"until": ends[0]}, *ends[1:]]


@dataclass(frozen=True, slots=True)
class CallFrame:
    """What a template writes around calls: before, between and after them."""

    opening: str
    call: JsonCall | PairsCall
    between: str | None  # None: it takes only one call
    closing: str

    def constraint(
        self, functions: Iterable[Function], tokenizer: Tokenizer, *, several: bool
    ) -> Constraint:
        """That an answer calls one of the functions, or `several` times any of them.

        Raises UsageError for a schema that is wrong, or that arguments cannot be kept to.
        """
        marks = Marks(tokenizer)
        calls = {"one of": [self.call.of(_checked(each), marks) for each in functions]}
        whole = [marks.marked(self.opening), calls]
        if several and self.between is not None:
            whole.append({"repeated": [marks.marked(self.between), calls]})
        whole.append(marks.marked(self.closing))
        if several and not self.closing:  # a line's end may also be that of the answer
            whole.append({"one of": ["", "\n"]})
        return Constraint("calls", json.dumps(whole))


def call_frame(template: ChatTemplate) -> CallFrame:
    """Raises UsageError for a template whose calls an answer cannot be kept to."""
    told, reasoning = told_form(template), template.reasoning
    if told is HARMONY or (reasoning and reasoning.answer):
        raise refused("its answers have tags of their own")
    if told is HERMES:
        return _json_frame(HERMES_CALL, f"{HERMES_CALL}\n{HERMES_CALL}")
    found = probe(template)
    if found is None:
        raise refused("it writes none")
    writer, one, several = found
    if not writer.follows_prompt():
        raise refused("they do not follow what begins an answer")
    if _arguments(one):
        return _json_frame(one, several)
    if not isinstance(call_form(template), PairsForm):
        raise refused("arguments are neither JSON nor pairs of keys and values")
    parts = PairParts.of(one, writer.tried({KEY: VALUE, MORE: NUMBER}), several, writer.tried({}))
    assert parts is not None, "the form is made of them"
    begin, named = one.index(NAME), one.rindex(NAME, 0, one.index(KEY)) + len(NAME)
    closing = parts.tail.removeprefix(parts.end)
    call = PairsCall(one[begin:named], parts, literal_marks(writer, parts))
    return _framed(one, several, begin, len(one) - len(closing), call)


def refused(why: str) -> UsageError:
    return UsageError(f"an answer cannot be kept to calls in this template's form: {why}", CURE)


def _json_frame(one: str, several: str) -> CallFrame:
    arguments = _arguments(one)
    begin, given = one.index(NAME), one.index(arguments)
    end = max(one.rindex(NAME) + len(NAME), given + len(arguments))
    begin = min(begin, given)
    return _framed(one, several, begin, end, JsonCall(one[begin:end], arguments))


def _framed(one: str, several: str, begin: int, end: int, call: JsonCall | PairsCall) -> CallFrame:
    """The frame of a call that lies between two places of `one`."""
    opening, closing = one[:begin], one[end:]
    both = several.removeprefix(opening).removesuffix(closing).split(one[begin:end])
    between = both[1] if len(both) == 3 and not both[0] + both[2] else None
    return CallFrame(opening, call, between, closing.rstrip())


def _arguments(one: str) -> str:
    """The probe's arguments as they are written, if that is JSON."""
    for begin in (found.start() for found in re.finditer(r"\{", one)):
        value, end = json_at(one, begin) or (None, 0)
        if value == {KEY: VALUE}:
            return one[begin:end]
    return ""


def _checked(function: Function) -> Function:
    name = function["name"]
    if not NAMES.fullmatch(name):
        raise refused(f"the tool's name {name!r:.60} is not letters, digits, '_', '-' and '.'")
    return function
