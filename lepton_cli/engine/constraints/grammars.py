"""Prepares constraints: checks them before generation, and answers afterwards.

llguidance enforces the grammars; what it ignores or reports unclearly is checked here.
"""

import json
import re
from dataclasses import dataclass, replace
from typing import Any

from llguidance import LLMatcher, LLTokenizer, regex_to_lark

from lepton_cli.engine.constraints.calls import calls_notation
from lepton_cli.engine.constraints.constraint import Constraint
from lepton_cli.engine.constraints.gbnf.engine import engine_grammar
from lepton_cli.engine.constraints.gbnf.grammar import read_gbnf
from lepton_cli.engine.constraints.lookahead import SearchSteps
from lepton_cli.engine.constraints.map_keys import MapKeys
from lepton_cli.engine.constraints.schema.answers import problem_with
from lepton_cli.engine.constraints.schema.check import ANNOTATIONS, CHECK_IT, Document, read_schema
from lepton_cli.engine.constraints.schema.engine import engine_schema, has_maps
from lepton_cli.engine.constraints.schema.formats import checkable_formats
from lepton_cli.engine.sampling.banned_texts import Bans
from quant.errors import UsageError

WHITESPACE = r" |\n{1,2}[ \t]{0,20}"  # between JSON tokens, bounded as in llama.cpp
ESCAPES = 'nrbtf\\"'  # without \uXXXX, so that equal keys are equal bytes
CALLED = {
    "json-schema": "JSON schema",
    "checked-json-schema": "JSON schema",
    "regex": "regex",
    "choices": "choices",
    "grammar": "grammar",
    "calls": "form of calls",
}
MAX_TEXT = 500_000  # characters
MAX_SCHEMA = 120_000  # characters; each part with references is checked with the whole
ONE_REGEX = re.compile(r"start: /(?:[^/\\]|\\.)*/", re.DOTALL)  # a grammar that is a single regex
PLAIN_KEYS = ANNOTATIONS | {"type", "$ref"}  # keywords that cannot contradict each other


@dataclass(frozen=True, slots=True)
class Grammar:
    """A prepared constraint; `engine` is its form for the engine."""

    constraint: Constraint
    engine: str
    document: Document | None = None  # the parsed JSON schema
    has_maps: bool = False  # has objects whose keys could occur twice
    is_watched: bool = False  # may require banned texts, so look-ahead is needed

    @property
    def name(self) -> str:
        return CALLED[self.constraint.kind]

    @property
    def has_tokens(self) -> bool:
        """Whether it may require special tokens, which the text of an answer does not show."""
        return self.constraint.kind == "calls"

    def problem_with(self, text: str) -> str | None:
        """Why a finished answer does not satisfy the constraint, or None."""
        if self.document:
            checked = self.constraint.kind == "checked-json-schema"
            formats = checkable_formats() if checked else ()
            return problem_with(self.document.schema, self.document.uri, text, formats=formats)
        if self.constraint.kind == "choices":
            return None if text in json.loads(self.constraint.text) else "it is not one of them"
        matcher, data = (
            LLMatcher(LLTokenizer("byte", slices=[]), self.engine, log_level=0),
            text.encode(),
        )
        matched = matcher.try_consume_tokens(list(data)) == len(data) and matcher.is_accepting()
        return None if matched else "it is cut short, or contains something not allowed"


def prepare(constraint: Constraint, bans: tuple[str, ...] = ()) -> Grammar:
    """Prepares a constraint, excluding banned texts.

    Raises UsageError if it is invalid, contradictory, not enforceable, or entirely banned.
    """
    _check_length(constraint)
    match constraint.kind:
        case "json-schema" | "checked-json-schema":
            return _watched(_prepare_schema(constraint), bans)
        case "regex":
            notation = _regex(constraint.text)
        case "choices":
            notation = _regex("|".join(map(_literal, json.loads(constraint.text))))
        case "grammar":
            notation = engine_grammar(read_gbnf(constraint.text))
        case "calls":
            notation = calls_notation(json.loads(constraint.text), _json_of_call)
            return Grammar(constraint, _engine(notation))  # without tokens it cannot be tried
    grammar = Grammar(constraint, _engine(notation))
    problem = _problem_of(grammar.engine)
    if problem:
        message = f"the {grammar.name} cannot be used: {problem}"
        raise UsageError(message, _regex_hint(problem) if constraint.kind == "regex" else None)
    if not bans or not ONE_REGEX.fullmatch(notation):
        return _watched(grammar, bans)
    grammar = Grammar(constraint, _engine(_without(notation, bans)))
    if _problem_of(grammar.engine):
        raise _all_banned(grammar.name)
    return grammar


def _check_length(constraint: Constraint) -> None:
    name, length = CALLED[constraint.kind], len(constraint.text)
    most = MAX_SCHEMA if name == CALLED["json-schema"] else MAX_TEXT
    if length > most:
        verb = "have" if name == CALLED["choices"] else "has"
        message = f"the {name} {verb} {length} characters; the limit is {most}"
        raise UsageError(message, "shorten it, perhaps by allowing more than is needed")


