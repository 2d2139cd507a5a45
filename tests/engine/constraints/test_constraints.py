"""Constraints before and after: what is refused by name, and what counts as satisfied."""

import json

import pytest

from lepton_cli.engine.constraints.constraint import Constraint, find_constraint
from lepton_cli.engine.constraints.grammars import prepare
from lepton_cli.engine.constraints.schema.check import ENFORCED, UNSUPPORTED
from quant.errors import UsageError

PERSON = {
    "type": "object",
    "properties": {"name": {"type": "string"}, "age": {"type": "integer", "minimum": 0}},
    "required": ["name"],
    "additionalProperties": False,
}


def prepared(schema):
    return prepare(find_constraint(json_schema=schema))


def refusal(**given) -> str:
    with pytest.raises(UsageError) as caught:
        prepare(find_constraint(**given))
    return f"{caught.value.message} | {caught.value.hint}"


# --- which one


def test_nothing_given_is_not_a_constraint():
    assert find_constraint() is None


def test_two_forms_at_once_are_refused():
    with pytest.raises(UsageError, match="a regex and choices"):
        find_constraint(regex="a", choices=["a"])


def test_equal_constraints_are_equal():
    assert find_constraint(json_schema={"type": "null"}) == Constraint(
        "json-schema", '{"type": "null"}'
    )


@pytest.mark.parametrize("choices", [[], [""], ["a", ""], "ab", [1]])
def test_choices_without_a_text_are_refused(choices):
    with pytest.raises(UsageError):
        find_constraint(choices=choices)


# --- keywords of JSON schemas

ONLY_WHERE_OPEN = {"unevaluatedProperties", "unevaluatedItems"}  # not enforced among alternatives


@pytest.mark.parametrize("keyword", sorted(UNSUPPORTED - ONLY_WHERE_OPEN))
def test_an_unsupported_keyword_is_named_with_its_place(keyword):
    value = {"uniqueItems": True, "minContains": 1, "maxContains": 1}.get(keyword, {"minLength": 2})
    if keyword in ("dependentRequired", "dependentSchemas", "dependencies", "$vocabulary"):
        value = {}
    if keyword in ("$dynamicRef", "$dynamicAnchor"):
        value = "#x" if keyword == "$dynamicRef" else "x"
    told = refusal(json_schema={"properties": {"a": {"type": "array", keyword: value}}})
    assert repr(keyword) in told or f"/{keyword}" in told
    assert "#/properties/a" in told or keyword == "$vocabulary"


@pytest.mark.parametrize("keyword", sorted(ENFORCED - {"additionalItems", "$ref"}))
def test_a_misspelt_keyword_is_named_with_the_nearest(keyword):
    misspelt = keyword[:2] + keyword[3:] + keyword[2]
    told = refusal(json_schema={"allOf": [{"items": {misspelt: 1}}]})
    assert repr(misspelt) in told
    assert "#/allOf/0/items" in told


@pytest.mark.parametrize("keyword", ["nulable", "guidance", "Type", ""])
def test_an_unknown_keyword_is_refused(keyword):
    assert repr(keyword) in refusal(json_schema={"type": "string", keyword: True})


def test_a_property_may_be_called_like_a_keyword():
    names = sorted(UNSUPPORTED | {"typ", "x-guidance"})
    prepared({"properties": {name: {"type": "null"} for name in names}, "default": {"not": 1}})


def test_what_only_a_reference_reaches_is_checked():
    schema = {"$ref": "#/$defs/a/default/b", "$defs": {"a": {"default": {"b": {"nul": 1}}}}}
    assert "'nul' at #/$defs/a/default/b" in refusal(json_schema=schema)


