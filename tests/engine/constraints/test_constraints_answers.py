"""Constrained answers: every token is allowed by the grammar, thoughts are free, ends are whole."""

import json
import re

import numpy as np
import pytest
from tiny_vocabularies import C, D, N, build, byte_pairs, gemma4, sentence_pieces, word_pieces

import lepton_cli
from lepton_cli.__main__ import run
from lepton_cli.engine.constraints.constraint import find_constraint
from lepton_cli.engine.constraints.guide import Guides
from lepton_cli.engine.decoding.answer import Answer
from lepton_cli.engine.decoding.generation import Generation
from lepton_cli.engine.decoding.scheduler import Request
from lepton_cli.engine.events import Done, Reasoning, Text
from lepton_cli.engine.sampling.sampler import Sampler, Sampling
from lepton_cli.engine.text.streaming import THINK, reasoning_format
from quant.errors import ConstraintError, UsageError

SPECIAL = (("<|im_end|>", C), ("<think>", C), ("</think>", C), ("<tool>", D))
LETTERS = [(letter, N) for letter in '{}[]":,0123456789\n-.+ne']
TOKENIZERS = {
    "llama": sentence_pieces(*SPECIAL, *((t, k) for t, k in LETTERS if t not in "ne|<>")),
    "gpt2": byte_pairs(*SPECIAL),
    "gemma4": gemma4(*SPECIAL, *((t, k) for t, k in LETTERS if t not in "ne\n|<>")),
}
ROW = {
    "type": "object",
    "properties": {
        "n": {"type": "integer", "minimum": -5, "maximum": 500},
        "t": {"type": "array", "items": {"type": "string", "maxLength": 4}, "maxItems": 3},
        "o": {"enum": ["a", None, 1.5, True]},
    },
    "required": ["n", "t"],
    "additionalProperties": False,
}


@pytest.fixture(scope="module", params=TOKENIZERS)
def tokenizer(request):
    return build(TOKENIZERS[request.param])


@pytest.fixture(scope="module")
def gpt2():
    return build(TOKENIZERS["gpt2"])


def answer_of(tokenizer, seed, reasoning=None, prompt=(), script=(), *, thinks=False, **given):
    """An answer of random logits, or of the tokens in `script` as long as there are any."""
    generation = Generation(
        Sampling(seed=seed, temperature=1, top_k=0, top_p=1, min_p=0),
        given.pop("max_tokens", 800),
        given.pop("stop", ()),
        ignore_eos=given.pop("ignore_eos", False),
        split_reasoning=thinks,
    )
    guide = Guides(tokenizer).guide(find_constraint(**given), prompt, reasoning, thinks=thinks)
    ignore = generation.ignore_eos
    sampler = Sampler(generation.sampling, tokenizer, ignore_eos=ignore, mask=guide)
    answer = Answer(prompt, tokenizer, sampler, generation, reasoning, guide)
    rng, told, script = np.random.default_rng(seed), [], list(script)
    while answer.reason is None:
        logits = rng.standard_normal(tokenizer.vocab_size).astype(np.float32)
        if script:
            logits[script.pop(0)] = 1e6
        told += answer.draw(logits)
    told += answer.finish()
    words = "".join(event.text for event in told if isinstance(event, Text))
    thoughts = "".join(event.text for event in told if isinstance(event, Reasoning))
    return answer, words, thoughts


# --- the answer is strict


@pytest.mark.parametrize("seed", range(8))
def test_random_models_satisfy_a_schema(tokenizer, seed):
    answer, text, _ = answer_of(tokenizer, seed, json_schema=ROW)
    assert (answer.reason, answer.unmet) == ("stop", None)
    assert set(json.loads(text)) <= {"n", "t", "o"}


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize(
    ("given", "whole"),
    [
        ({"regex": "[0-9]{2}(, [0-9]{2}){1,3}"}, r"\d\d(, \d\d){1,3}"),
        ({"choices": ["hello", "he", "toll/0"]}, r"hello|he|toll/0"),
        ({"grammar": 'root ::= "(" root ")" | "0" | "[" [0-9] "]"'}, r"\(*(0|\[\d\])\)*"),
    ],
)
def test_random_models_satisfy_the_other_forms(gpt2, given, whole, seed):
    answer, text, _ = answer_of(gpt2, seed, **given)
    assert (answer.reason, answer.unmet) == ("stop", None)
    assert re.fullmatch(whole, text)