def _without(notation: str, bans: tuple[str, ...]) -> str:
    """A regex minus all texts that contain a banned one."""
    banned = "|".join(map(_literal, bans))
    return f"start: TEXT\nTEXT: {notation.removeprefix('start: ')} & ~/(?s:.*)({banned})(?s:.*)/"


def _watched(grammar: Grammar, bans: tuple[str, ...]) -> Grammar:
    """A grammar with look-ahead. Raises UsageError if no text satisfies it."""
    watched = Bans.of(bans)
    if not watched and not grammar.has_maps:
        return grammar
    start = SearchSteps.of_bytes().begin(grammar.engine, to_the_end=True)
    if grammar.has_maps and not start.possible([MapKeys()]):
        raise _refusal("no text has all the different keys that an object needs", "#")
    keys = [MapKeys(spaced=True)] if grammar.document else []
    if watched and not start.possible([watched, *keys]):
        raise _all_banned(grammar.name)
    return replace(grammar, is_watched=watched is not None)


def _all_banned(name: str) -> UsageError:
    return UsageError(f"every text of the {name} contains a banned one", "remove a --ban")


def _engine(notation: str) -> str:
    """The engine's form, with forced tokens off: the model chooses better tokens."""
    return LLMatcher.grammar_from_lark('%llguidance {"no_forcing": true}\n' + notation)


def _regex(text: str) -> str:
    return f"start: /{regex_to_lark(text, '')}/"


def _literal(text: str) -> str:
    return "".join(rf"\x{{{ord(letter):x}}}" for letter in text)


def _regex_hint(problem: str) -> str:
    if "look" in problem or "backreferences" in problem:
        return "supported are classes, groups, | and counts, but no look-around or backreferences"
    return "it must match the whole answer, in the syntax of Rust's regex crate"


def _problem_of(engine: str) -> str | None:
    """Why the engine refuses a constraint, or finds no text for it; None if it is fine."""
    matcher = LLMatcher(LLTokenizer("byte", slices=[]), engine, log_level=0)
    if matcher.is_error():
        return _first_reason(matcher.get_error())
    matcher.compute_bitmask()  # only this detects that no token can begin a text
    return "no text satisfies it" if matcher.is_stopped() and not matcher.is_accepting() else None


def _first_reason(error: str) -> str:
    """The useful part of the engine's message, without its internals."""
    lines = [line.strip() for line in error.splitlines() if line.strip()]
    if "symbols.len()" in error:
        return "it has too many parts"
    own = "failed to compile JSON schema: "
    errors = [line.removeprefix("error: ") for line in lines if line.startswith("error: ")]
    first = re.sub(r"^at \d+\(\d+\): ", "", lines[0] if lines else "it is refused")
    return f"{(errors[0] if errors else first).removeprefix(own):.200}"


def _json_of_call(schema: dict[str, Any]) -> str:
    document = read_schema(json.dumps(schema))
    whole = engine_schema(document, "#", checked=False)
    _check_parts(document, _schema_engine(whole), checked=False)
    return _json_notation(whole)


# --- JSON schemas ------------------------------------------------------------------------------


def _prepare_schema(constraint: Constraint) -> Grammar:
    document = read_schema(constraint.text)
    if document.schema is False:
        raise UsageError("the JSON schema is false: no text satisfies it", "give an object")
    checked = constraint.kind == "checked-json-schema"
    whole = engine_schema(document, "#", checked=checked)
    engine = _schema_engine(whole)
    _check_parts(document, engine, checked=checked)
    return Grammar(constraint, engine, document, has_maps(whole))


def _schema_engine(schema: dict[str, Any]) -> str:
    return _engine("start: " + _json_notation(schema))


def _json_notation(schema: dict[str, Any]) -> str:
    options = {"whitespace_pattern": WHITESPACE, "json_allowed_escapes": ESCAPES}
    # a Decimal here is exactly a float: see schema/check.py
    return "%json " + json.dumps({"x-guidance": options, **schema}, default=float)


def _check_parts(document: Document, engine: str, *, checked: bool) -> None:
    """Raises UsageError naming the deepest part that the engine refuses or cannot satisfy."""
    for pointer, part in document.parts.items():
        if pointer == "#":
            problem = _problem_of(engine)
        elif isinstance(part.schema, bool) or part.schema.keys() <= PLAIN_KEYS:
            continue
        else:
            alone = engine_schema(document, pointer, checked=checked)
            problem = _problem_of(_schema_engine(alone))
        if problem:
            raise _refusal(problem, pointer)


def _refusal(problem: str, pointer: str) -> UsageError:
    if "Unsatisfiable" in problem or "no text" in problem:
        reason = problem.removeprefix("Unsatisfiable schema: ")
        message = f"the JSON schema contradicts itself at {pointer}: {reason}"
        return UsageError(message, "no text can satisfy that part: correct it, or remove it")
    message = f"the JSON schema cannot be enforced at {pointer}: {problem}"
    counts = "min/maxProperties" in problem
    return UsageError(message, CHECK_IT if counts else "write that part in another way")
