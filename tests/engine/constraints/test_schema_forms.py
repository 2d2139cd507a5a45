"""Schemas as tools write them: what is accepted, how it is generated, and that the check agrees."""

import json
import random

import numpy as np
import pytest
from llguidance import LLMatcher, LLTokenizer

from lepton_cli.engine.constraints.constraint import find_constraint
from lepton_cli.engine.constraints.grammars import prepare
from lepton_cli.engine.constraints.schema.patterns import portable_pattern, without_looks
from quant.errors import UsageError

A = {"type": "object", "properties": {"k": {"const": "a"}, "x": {"type": "integer"}}}
B = {"type": "object", "properties": {"k": {"const": "b"}}}
NAMED = {"$defs": {"S": {"type": "string"}, "A": {**A, "required": ["k"]}, "B": B}}
S, REF_A, REF_B = ({"$ref": f"#/$defs/{name}"} for name in "SAB")
INTEGER, TEXT, NULL = {"type": "integer"}, {"type": "string"}, {"type": "null"}


def grammar_of(schema, *, schema_check=False):
    return prepare(find_constraint(json_schema=schema, schema_check=schema_check))


def takes(schema, value, **given) -> bool:
    """Whether generation can write that value."""
    matcher = LLMatcher(LLTokenizer("byte", slices=[]), grammar_of(schema, **given).engine)
    data = json.dumps(value, ensure_ascii=False).encode()
    return matcher.try_consume_tokens(list(data)) == len(data) and matcher.is_accepting()


def generated(grammar, seed) -> str | None:
    """A text of random bytes that are allowed, such as end parts preferred; None: it grew long."""
    chance, data = random.Random(seed), bytearray()
    matcher = LLMatcher(LLTokenizer("byte", slices=[]), grammar.engine)
    while not matcher.is_stopped() and len(data) < 1000:
        bits = np.unpackbits(np.frombuffer(matcher.compute_bitmask(), np.uint8), bitorder="little")
        allowed = [byte for byte in np.flatnonzero(bits[:127]).tolist() if byte >= 32]
        ends = [byte for byte in allowed if byte in b'"}],:']
        data.append(chance.choice(ends if ends and chance.random() < 0.5 else allowed))
        assert matcher.try_consume_tokens([data[-1]]) == 1
        if matcher.is_accepting() and chance.random() < 0.3:
            break
    return data.decode() if matcher.is_accepting() else None


