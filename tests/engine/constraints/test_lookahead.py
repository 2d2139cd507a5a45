"""Forms with bans, and maps: no token leads into a dead end, and no key comes twice."""

import json
import re

import numpy as np
import pytest
from tiny_vocabularies import N, build, byte_pairs, sentence_pieces

from lepton_cli.__main__ import run
from lepton_cli.engine.constraints.constraint import find_constraint
from lepton_cli.engine.constraints.grammars import prepare
from lepton_cli.engine.constraints.guide import Guides
from lepton_cli.engine.constraints.lookahead import SearchSteps
from lepton_cli.engine.constraints.map_keys import MapKeys
from lepton_cli.engine.decoding.answer import Answer
from lepton_cli.engine.decoding.generation import Generation
from lepton_cli.engine.sampling.banned_texts import Bans
from lepton_cli.engine.sampling.sampler import Sampler, Sampling
from quant.errors import ConstraintError, UsageError

EXTRA = [(text, N) for text in ("true", "tru", "fal", '":', '{"', '",', ', "', '"a":')]
LETTERS = [(letter, N) for letter in '{}[]":,0123456789\n-.']
BOOLEAN = {"type": "boolean"}
DIGIT = {"type": "integer", "minimum": 0, "maximum": 9}
COUNTS = {"type": "object", "additionalProperties": DIGIT, "minProperties": 4, "maxProperties": 4}


@pytest.fixture(scope="module", params=["bytes", "pieces"])
def tokenizer(request):
    pieces = sentence_pieces(*EXTRA, *LETTERS)
    return build(byte_pairs(*EXTRA) if request.param == "bytes" else pieces)


def answer_of(tokenizer, seed, ban=(), never=(), **given):
    """An answer of random logits, and its text."""
    bias = tuple((token, -np.inf) for token in never)
    sampling = Sampling(seed=seed, temperature=1, top_k=0, top_p=1, min_p=0, logit_bias=bias)
    generation = Generation(sampling, 600, ban=tuple(ban), split_reasoning=False)
    guide = Guides(tokenizer).guide(
        find_constraint(**given), (), None, thinks=False, bans=ban, never=never
    )
    answer = Answer(
        (), tokenizer, Sampler(sampling, tokenizer, mask=guide), generation, None, guide
    )
    rng, told = np.random.default_rng(seed), []
    while answer.reason is None:
        told += answer.draw(rng.standard_normal(tokenizer.vocab_size).astype(np.float32))
    told += answer.finish()
    return answer, "".join(event.text for event in told)


# --- bans


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize(
    ("ban", "given", "left"),
    [
        (["true"], {"json_schema": BOOLEAN}, "false"),
        (["als"], {"json_schema": BOOLEAN}, "true"),
        (["e"], {"json_schema": {"enum": ["red", "green", "pink"]}}, '"pink"'),
        (["ye"], {"choices": ["yes", "no"]}, "no"),
        (["e"], {"choices": ["red", "green", "pink"]}, "pink"),
        (["true"], {"regex": "[a-z]{3}true|nope"}, "nope"),
        (["true"], {"grammar": 'root ::= "(" root ")" | "true" | "x"'}, r"\(*x\)*"),
        (["xx"], {"grammar": 'root ::= [x] tail\ntail ::= "y" | root "z"'}, "xy"),
        (["e", "i"], {"grammar": 'root ::= "red" | "pink" | "a/b"'}, "a/b"),
        (
            ["true"],
            {
                "json_schema": {
                    "anyOf": [
                        {"properties": {"k": {"const": k}, "v": v}, "required": ["k", "v"]}
                        | {"type": "object"}
                        for k, v in (("a", {"const": True}), ("b", BOOLEAN))
                    ]
                }
            },
            r'\{\s*"k"\s*:\s*"b"\s*,\s*"v"\s*:\s*false\s*\}',
        ),
    ],
)
def test_a_ban_leaves_what_a_form_can_be_without_it(tokenizer, ban, given, left, seed):
    answer, text = answer_of(tokenizer, seed, ban, **given)
    assert (answer.reason, answer.unmet) == ("stop", None)
    assert re.fullmatch(left, text)


@pytest.mark.parametrize(
    "given",
    [
        {"json_schema": BOOLEAN},
        {"choices": ["true", "false"]},
        {"regex": "true|false+"},
        {"grammar": 'root ::= "true" | "(" root ")"'},
    ],
)
def test_a_form_that_is_banned_as_a_whole_is_refused(given):
    with pytest.raises(UsageError, match="contains a banned one"):
        prepare(find_constraint(**given), ("true", "fals", "("))