@pytest.mark.parametrize(
    ("schema", "told"),
    [
        ({"type": "strin"}, "did you mean string?"),
        ({"properties": {"a": {"type": ["int"]}}}, "#/properties/a/type"),
        ({"minLength": -1}, "#/minLength"),
        ({"required": "a"}, "#/required"),
        ({"properties": {"a": 3}}, "#/properties/a"),
        ({"properties": {"d": {"format": "dat"}}}, "'dat' at #/properties/d/format"),
        ({"items": {"pattern": "("}}, "#/items/pattern"),
        ({"items": {"type": "string", "pattern": "(?=a)b"}}, "#/items/pattern has a look-around"),
        ({"patternProperties": {"(": {}}}, "#/patternProperties"),
        ({"properties": {"v": {"oneOf": [{"minimum": 1}, {"maximum": 2}]}}}, "#/properties/v"),
        ({"$schema": "urn:mine"}, "'urn:mine'"),
        ({"$schema": "http://json-schema.org/draft-04/schema#", "const": 1}, "draft 4"),
        ({"enum": [12345678901234567890123]}, "#/enum has more digits"),
        ({"properties": {"a": {"$id": "urn:b", "not": {"$ref": "#"}}}}, "'$id' at #/properties/a"),
    ],
)
def test_what_is_wrong_is_named_with_its_place(schema, told):
    assert told in refusal(json_schema=schema)


@pytest.mark.parametrize(
    "reference", ["http://example.com/a", "other.json", "#/$defs/missing", "#nowhere"]
)
def test_a_reference_to_elsewhere_is_refused(reference):
    refusal(json_schema={"$ref": reference, "$defs": {"a": {}}})


@pytest.mark.parametrize(
    "text", ["{", "[1]", "3", "", '{"type":"null","type":"null"}', '{"minimum":NaN}', "[" * 99999]
)
def test_text_that_is_not_a_schema_is_refused(text):
    assert "JSON schema" in refusal(json_schema=text)


def test_a_schema_nested_too_deeply_is_refused():
    schema: dict = {"type": "integer"}
    for _ in range(300):
        schema = {"properties": {"a": schema}}
    assert "nested too deeply" in refusal(json_schema=schema)


def test_a_python_value_that_is_not_json_is_refused():
    assert "not valid JSON" in refusal(json_schema={"const": {1, 2}})


# --- schemas that contradict themselves


@pytest.mark.parametrize(
    ("part", "told"),
    [
        ({"type": "string", "minLength": 5, "maxLength": 2}, "minLength"),
        ({"type": "integer", "minimum": 5, "maximum": 2}, "minimum"),
        ({"type": "integer", "exclusiveMinimum": 5, "exclusiveMaximum": 6}, "no integer"),
        ({"type": "array", "minItems": 3, "maxItems": 2}, "minItems"),
        ({"type": "string", "enum": [1]}, "incompatible types"),
        ({"enum": []}, ""),
        ({"type": "string", "pattern": "^a$", "enum": ["b"]}, ""),
        ({"allOf": [{"type": "string"}, {"type": "null"}]}, "incompatible types"),
        ({"type": "object", "required": ["b"], "additionalProperties": False}, "'b'"),
        ({"$ref": "#/$defs/short", "minLength": 2}, "minLength"),
    ],
)
def test_a_contradiction_is_named_even_where_it_is_optional(part, told):
    schema = {"properties": {"a": part}, "$defs": {"short": {"type": "string", "maxLength": 1}}}
    found = refusal(json_schema=schema)
    assert "contradicts itself at #/properties/a" in found
    assert told in found