WRITTEN_BY_TOOLS = {
    "a union of references": {**NAMED, "oneOf": [S, NULL]},
    "a discriminated union": {
        **NAMED,
        "oneOf": [REF_A, REF_B],
        "discriminator": {"propertyName": "k", "mapping": {"a": "#/$defs/A"}},
    },
    "alternatives by a constant that has a default": {"oneOf": [A, B]},
    "alternatives by what they require": {
        "oneOf": [
            {"type": "object", "properties": {"a": INTEGER}, "required": ["a"]},
            {"type": "object", "properties": {"b": INTEGER}, "required": ["b"]},
        ]
    },
    "alternatives by their bounds": {
        "oneOf": [{"type": "integer", "maximum": 1}, {"type": "integer", "minimum": 5}]
    },
    "a value beside a pattern": {"oneOf": [{"enum": ["a"]}, {"type": "string", "pattern": "^c"}]},
    "inheritance": {**NAMED, "allOf": [REF_A, {"properties": {"q": TEXT}, "required": ["q"]}]},
    "an intersection without other properties": {
        "allOf": [{"properties": {"a": INTEGER}, "required": ["a"]}, {"properties": {"b": NULL}}],
        "type": "object",
        "unevaluatedProperties": False,
    },
    "openapi": {
        "type": "object",
        "properties": {
            "id": {"type": "integer", "format": "int64", "example": 10, "readOnly": True},
            "name": {"type": "string", "nullable": True, "xml": {"name": "n"}, "x-go": {"a": 1}},
            "kind": {"allOf": [{"type": "string"}], "nullable": True, "deprecated": True},
            "count": {"type": "integer", "minimum": 0, "exclusiveMinimum": True},
            "secret": {"type": "string", "format": "password"},
            "data": {"type": "string", "format": "byte"},
            "rate": {"type": "number", "format": "double"},
        },
        "required": ["id", "name", "kind", "count", "secret", "data", "rate"],
    },
    "pydantic": {
        "$defs": {"Color": {"enum": ["red", "blue"], "title": "Color", "type": "string"}},
        "properties": {
            "c": {"$ref": "#/$defs/Color", "default": "red"},
            "o": {"anyOf": [INTEGER, NULL], "default": None, "title": "O"},
            "d": {"propertyNames": {"$ref": "#/$defs/Color"}, "additionalProperties": INTEGER},
            "t": {"maxItems": 2, "minItems": 2, "prefixItems": [INTEGER, TEXT], "type": "array"},
            "j": {"contentMediaType": "application/json", "contentSchema": {}, "type": "string"},
            "k": {"const": "v", "type": "string"},
            "p": {"format": "path", "type": "string"},
        },
        "required": ["t"],
        "title": "M",
        "type": "object",
        "examples": [{"c": "red"}],
    },
    "zod": {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "type": "object",
        "properties": {
            "i": {"type": "integer", "minimum": -9007199254740991, "maximum": 9007199254740991},
            "r": {"type": "object", "propertyNames": TEXT, "additionalProperties": INTEGER},
            "n": {"type": "string", "format": "nanoid", "pattern": "^[a-zA-Z0-9_-]{3}$"},
        },
        "required": ["i", "r", "n"],
    },
    "typebox": {"$id": "T", "type": "object", "properties": {"n": {"items": {"$ref": "T"}}}},
    "a part of an api": {
        "$ref": "#/components/schemas/A",
        "components": {"schemas": {"A": {"type": "array", "items": NULL}}},
    },
    "an anchor": {"properties": {"a": {"$ref": "#x"}}, "$defs": {"q": {"$anchor": "x"}}},
    "its own address": {"$id": "urn:s", "items": {"$ref": "urn:s#/$defs/q"}, "$defs": {"q": NULL}},
    "a list of draft 7": {"type": "array", "items": [TEXT, INTEGER], "minItems": 2, "maxItems": 2},
    "a tuple": {"type": "array", "prefixItems": [TEXT], "unevaluatedItems": False},
    "no unique items": {"type": "array", "uniqueItems": False, "maxItems": 2},
    "names of a pattern": {
        "type": "object",
        "propertyNames": {"pattern": "^[a-z]+$"},
        "additionalProperties": INTEGER,
    },
    "counts that all objects have": {
        "type": "object",
        "properties": {"a": NULL, "b": NULL},
        "required": ["a"],
        "minProperties": 1,
        "maxProperties": 2,
    },
}


@pytest.mark.parametrize("name", WRITTEN_BY_TOOLS)
def test_what_tools_write_is_accepted_and_satisfied(name):
    grammar = grammar_of(WRITTEN_BY_TOOLS[name])
    texts = [text for seed in range(12) if (text := generated(grammar, seed)) is not None]
    assert texts
    problems = [(text, grammar.problem_with(text)) for text in texts]
    assert not [each for each in problems if each[1] and "twice" not in each[1]]


# --- closed objects


