"""GBNF: read as llama.cpp's users write it, and followed exactly, character by character."""

import itertools
import random
from functools import lru_cache

import pytest
from llguidance import LLMatcher, LLTokenizer

from lepton_cli.engine.constraints.constraint import Constraint
from lepton_cli.engine.constraints.gbnf.engine import engine_grammar
from lepton_cli.engine.constraints.gbnf.grammar import (
    Chars,
    Choice,
    Repeat,
    RuleReference,
    read_gbnf,
)
from lepton_cli.engine.constraints.gbnf.runs import safe_runs
from lepton_cli.engine.constraints.grammars import prepare
from quant.errors import UsageError

JSON = r"""
root   ::= object
value  ::= object | array | string | number | ("true" | "false" | "null") ws
object ::=
  "{" ws ( string ":" ws value ("," ws
    string ":" ws value)* )? "}" ws   # a comment
array  ::= "[" ws ( value ("," ws value)* )? "]" ws
string ::= "\"" ( [^"\\\x7F\x00-\x1F] | "\\" (["\\/bfnrt] | "u" [0-9a-fA-F]{4}) )* "\"" ws
number ::= ("-"? ([0-9] | [1-9] [0-9]{0,15})) ("." [0-9]+)? ([eE] [-+]? [0-9]+)? ws
ws ::= | " " | "\n" [ \t]{0,20}
"""


BYTES = LLTokenizer("byte")


@lru_cache(maxsize=1)  # one grammar is asked about hundreds of texts
def matcher_of(grammar: str) -> LLMatcher:
    matcher = LLMatcher(BYTES, grammar, log_level=0)
    assert not matcher.is_error(), matcher.get_error()
    return matcher


def accepted(grammar: str, text: str) -> bool:
    matcher, data = matcher_of(grammar).deep_copy(), list(text.encode())
    return matcher.try_consume_tokens(data) == len(data) and matcher.is_accepting()


def engine(text: str) -> str:
    return prepare(Constraint("grammar", text)).engine


def chain(length: int, step: str, last: str = '"a"', root: str = "rule0") -> str:
    """Rules that each are a step with the next one in its place."""
    steps = [f"rule{n} ::= " + step.replace("{}", f"rule{n + 1}") for n in range(length)]
    return "\n".join([f"root ::= {root}", *steps, f"rule{length} ::= {last}"])


def means(rules, text: str) -> bool:
    """Whether a grammar holds a text, by trying every way to read it."""
    known: dict = {name: {start: set() for start in range(len(text) + 1)} for name in rules}

    def ends(node, start):
        match node:
            case Chars(ranges):
                hit = start < len(text) and any(a <= ord(text[start]) <= b for a, b in ranges)
                return {start + 1} if hit else set()
            case RuleReference(name):
                return known[name][start]
            case Choice(parts):
                return set().union(*(ends(part, start) for part in parts))
            case Repeat(part, least, most):
                found, now = ({start} if least == 0 else set()), {start}
                for count in range(1, (len(text) + least + 1 if most is None else most) + 1):
                    now = set().union(*(ends(part, at) for at in now))
                    found |= now if count >= least else set()
                return found
        now = {start}
        for part in node.parts:
            now = set().union(*(ends(part, at) for at in now))
        return now

    grown = True
    while grown:
        grown = False
        for name, node in rules.items():
            for start in range(len(text) + 1):
                found = ends(node, start)
                grown |= not found <= known[name][start]
                known[name][start] |= found
    return len(text) in known["root"][0]


# --- what a grammar means

GRAMMARS = [
    'root ::= name "x" root | "."\nname ::= [a-z]+',
    'root ::= "a" root "a" | "b" root "b" | [ab]?',
    'root ::= "ab" root | [a-b] "." | "x"',
    'root ::= root "." [ab]+ | [ab]+',
    'root ::= ("(" root ")")* [ab]*',
    'root ::= [ab]* root2\nroot2 ::= [bx]* ("." root2)?',
    'root ::= ([ab]+ | "a" [bx]{0,2} ".")+ ("(" root ")")?',
    'root ::= "a"{2,3} ("(" root ")"){0,2} | ""',
    'root ::= (a b)* c?\na ::= "a" | "ab"\nb ::= "b"? "."\nc ::= "(" root ")"',
    'root ::= [^a]* ("a" root ")")?',
    'root ::= ("a" | "b" "x"?){2} ("." root)?',
]


@pytest.mark.parametrize("grammar", GRAMMARS)
def test_a_grammar_holds_what_it_means(grammar):
    rules, followed = read_gbnf(grammar), engine(grammar)
    texts = ["".join(p) for size in range(5) for p in itertools.product("abx.()", repeat=size)]
    rng = random.Random(1)
    texts = rng.sample(texts, 300) + texts[:60]
    texts += ["".join(rng.choices("ab.()", k=rng.randint(4, 9))) for _ in range(60)]
    for text in texts:
        assert accepted(followed, text) == means(rules, text), text


def random_node(rng, depth):
    kind = rng.randrange(7 if depth else 2)
    if kind < 2:
        return f"[{''.join(rng.sample('ab.', rng.randint(1, 3)))}]"
    if kind == 2:
        return rng.choice(["root", "one", "two"])
    inner = [random_node(rng, depth - 1) for _ in range(rng.randint(1, 3))]
    if kind < 5:
        return f"({rng.choice([' ', ' | ']).join(inner)})"
    return f"({' '.join(inner)}){rng.choice(['*', '+', '?', '{1,2}'])}"