@pytest.mark.parametrize("seed", range(3))
def test_tokens_that_are_ruled_out_leave_what_others_spell(seed):
    """No other token spells a T: so nothing leads to `toll` but its first letter alone."""
    tokenizer = build(byte_pairs())
    never = [token for token in range(tokenizer.vocab_size) if b"l" in tokenizer.token_bytes(token)]
    answer, text = answer_of(tokenizer, seed, never=never, choices=["toll", "tone"])
    assert (text, answer.unmet) == ("tone", None)


def test_where_all_tokens_are_ruled_out_an_error_says_so():
    tokenizer = build(byte_pairs())
    never = [token for token in range(tokenizer.vocab_size) if b"l" in tokenizer.token_bytes(token)]
    with pytest.raises(ConstraintError, match="no token is allowed"):
        answer_of(tokenizer, 1, never=never, choices=["toll", "all"])


def test_a_ban_on_the_command_line_looks_ahead(capfd):
    args = ["run", "builtin", "-s", "1", "-p", "x", "-j", '{"type": "boolean"}', "--ban", "true"]
    assert run(args) == 0
    assert capfd.readouterr().out == "false\n"
    assert run([*args, "--ban", "false"]) == 2
    assert "every text of the JSON schema contains a banned one" in capfd.readouterr().err


# --- keys


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize(
    "schema",
    [
        COUNTS,
        {**COUNTS, "properties": {"a": DIGIT}, "required": ["a"]},
        {"type": "array", "items": COUNTS, "minItems": 2, "maxItems": 2},
        {**COUNTS, "additionalProperties": COUNTS, "minProperties": 2},
        {**COUNTS, "additionalProperties": False, "patternProperties": {'^["\\\\]{1,2}$': DIGIT}},
        {
            "type": "object",
            "propertyNames": {"enum": ["a", "ab", "b"]},
            "additionalProperties": DIGIT,
            "minProperties": 3,
        },
    ],
)
def test_no_key_of_a_map_comes_twice(tokenizer, schema, seed):
    answer, _ = answer_of(tokenizer, seed, json_schema=schema)
    assert answer.unmet is None or answer.reason == "length"


def test_short_keys_run_out_before_a_map_does(tokenizer):
    """After all keys of one letter the object ends, though its schema allows more."""
    schema = {"propertyNames": {"enum": ["a", "b"]}, "type": "object"}
    schema |= {"additionalProperties": {"const": True}, "minProperties": 2}
    for seed in range(4):
        answer, text = answer_of(tokenizer, seed, json_schema=schema)
        assert (answer.unmet, json.loads(text)) == (None, {"a": True, "b": True})


def test_a_map_that_needs_more_keys_than_there_are_is_refused():
    schema = {"propertyNames": {"enum": ["a", "b"]}, "type": "object", "minProperties": 3}
    with pytest.raises(UsageError, match="contradicts itself"):
        prepare(find_constraint(json_schema=schema | {"additionalProperties": {"const": True}}))


@pytest.mark.parametrize(
    ("text", "twice"),
    [
        ('{"a":1,"b":2', False),
        ('{"a":1, "a"', True),
        ('{"a":{"a":[{"a":"a"},{"a":1}]},"b', False),
        ('{"a":{"b":1},\n"b":1,"a"', True),
        (r'{"\"":1,"\\":2,"\\"', True),
        ('["a","a",{"a":"a,a"}', False),
        ('{"":1,""', True),
    ],
)
def test_equal_keys_are_found_in_one_object_alone(text, twice):
    assert (MapKeys().after(text.encode()) is None) == twice
    here = MapKeys()
    for byte in text.encode():
        here = here and here.after(bytes([byte]))
    assert (here is None) == twice


# --- the search


def test_a_search_that_finds_no_end_in_time_holds_it_for_possible():
    grammar = prepare(find_constraint(grammar='root ::= [a-z] root | "true."'))
    start = SearchSteps.of_bytes().begin(grammar.engine, to_the_end=True)
    assert start.possible([Bans((b"true",))])


def test_what_led_on_before_is_forgotten_once_it_does_not():
    grammar = prepare(find_constraint(choices=["ab", "acd"]))
    start = SearchSteps.of_bytes().begin(grammar.engine, to_the_end=True)
    assert start.possible([])
    assert start.accept(b"ac")
    assert start.possible([])
    assert not start.possible([Bans((b"d",))])
