"""Constraints made ready: checked before anything is generated, and their answers afterwards.

llguidance's grammars do the work; what its errors and silences leave open is checked around them.
"""

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from llguidance import LLMatcher, LLTokenizer, regex_to_lark

from lepton_cli.engine.constraints import Constraint
from lepton_cli.engine.gbnf import read_gbnf
from lepton_cli.engine.gbnf_engine import engine_grammar
from lepton_cli.engine.schema_check import ANNOTATIONS, Part, problem_with, read_schema
from quant.errors import UsageError

WHITESPACE = r" |\n[ \t]{0,40}"  # between a JSON text's parts: bounded, or a model may never end
ESCAPES = 'nrbtf\\"'  # without \uXXXX, by which a known key could be written as an unknown one
CALLED = {
    "json-schema": "JSON schema",
    "regex": "regex",
    "choices": "choices",
    "grammar": "grammar",
}
WHOLE = "lepton:schema"
PLAIN_KEYS = ANNOTATIONS | {"type", "$ref"}  # of which no combination can contradict itself


@dataclass(frozen=True, slots=True)
class Grammar:
    """A constraint that can be followed: `engine` is what the engine takes for it."""

    constraint: Constraint
    engine: str
    schema: Any = None  # the JSON schema, parsed

    @property
    def name(self) -> str:
        return CALLED[self.constraint.kind]

    def problem_with(self, text: str) -> str | None:
        """Why a whole answer does not satisfy the constraint; None where it does."""
        if self.constraint.kind == "json-schema":
            return problem_with(self.schema, text)
        if self.constraint.kind == "choices":
            return None if text in json.loads(self.constraint.text) else "it is none of them"
        matcher, data = (
            LLMatcher(LLTokenizer("byte", slices=[]), self.engine, log_level=0),
            text.encode(),
        )
        matched = matcher.try_consume_tokens(list(data)) == len(data) and matcher.is_accepting()
        return None if matched else "it is cut short, or holds what may not be there"


def prepare(constraint: Constraint) -> Grammar:
    """Raises UsageError for what is wrong, contradicts itself, or cannot be enforced."""
    match constraint.kind:
        case "json-schema":
            return _prepare_schema(constraint)
        case "regex":
            grammar = Grammar(constraint, _engine(_regex(constraint.text)))
        case "choices":
            literals = "|".join(map(_literal, json.loads(constraint.text)))
            return Grammar(constraint, _engine(_regex(literals)))
        case "grammar":
            grammar = Grammar(constraint, _engine(engine_grammar(read_gbnf(constraint.text))))
    problem = _problem_of(grammar.engine)
    if problem:
        message = f"the {grammar.name} cannot be used: {problem}"
        raise UsageError(message, _regex_hint(problem) if constraint.kind == "regex" else None)
    return grammar


def _engine(notation: str) -> str:
    """Without options of its own the engine would force tokens, but the model knows better ones."""
    return LLMatcher.grammar_from_lark('%llguidance {"no_forcing": true}\n' + notation)


def _regex(text: str) -> str:
    return f"start: /{regex_to_lark(text, '')}/"


def _literal(text: str) -> str:
    return "".join(rf"\x{{{ord(letter):x}}}" for letter in text)


def _regex_hint(problem: str) -> str:
    if "look" in problem or "backreferences" in problem:
        return "it knows classes, groups, | and counts; no look-around, no backreferences"
    return "it matches the whole answer, in the syntax of Rust's regex crate"


def _problem_of(engine: str) -> str | None:
    """Why the engine refuses its own form of a constraint, or finds no text for it."""
    matcher = LLMatcher(LLTokenizer("byte", slices=[]), engine, log_level=0)
    if matcher.is_error():
        return _first_reason(matcher.get_error())
    matcher.compute_bitmask()  # only now does it find that nothing can begin
    return "no text satisfies it" if matcher.is_stopped() and not matcher.is_accepting() else None


def _first_reason(error: str) -> str:
    """What a person can use of the engine's message, which goes on about its insides."""
    lines = [line.strip() for line in error.splitlines() if line.strip()]
    own = "failed to compile JSON schema: "
    told = [line.removeprefix("error: ") for line in lines if line.startswith("error: ")]
    first = re.sub(r"^at \d+\(\d+\): ", "", lines[0] if lines else "it is refused")
    return f"{(told[0] if told else first).removeprefix(own):.200}"


# --- JSON schemas ------------------------------------------------------------------------------


def _prepare_schema(constraint: Constraint) -> Grammar:
    schema, parts = read_schema(constraint.text)
    if schema is False:
        raise UsageError("the JSON schema is false: no text satisfies it", "give an object")
    engine = _schema_engine({} if schema is True else schema)
    _check_parts(schema, parts, engine)
    return Grammar(constraint, engine, schema)


def _schema_engine(schema: dict[str, Any]) -> str:
    options = {"whitespace_pattern": WHITESPACE, "json_allowed_escapes": ESCAPES}
    # a Decimal is one that a float holds: see schema_check
    return _engine("start: %json " + json.dumps({"x-guidance": options, **schema}, default=float))


def _check_parts(schema: Any, parts: Iterable[Part], engine: str) -> None:
    """Names the deepest part that the engine refuses, or that no text satisfies."""
    for part in parts:
        if part.pointer == "#":
            problem = _problem_of(engine)
        elif isinstance(part.schema, bool) or part.schema.keys() <= PLAIN_KEYS:
            continue
        else:
            problem = _problem_of(_schema_engine(_only(schema, part)))
        if problem:
            raise _refusal(problem, part.pointer)


def _refusal(problem: str, pointer: str) -> UsageError:
    if "oneOf constraints" in problem:
        message = f"the JSON schema's oneOf at {pointer} has alternatives that may overlap"
        return UsageError(message, "use anyOf, or give each a required constant or type of its own")
    if "Unsatisfiable" in problem or "no text" in problem:
        reason = problem.removeprefix("Unsatisfiable schema: ")
        message = f"the JSON schema contradicts itself at {pointer}: {reason}"
        return UsageError(message, "no text can satisfy that part: correct it, or remove it")
    message = f"the JSON schema cannot be enforced at {pointer}: {problem}"
    return UsageError(message, "write that part in another way")


def _only(schema: Any, part: Part) -> dict[str, Any]:
    """A schema that stands for one part, in which all its references still lead where they did."""
    draft = {key: value for key, value in schema.items() if key == "$schema"}
    if not _refers(part.schema):
        return {**draft, **part.schema}
    whole = _led({key: value for key, value in schema.items() if key not in ("$id", "id")})
    whole |= {"$id": WHOLE, "id": WHOLE}
    return {**draft, "allOf": [{"$ref": WHOLE + part.pointer}], "definitions": {"whole": whole}}


def _refers(schema: Any) -> bool:
    if isinstance(schema, dict):
        return "$ref" in schema or any(map(_refers, schema.values()))
    return isinstance(schema, list) and any(map(_refers, schema))


def _led(schema: Any) -> Any:
    """The same with references that say which schema they lead into."""
    if isinstance(schema, list):
        return [_led(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    led = {key: _led(value) for key, value in schema.items()}
    reference = led.get("$ref")
    return led | {"$ref": WHOLE + reference} if isinstance(reference, str) else led