@pytest.mark.parametrize("seed", range(150))
def test_grammars_at_random_hold_what_they_mean(seed):
    rng = random.Random(seed)
    lines = (f"{name} ::= {random_node(rng, 3)} | [a.]" for name in ("root", "one", "two"))
    grammar = "\n".join(lines)
    rules, followed = read_gbnf(grammar), engine(grammar)
    for _ in range(25):
        text = "".join(rng.choices("ab.", k=rng.randint(0, 6)))
        assert accepted(followed, text) == means(rules, text), (grammar, text)


def test_repetitions_are_pieces_where_that_is_safe():
    assert len(safe_runs(read_gbnf(JSON))) >= 4
    assert not safe_runs(read_gbnf('root ::= [a-z]+ "x" root | "."'))


@pytest.mark.parametrize("text", ['{"a": [1.5, true, {"x": "y\\n é"}]}', "{}", '{\n  "a":-0e+1} '])
def test_json_in_gbnf_is_json(text):
    assert accepted(engine(JSON), text)
    assert not accepted(engine(JSON), text + "x")


DOUBLING = ("{} {}", "{} | {}", "({}+ {})?")


@pytest.mark.parametrize("last", ['"a"', '""'])
@pytest.mark.parametrize("step", DOUBLING)
def test_rules_that_double_at_each_step_are_followed_at_once(step, last):
    """Laid out, the 2 ** 40 parts would take for ever."""
    engine_grammar(read_gbnf(chain(40, step, last, root="rule0* root?")))


def test_a_grammar_of_many_sets_is_followed_at_once():
    sets = " | ".join(f"[{chr(0x4E00 + 2 * number)}]+ root" for number in range(2000))
    engine_grammar(read_gbnf(f"root ::= ({sets})?"))


def test_rules_are_put_after_what_they_mention():
    assert list(read_gbnf('root ::= a b root?\nc ::= "x"\nb ::= c\na ::= b c')) == [
        *("c", "b", "a", "root"),
    ]


def test_a_grammar_of_too_many_characters_is_refused():
    with pytest.raises(UsageError, match="500010 characters; the limit is 500000"):
        prepare(Constraint("grammar", "root ::= #" + "x" * 500_000))


# --- how it is written


@pytest.mark.parametrize(
    ("grammar", "text"),
    [
        (r'root ::= "\x41\u00e9\U0001F600\n\t\r\\\"\[\]"', 'Aé😀\n\t\r\\"[]'),
        (r"root ::= [\]\-\[x-z]+", "]-[xyz"),
        ("root ::= [a-]+", "a-a"),
        ("root ::= [^\\n]+ .", "é \n"),
        ('root ::=\n  "a" |\n  "b"\n\n', "b"),
        ('root ::= ( "a"\n "b"\n # said\n )', "ab"),
        ('root ::= a-b a_c\r\na-b ::= "x"\r\na_c ::= "y" # end', "xy"),
        ('root ::= "a" {2} "b" {0,} "c"{1,2}', "aac"),
        ('root ::= "a"*?', "aaa"),
        ("root ::= | [a]", ""),
        ('root ::= "/"', "/"),
    ],
)
def test_it_is_read_as_it_is_written(grammar, text):
    assert accepted(engine(grammar), text)


@pytest.mark.parametrize(
    ("grammar", "told"),
    [
        ("", "no rule root"),
        ('x ::= "a"', "no rule root"),
        ('root = "a"', "line 1, column 6: ::= is missing"),
        ("root ::= foo", "'foo', which is not defined"),
        ('root ::= "a"\n\nroot ::= "b"', "line 3"),
        ('root ::= "a', "ends inside"),
        ("root ::= [a", "ends inside"),
        ('root ::= ("a"', "a ) is missing"),
        ('root ::= "a" )', "')' is not expected here"),
        ("root ::= [b-a]", "empty"),
        ("root ::= []", "set is empty"),
        (r'root ::= "\q"', "not an escape"),
        (r'root ::= "\ud800"', "no code point"),
        ('root ::= "a"{3,1}', "a count is"),
        ('root ::= "a"{,3}', "a count is"),
        ('root ::= "a"{99999}', "up to 2000"),
        ("root ::= <think> [a]", "tokens like <think>"),
        ("root ::= !<[12]>", "tokens like <think>"),
        ("root ::= root", "always contains itself"),
        ('root ::= "a" | b\nb ::= "b" b', "'b' always contains itself"),
        ("root ::= " + "(" * 300, "brackets"),
        ('root ::= "a"' + "*" * 300, "nested repetitions"),
        (chain(5000, '"x" {}?'), "nested more than 400 deep"),
        (chain(5000, "{} root"), "nested more than 400 deep"),
        (chain(5000, "{} {}", '""'), "nested more than 400 deep"),
        ("\n".join(chain(5000, "{}").splitlines()[::-1]), "nested more than 400 deep"),
    ],
)
def test_what_is_wrong_is_reported_with_its_place(grammar, told):
    with pytest.raises(UsageError, match=r".") as caught:
        prepare(Constraint("grammar", grammar))
    assert told in caught.value.message