@pytest.mark.parametrize(
    ("schema", "value", "other"),
    [
        ({"type": "object", "properties": {"a": INTEGER}}, {"a": 1}, {"a": 1, "b": 2}),
        ({"type": "object", "required": ["a"]}, {"a": "x"}, {"a": 1, "b": 2}),
        ({"properties": {"a": {"properties": {"b": NULL}}}}, {"a": {"b": None}}, {"a": {"c": 1}}),
        ({**NAMED, "items": REF_A}, [{"k": "a"}], [{"k": "a", "b": 1}]),
        ({"patternProperties": {"^x": NULL}, "type": "object"}, {"x": None}, {"y": None}),
        (
            {**NAMED, "allOf": [REF_A, {"properties": {"q": TEXT}}]},
            {"k": "a", "x": 1, "q": ""},
            {"k": "a", "b": 1},
        ),
        (
            {
                "type": "object",
                "properties": {"x": INTEGER},
                "anyOf": [{"properties": {"y": TEXT}, "required": ["y"]}, {"required": ["x"]}],
            },
            {"x": 1, "y": ""},
            {"x": 1, "z": 1},
        ),
    ],
)
def test_objects_that_may_have_other_properties_are_generated_without(schema, value, other):
    assert takes(schema, value)
    assert not takes(schema, other)
    assert grammar_of(schema).problem_with(json.dumps(other)) is None  # it is valid nevertheless


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        ({"type": "object"}, {"any": 1}),
        ({"properties": {"a": NULL}, "additionalProperties": True}, {"a": None, "b": 1}),
        ({"properties": {"a": NULL}, "additionalProperties": {}}, {"b": 1}),
        ({"properties": {"a": NULL}, "required": ["a"], "minProperties": 2}, {"a": None, "b": 1}),
        (
            {
                "allOf": [
                    {"properties": {"a": NULL}, "additionalProperties": True},
                    {"required": []},
                ]
            },
            {"b": 1},
        ),
        ({"additionalProperties": INTEGER, "anyOf": [{"required": ["a"]}]}, {"a": 1, "b": 2}),
    ],
)
def test_objects_stay_open_where_the_schema_says_so(schema, value):
    assert takes(schema, value)


def test_blanks_between_the_parts_are_bounded():
    engine = grammar_of({"type": "object", "properties": {}}).engine
    matcher = LLMatcher(LLTokenizer("byte", slices=[]), engine)
    assert matcher.try_consume_tokens(list(b"{\n\n" + b" " * 99)) == 3 + 20


# --- null, references, alternatives


def test_nullable_allows_null_as_openapi_means_it():
    schema = {"type": "object", "properties": {"a": {"type": "string", "nullable": True}}}
    assert takes(schema, {"a": None})
    assert grammar_of(schema).problem_with('{"a": null}') is None
    assert grammar_of(schema).problem_with('{"a": 1}')
    assert not takes({"type": "string", "nullable": False}, None)


@pytest.mark.parametrize(
    "schema",
    [
        {"oneOf": [INTEGER, {"type": "number"}]},
        {**NAMED, "oneOf": [S, {"type": "string", "maxLength": 3}]},
        {"oneOf": [{"type": "object", "properties": {"a": NULL}}, {"type": "object"}]},
        {"oneOf": [{"enum": ["a", "b"]}, {"enum": ["b", "c"]}]},
    ],
)
def test_alternatives_that_overlap_are_refused(schema):
    with pytest.raises(UsageError, match="oneOf at # has alternatives that may overlap") as caught:
        grammar_of(schema)
    assert "--schema-check" in (caught.value.hint or "")


# --- patterns


@pytest.mark.parametrize(
    ("pattern", "good", "bad"),
    [
        (r"^\p{L}+$", "né", "1"),
        (r"^\p{Script=Greek}$", "π", "p"),
        (r"^\u00e9\u{e8}\x41$", "éèA", "ee"),
        (r"^\ud83d\ude00$", "😀", "x"),
        (r"^(?<year>\d{4})-\/$", "1999-/", "x"),
        (r"^[^]$", "]", "ab"),
        (r"^[[]$", "[", "]"),
        (r"^[a[]]$", "[]", "a"),
        (r"^[a-z&&b]+$", "a&b", "A"),
        (r"^a{,3}$", "a{,3}", "aa"),
        (r"^[\b]\cA\0$", "\b\x01\0", "b"),
    ],
)
def test_patterns_mean_what_ecmascript_means(pattern, good, bad):
    grammar = grammar_of({"type": "string", "pattern": pattern})
    if good.isprintable():
        assert takes({"type": "string", "pattern": pattern}, good)
    assert grammar.problem_with(json.dumps(good)) is None
    assert grammar.problem_with(json.dumps(bad))
    assert not takes({"type": "string", "pattern": pattern}, bad)