@pytest.mark.parametrize(
    "schema",
    [
        False,
        {"$ref": "#"},
        {"$ref": "#/$defs/a", "$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"$ref": "#/$defs/a"}}},
        {"type": "object", "properties": {"a": {"$ref": "#"}}, "required": ["a"]},
        {"type": "array", "items": {"$ref": "#"}, "minItems": 1},
        {"allOf": [{"$ref": "#"}]},
        {
            "anyOf": [
                {"$ref": "#"},
                {"type": "array", "prefixItems": [{"$ref": "#"}], "minItems": 1},
            ]
        },
    ],
)
def test_a_schema_that_no_text_satisfies_is_refused(schema):
    refusal(json_schema=schema)


@pytest.mark.parametrize(
    "schema",
    [
        {"properties": {"a": {"$ref": "#"}}},
        {"type": ["object", "null"], "properties": {"a": {"$ref": "#"}}, "required": ["a"]},
        {"type": "array", "items": {"$ref": "#"}},
        {"anyOf": [{"$ref": "#/$defs/leaf"}, {"$ref": "#"}], "$defs": {"leaf": {"type": "null"}}},
        True,
        {},
    ],
)
def test_a_schema_with_a_way_out_is_taken(schema):
    prepared(schema)


@pytest.mark.parametrize(
    "draft",
    [
        "http://json-schema.org/draft-04/schema#",
        "http://json-schema.org/draft-06/schema#",
        "http://json-schema.org/draft-07/schema#",
        "https://json-schema.org/draft/2019-09/schema",
        "https://json-schema.org/draft/2020-12/schema",
    ],
)
def test_every_draft_is_checked_part_by_part(draft):
    part = {"type": "integer", "minimum": 2, "maximum": 3}
    defs = {"q": {"type": "string"}}
    same = {"properties": {"a": part, "b": {"$ref": "#/definitions/q", "title": "x"}}}
    schema = {"$schema": draft, **same, "definitions": defs}
    assert prepared(schema).problem_with('{"a": 3, "b": "x"}') is None
    part["maximum"] = 1
    assert "contradicts itself at #/properties/a" in refusal(json_schema=schema)


# --- what counts as satisfied


@pytest.mark.parametrize("text", ['{"name": "Ann"}', '{"name":"A","age":3}', ' {"name":""}\n'])
def test_json_that_satisfies_its_schema_is_taken(text):
    assert prepared(PERSON).problem_with(text) is None


@pytest.mark.parametrize(
    "text",
    [
        *("", "{", '{"age": 3}', '{"name": 3}', '{"name": "A", "age": -1}', '{"name":"A"} x'),
        *('{"name":"A","other":1}', '{"name":"A","name":"B"}', '{"name":"A","age":NaN}'),
        *("[" * 100000, '{"name":"A","age":' + "9" * 5000 + "}"),
    ],
)
def test_json_that_does_not_is_reported_why(text):
    assert prepared(PERSON).problem_with(text)


@pytest.mark.parametrize("number", ["0.07", "0.3", "1.1", "1e3", "-0.29"])
def test_decimal_multiples_are_exact(number):
    assert prepared({"type": "number", "multipleOf": 0.01}).problem_with(number) is None


def test_days_that_no_calendar_has_are_found():
    schema = {"type": "array", "items": {"anyOf": [{"format": "date"}]}}
    assert prepared(schema).problem_with('["2024-02-29"]') is None
    assert prepared(schema).problem_with('["2023-02-29"]')
    stamp = prepared({"type": "string", "format": "date-time"})
    assert stamp.problem_with('"2024-02-29T12:00:00Z"') is None
    assert stamp.problem_with('"2023-02-29T12:00:00Z"')


@pytest.mark.parametrize(
    ("given", "good", "bad"),
    [
        ({"regex": "a/b|[0-9]{2}"}, ["a/b", "12"], ["", "1", "123", "a/b1"]),
        ({"regex": "(?s:.)é"}, ["\né"], ["é", "xe"]),
        ({"choices": ["yes", "no", "a.b", 'q"\n']}, ["yes", "a.b", 'q"\n'], ["ye", "axb", "yesno"]),
        ({"grammar": 'root ::= "(" root ")" | "x"'}, ["x", "((x))"], ["(x", "()"]),
    ],
)
def test_other_forms_are_matched_as_a_whole(given, good, bad):
    grammar = prepare(find_constraint(**given))
    assert all(grammar.problem_with(text) is None for text in good)
    assert all(grammar.problem_with(text) for text in bad)


@pytest.mark.parametrize(
    "pattern", ["(", "a{2,1}", "(?=a)b", r"(a)\1", r"\bx", "[a&&b]", "a[b&&c]"]
)
def test_a_regex_that_cannot_be_followed_is_refused(pattern):
    assert "the regex cannot be used" in refusal(regex=pattern)


def test_errors_are_one_line():
    for schema in ({"oneOf": [{}, {}]}, {"type": "string", "pattern": "(?=a)"}, {"enum": []}):
        assert "\n" not in refusal(json_schema=json.dumps(schema))