def test_word_pieces_can_be_constrained():
    answer, text, _ = answer_of(build(word_pieces()), 1, regex=" un(aff)+able,?", max_tokens=90)
    assert re.fullmatch(r" un(aff)+able", text) or answer.reason == "length"


@pytest.mark.parametrize("seed", range(4))
def test_no_token_with_a_role_is_in_an_answer(tokenizer, seed):
    roles = {token for text, _ in SPECIAL if (token := tokenizer.token_id(text)) is not None}
    script = [token for token in roles for _ in range(3)]
    answer, _, _ = answer_of(tokenizer, seed, script=script, regex="(?s:.){30,40}")
    assert not roles & set(answer.drawn)


def test_the_end_is_allowed_where_the_text_is_whole_and_only_there(gpt2):
    end = gpt2.token_id("<|im_end|>")
    assert end in gpt2.end_of_generation
    answer, text, _ = answer_of(gpt2, 1, script=[end] * 9, regex="[0-9]{3,9}")
    assert (len(text), answer.reason) == (3, "stop")


def test_an_answer_ends_where_nothing_can_follow(gpt2):
    answer, text, _ = answer_of(gpt2, 1, regex="[0-9]{3}", ignore_eos=True)
    assert (len(text), answer.reason, answer.unmet) == (3, "stop", None)


def test_ignore_eos_continues_as_long_as_the_form_allows(gpt2):
    answer, text, _ = answer_of(gpt2, 1, regex="[0-9]*", ignore_eos=True, max_tokens=50)
    assert (answer.reason, answer.unmet) == ("length", None)
    assert re.fullmatch(r"\d{50,}", text)


def test_a_cut_answer_says_so(gpt2):
    answer, _, _ = answer_of(gpt2, 1, json_schema=ROW, max_tokens=3)
    assert answer.reason == "length"
    assert answer.unmet.exit_code == 6
    assert "cut at 3 tokens" in answer.unmet.message


def test_a_stop_string_that_cuts_is_named(gpt2):
    answer, _, _ = answer_of(gpt2, 1, regex="a{9}", stop=("aaa",))
    assert "'aaa'" in answer.unmet.message


def test_a_stop_string_that_leaves_a_whole_text_is_fine(gpt2):
    answer, text, _ = answer_of(gpt2, 3, regex="[0-9]+;?", stop=(";",))
    assert answer.unmet is None
    assert text.isdecimal()


def test_bias_counts_among_what_is_allowed(gpt2):
    generation = Sampling(temperature=0, logit_bias=((gpt2.token_id("b"), 5.0),))
    guide = Guides(gpt2).guide(find_constraint(regex="[abc]"), [], None, thinks=False)
    sampler = Sampler(generation, gpt2, mask=guide)
    assert sampler.sample(np.zeros(gpt2.vocab_size, np.float32)) == gpt2.token_id("b")


def test_a_form_that_grows_too_complex_is_an_error(gpt2):
    rules = [f'r{n} ::= "a" root | "b"' for n in range(2500)]
    many = " | ".join(f"r{n}" for n in range(2500))
    grammar = "\n".join([f'root ::= "x" root | "." ({many})', *rules])
    script = ids(gpt2, "xx.")
    with pytest.raises(ConstraintError, match="too complex"):
        answer_of(gpt2, 1, script=script, grammar=grammar)


def test_a_form_whose_tokens_are_ruled_out_is_an_error(gpt2):
    banned = Sampling(logit_bias=((gpt2.token_id("q"), -np.inf),))
    guide = Guides(gpt2).guide(find_constraint(regex="q"), [], None, thinks=False)
    sampler = Sampler(banned, gpt2, mask=guide)
    with pytest.raises(ConstraintError):
        sampler.sample(np.zeros(gpt2.vocab_size, np.float32))


# --- thoughts are free

THOUGHT = "<think>he said { no } 1 2 3</think>"


def ids(tokenizer, text):
    return tokenizer.encode(text, add_special=False, parse_special=True)


@pytest.mark.parametrize("between", ["", "\n", "\n\n"])
@pytest.mark.parametrize("reasoning", [None, THINK])
def test_a_thought_is_free_and_the_answer_strict(gpt2, reasoning, between):
    begun = ids(gpt2, THOUGHT + between)
    script = [*begun, *ids(gpt2, "no, I will not")]
    answer, text, thought = answer_of(
        gpt2, 1, reasoning, script=script, thinks=True, json_schema=ROW
    )
    assert thought == "he said { no } 1 2 3"
    assert (answer.drawn[: len(begun)], answer.unmet) == (begun, None)
    assert "n" in json.loads(text)