def test_patterns_of_names_may_be_of_unicode_classes():
    grammar = grammar_of({"type": "object", "patternProperties": {r"^\p{Lu}$": NULL}})
    assert grammar.problem_with('{"É": null}') is None
    closed = {"additionalProperties": False, "patternProperties": {r"^\p{Lu}$": NULL}}
    assert grammar_of(closed).problem_with('{"e": null}')


@pytest.mark.parametrize(
    ("pattern", "left"),
    [
        (r"^(?!\.)(?!.*\.\.)[a-z.]+@x$", r"^[a-z.]+@x$"),
        (r"^(?=.*(a|(b)))(?=[)(]).{2}$", "^.{2}$"),
        (r"^(?<!a\))\bx[\b(?=]\B(y)$", r"^x[\b(?=](y)$"),
        (r"(?<name>a)\(?=b", r"(?<name>a)\(?=b"),
    ],
)
def test_a_pattern_without_look_arounds_takes_all_that_it_took(pattern, left):
    assert without_looks(pattern) == left


@pytest.mark.parametrize("pattern", ["(", "[a", r"\p{Foo}", "a**"])
def test_a_pattern_that_is_none_is_a_value_error(pattern):
    with pytest.raises(ValueError, match=" at position "):
        portable_pattern(pattern)


@pytest.mark.parametrize("pattern", ["(?=a)b", "(?!a)b", "(?<!a)b", r"\bx", r"(a)\1", r"\k<a>"])
def test_what_no_pattern_can_enforce_is_refused_by_name(pattern):
    with pytest.raises(UsageError, match="pattern") as caught:
        grammar_of({"items": {"type": "string", "pattern": pattern}})
    assert "#/items/pattern" in caught.value.message


# --- what the check does


@pytest.mark.parametrize(
    ("schema", "good", "bad"),
    [
        ({"type": "array", "uniqueItems": True}, [1, 2], [1, 1]),
        ({"type": "object", "propertyNames": {"minLength": 2}}, {"ab": 1}, {"a": 1}),
        ({"type": "object", "propertyNames": {"pattern": "^(?!a)"}}, {"b": 1}, {"a": 1}),
        ({"type": "string", "pattern": r"^(?=.*\d)(?=.*[A-Z]).+$"}, "A1", "a1"),
        ({"type": "string", "pattern": r"^(a|b)\1$"}, "aa", "ab"),
        ({"type": "string", "format": "idn-email"}, "a@b", "a"),
        ({"not": {"type": "null"}}, 1, None),
        ({"if": NULL, "then": {"const": None}, "else": INTEGER}, 1, "a"),
        ({"type": "array", "contains": INTEGER, "maxContains": 1}, [1, "a"], [1, 2]),
        ({"type": "object", "dependentRequired": {"a": ["b"]}}, {"a": 1, "b": 1}, {"a": 1}),
        ({"oneOf": [INTEGER, {"type": "number"}]}, 1.5, 1),
        (
            {"type": "object", "properties": dict.fromkeys("abc", NULL), "maxProperties": 2},
            {"a": None, "b": None},
            {"a": None, "b": None, "c": None},
        ),
    ],
)
def test_what_generation_cannot_enforce_is_checked_where_that_is_asked_for(schema, good, bad):
    with pytest.raises(UsageError) as caught:
        grammar_of(schema)
    assert "--schema-check" in (caught.value.hint or "")
    assert takes(schema, good, schema_check=True)
    assert takes(schema, bad, schema_check=True)
    grammar = grammar_of(schema, schema_check=True)
    assert grammar.problem_with(json.dumps(good)) is None
    assert grammar.problem_with(json.dumps(bad))