def test_a_thought_that_the_prompt_began_is_free(gpt2):
    prompt, script = ids(gpt2, "<think>\n"), ids(gpt2, "well 1</think>\n\nto hello")
    answer, text, thought = answer_of(
        gpt2, 1, THINK, prompt, script, thinks=True, choices=["toll", "he"]
    )
    assert (thought, answer.unmet) == ("well 1", None)
    assert text in ("toll", "he")


def test_without_a_thought_the_answer_is_strict_from_the_start(gpt2):
    script = ids(gpt2, "to I think that")
    answer, text, thought = answer_of(gpt2, 1, THINK, script=script, thinks=True, choices=["toll"])
    assert (text, thought, answer.unmet) == ("toll", "", None)


def test_text_is_the_answer_alone_where_thoughts_are_not_distinguished(gpt2):
    answer, text, _ = answer_of(gpt2, 1, script=ids(gpt2, THOUGHT), choices=["toll"])
    assert (text, answer.unmet) == ("toll", None)


def test_a_thought_without_an_end_is_not_an_answer(gpt2):
    script = ids(gpt2, "<think>" + "he " * 30)
    answer, _, _ = answer_of(
        gpt2, 1, THINK, script=script, thinks=True, choices=["toll"], max_tokens=20
    )
    assert answer.unmet.exit_code == 6


def test_tags_of_several_tokens_are_allowed_as_a_whole():
    names = ("<|channel|>", "<|message|>", "<|start|>", "<|end|>", "<|return|>", "<|call|>")
    tokenizer = build(byte_pairs(*((name, C) for name in names)))
    harmony = reasoning_format("<|channel|>final")
    script = ids(
        tokenizer,
        "<|channel|>analysis<|message|>hm 7<|end|><|start|>assistant"
        "<|channel|>final<|message|>sure, here it is",
    )
    answer, text, thought = answer_of(
        tokenizer, 1, harmony, script=script, thinks=True, json_schema=ROW
    )
    assert (thought, answer.unmet) == ("hm 7", None)
    assert "n" in json.loads(text)


def test_line_breaks_that_end_a_thought_may_be_several_tokens():
    tokenizer = build(byte_pairs(("<think>", N), ("</think>", N)))
    granite = reasoning_format("<response></response>")
    line = tokenizer.token_id("Ċ")
    constraint = find_constraint(choices=["yes", "no"])
    for breaks in ([], [line], [line, line]):
        for tag in ([], ids(tokenizer, "<response>")):
            guide = Guides(tokenizer).guide(
                constraint, ids(tokenizer, "<think>"), granite, thinks=True
            )
            for token in [*ids(tokenizer, "</think>"), *breaks, *tag]:  # as a spent budget forces
                guide.accept(token)
            assert guide.allowed()[ids(tokenizer, "y")].all()


def test_an_answer_within_the_token_that_ends_a_thought_counts():
    tokenizer = build(byte_pairs(("</", N), ("think", N), ('>"', N), ("<think>", D)))
    script = [tokenizer.token_id(text) for text in ("<think>", "h", "</", "think", '>"', "e")]
    schema = {"type": "string", "maxLength": 5}
    answer, text, thought = answer_of(
        tokenizer, 1, THINK, script=script, thinks=True, json_schema=schema
    )
    assert (thought, answer.unmet) == ("h", None)
    assert text.startswith('"e')


# --- a model


@pytest.fixture(scope="module")
def model():
    with lepton_cli.load("builtin") as model:
        yield model


@pytest.mark.parametrize("seed", range(3))
def test_generate_follows_a_constraint(model, seed):
    pieces = model.generate("Name a day", seed=seed, choices=["Monday", "Sunday"])
    assert "".join(pieces) in ("Monday", "Sunday")


def test_generate_raises_where_it_was_cut(model):
    with pytest.raises(ConstraintError, match="cut at 2 tokens"):
        list(model.generate("a", max_tokens=2, seed=1, json_schema=ROW))


def test_generate_refuses_a_wrong_constraint(model):
    with pytest.raises(UsageError, match="regex"):
        list(model.generate("a", regex="("))


def test_a_batch_holds_many_forms(model):
    forms = [{"regex": "[0-9]{3}"}, {"choices": ["a", "b"]}, {"json_schema": ROW}, {"regex": "("}]
    requests = [
        Request(
            key,
            tuple(model.tokenizer.encode(f"row {key}")),
            Generation(Sampling(seed=1), 200, constraint=find_constraint(**forms[key % 4])),
        )
        for key in range(8)
    ]
    outcomes = {outcome.key: outcome for outcome in model.batch(requests, jobs=4)}
    for key in (0, 1, 4, 5):
        assert re.fullmatch("[0-9]{3}|a|b", outcomes[key].text)
    for key in (2, 6):
        outcome = outcomes[key]
        assert outcome.error is outcome.done.unmet
        assert outcome.error or json.loads(outcome.text)
    assert isinstance(outcomes[3].error, UsageError)


def test_the_same_seed_gives_the_same_answer_with_and_without_guesses(model):
    def answered(draft_max):
        generation = Generation(
            Sampling(seed=5),
            120,
            constraint=find_constraint(regex="([a-z]+ [a-z]+; ){6}"),
            draft_max=draft_max,
        )
        events = list(model.stream(model.tokenizer.encode("tell me of "), generation))
        return next(event.token_ids for event in events if isinstance(event, Done))

    assert answered(0) == answered(15)


# --- the command line


def lepton(capfd, *args):
    code = run(["run", "builtin", "-s", "1", *args])
    out, err = capfd.readouterr()
    return code, out, err


def test_an_answer_that_satisfies_its_form_is_exit_0(capfd):
    code, out, err = lepton(capfd, "-p", "Choose", "--choices", "cat,dog", "--choices", '["a, b"]')
    assert (code, err) == (0, "")
    assert out.strip() in ("cat", "dog", "a, b")


def test_a_cut_answer_is_exit_6_and_said(capfd):
    code, out, err = lepton(capfd, "-p", "x", "-j", json.dumps(ROW), "-n", "3")
    assert (code, out[:1]) == (6, "{")
    assert "cut at 3 tokens" in err


def test_json_output_says_what_was_asked_and_what_is_unmet(capfd):
    code, out, _ = lepton(capfd, "-p", "x", "--regex", "a{50}", "-n", "3", "--json")
    record = json.loads(out)
    assert (code, record["finish_reason"]) == (6, "length")
    assert record["constraint"] == {"kind": "regex", "text": "a{50}"}
    assert "cut at 3 tokens" in record["unmet"]


@pytest.mark.parametrize(
    "args",
    [
        ("-j", '{"typ": "string"}'),
        ("-j", "{}", "-jf", "x"),
        ("-jf", "/no/such/file"),
        ("--regex", "("),
        ("--regex", "a", "--grammar", 'root ::= "a"'),
        ("--choices", "a,,b"),
        ("--choices", '["a"'),
        ("--choices", "[1]"),
        ("--grammar", "root ::= x"),
    ],
)
def test_a_wrong_form_is_a_usage_error(capfd, args):
    code, out, err = lepton(capfd, "-p", "x", *args)
    assert (code, out) == (2, "")
    assert err.startswith("lepton: error: ")


def test_forms_come_from_files(capfd, tmp_path):
    grammar, schema = tmp_path / "a.gbnf", tmp_path / "a.json"
    grammar.write_text('root ::= "yes" [!.]\n')
    schema.write_text('{"enum": ["good", "bad"]}\n')
    assert lepton(capfd, "-p", "x", "--grammar-file", str(grammar))[1] in ("yes!\n", "yes.\n")
    assert json.loads(lepton(capfd, "-p", "x", "-jf", str(schema))[1]) in ("good", "bad")


UNIQUE = {"type": "array", "items": {"const": 1}, "minItems": 2, "maxItems": 2, "uniqueItems": True}


def test_what_cannot_be_enforced_is_refused_with_the_way_to_check_it(capfd):
    code, out, err = lepton(capfd, "-p", "x", "-j", json.dumps(UNIQUE))
    assert (code, out) == (2, "")
    assert "'uniqueItems' at #" in err
    assert "--schema-check" in err


def test_an_answer_that_fails_its_check_is_exit_6(capfd):
    code, out, err = lepton(capfd, "-p", "x", "-j", json.dumps(UNIQUE), "--schema-check")
    assert (code, json.loads(out)) == (6, [1, 1])
    assert "does not satisfy the JSON schema: [1, 1] has non-unique elements" in err
