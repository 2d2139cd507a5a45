"""A budget of reasoning: once it is spent, the template's own end closes it; an answer follows."""

import json
from collections.abc import Sequence

import pytest
from fake_model import FakeTokenizer

from lepton_cli.__main__ import run
from lepton_cli.engine.decoding.generation import Generation, checked_variables
from lepton_cli.engine.decoding.thoughts import Thoughts
from lepton_cli.engine.text.streaming import FORMATS, THINK, ReasoningFormat
from quant.errors import UsageError

TOKENIZER = FakeTokenizer()
THINKING = (
    "{%- for m in messages -%}<|{{ m.role }}|>{{ m.content }}<|end|>{%- endfor -%}"
    "{{- 'effort ' ~ reasoning_effort if reasoning_effort is defined }}"
    "{{- 'kept' if preserve_thinking }}{{ 'note ' ~ note if note is defined }}"
    "<|assistant|>{% if enable_thinking %}<think>\n{% else %}<think>\n\n</think>\n\n{% endif %}"
)


def encoded(text: str) -> list[int]:
    return TOKENIZER.encode(text, add_special=False, parse_special=True)


def thoughts(
    budget: int,
    prompt: str = "<|im_end|><think>\n",
    message: str = "",
    reasoning: ReasoningFormat | None = THINK,
) -> Thoughts:
    wanted = Generation(reasoning_budget=budget, reasoning_budget_message=message)
    return Thoughts(TOKENIZER, reasoning, encoded(prompt), wanted)


def told(thoughts: Thoughts, drawn: Sequence[int]) -> str:
    """The answer of a model that would draw these tokens, with what is forced in between."""
    ids, rest = list[int](), list(drawn)
    while rest or thoughts.forced is not None:
        token = rest.pop(0) if thoughts.forced is None else thoughts.forced
        thoughts.accept(token)
        ids.append(token)
    return b"".join(TOKENIZER.token_bytes(each, render_special=True) for each in ids).decode()


@pytest.mark.parametrize(
    ("budget", "expected", "count"),
    [
        (-1, "abcdef", 6),
        (0, "\n</think>\n\nabcdef", 2),
        (3, "abc\n</think>\n\ndef", 5),
        (9, "abcdef", 6),
    ],
)
def test_the_budget_counts_tokens_of_the_reasoning(budget, expected, count):
    followed = thoughts(budget)
    assert told(followed, encoded("abcdef")) == expected
    assert followed.count == count


def test_a_reasoning_that_ends_in_time_is_left_alone():
    followed = thoughts(4)
    assert told(followed, encoded("ab</think>cdefgh")) == "ab</think>cdefgh"
    assert followed.count == 3 and followed.over and not followed.bounded


def test_a_reasoning_that_the_model_opens_is_counted_from_there():
    followed = thoughts(2, prompt="<|im_end|>")
    assert told(followed, encoded("<think>abcd")) == "<think>ab\n</think>\n\ncd"


def test_an_answer_without_reasoning_is_not_counted():
    followed = thoughts(2, prompt="<|im_end|>")
    assert told(followed, encoded("abcdef")) == "abcdef" and followed.count == 0


def test_a_second_reasoning_is_closed_at_once():
    followed = thoughts(2, message="!")
    text = told(followed, encoded("ab<think>cd"))
    assert text == "ab!\n</think>\n\n<think>\n</think>\n\ncd"


def test_a_message_is_text_and_never_a_tag():
    followed = thoughts(1, message=" </think> stop")
    assert told(followed, encoded("ab")) == "a </think> stop\n</think>\n\nb"
    ids = TOKENIZER.encode(" </think> stop", add_special=False, parse_special=False)
    assert TOKENIZER.token_id("</think>") not in ids


def test_a_character_is_not_cut():
    euro = list("€".encode())
    assert told(thoughts(1), euro + encoded("x")) == "€\n</think>\n\nx"


@pytest.mark.parametrize("reasoning", FORMATS, ids=lambda each: each.mark)
def test_each_format_is_closed_by_its_own_tags(reasoning):
    followed = thoughts(2, "<|im_end|>" + reasoning.opening, reasoning=reasoning)
    assert told(followed, encoded("abcd")) == f"ab{reasoning.closing}cd"


def test_in_front_of_a_form_line_breaks_are_left_to_the_form():
    from lepton_cli.engine.constraints.constraint import Constraint

    wanted = Generation(reasoning_budget=1, constraint=Constraint("regex", "x"))
    followed = Thoughts(TOKENIZER, THINK, encoded("<|im_end|><think>\n"), wanted)
    assert told(followed, encoded("ab")) == "a\n</think>b"


# --- through the commands, with the built-in model


@pytest.fixture
def lepton(capfd, tmp_path):
    """Runs the built-in model under a template that opens a thought: exit code, stdout, stderr."""
    template = tmp_path / "think.jinja"
    template.write_text(THINKING)

    def start(command: str, *args: str) -> tuple[int, str, str]:
        code = run([command, "builtin", *args, "--chat-template-file", str(template)])
        return code, *capfd.readouterr()

    return start


HOW = ("-s", "1", "-t", "1", "-n", "24")


def test_an_answer_follows_a_reasoning_that_is_cut(lepton):
    code, out, _ = lepton("run", "hi", *HOW, "--json", "--reasoning-budget", "4")
    answer = json.loads(out)
    assert code == 0 and answer["text"].strip() and answer["reasoning"].strip()
    counts = answer["counts"]
    assert 4 < counts["reasoning"] < counts["generated"] == 24
    code, out, _ = lepton("run", "hi", *HOW, "--json", "--reasoning-budget", "24")
    assert code == 6 and json.loads(out)["counts"]["reasoning"] == 24


def test_a_form_follows_a_reasoning_that_is_cut(lepton):
    form = ("--choices", "yes,no", "--reasoning-budget", "3", "--json")
    code, out, _ = lepton("run", "hi", *HOW, *form)
    answer = json.loads(out)
    assert (code, answer["text"] in ("yes", "no"), bool(answer["reasoning"])) == (0, True, True)


def test_the_end_of_a_reasoning_may_complete_a_banned_text_and_bans_go_on(lepton):
    bans = ("--ban", "</think>", "--ban", "e", "--ban", "o")
    code, out, _ = lepton("run", "hi", *HOW, "--reasoning-budget", "4", *bans, "--json")
    text = json.loads(out)["text"]
    assert code == 0 and text.strip() and not {*text} & {*"eo"}


def test_a_row_of_a_batch_has_its_own_budget(lepton, tmp_path):
    rows = tmp_path / "rows.jsonl"
    lines = [{"text": "hi"}, {"text": "hi", "reasoning_budget": 2}]
    rows.write_text("\n".join(map(json.dumps, lines)))
    code, out, _ = lepton("batch", str(rows), "-n", "12", "-p", "{text}")
    first, second = map(json.loads, out.splitlines())
    assert code == 1 and first["error"] and second["text"].strip()
    assert 2 < second["counts"]["reasoning"] < 12


@pytest.mark.parametrize("form", [("--draft-max", "0"), ("-t", "2"), ("-ub", "3")])
def test_a_budget_gives_the_same_bytes_in_any_way(lepton, form):
    how = (
        "-s",
        "1",
        "-n",
        "24",
        "--reasoning-budget",
        "4",
        "--reasoning-budget-message",
        " Enough.",
    )
    expected = lepton("run", "hi", *how, "-t", "1", "--reasoning", "hide")
    assert lepton("run", "hi", *how, *form, "--reasoning", "hide") == expected


def test_a_budget_of_0_turns_thinking_off_in_the_template(lepton):
    _, off, _ = lepton("run", "hi", *HOW, "--no-think", "--json")
    _, none, _ = lepton("run", "hi", *HOW, "--reasoning-budget", "0", "--json")
    assert json.loads(none)["token_ids"] == json.loads(off)["token_ids"]


@pytest.mark.parametrize(
    ("words", "shown"),
    [
        (("--reasoning-effort", "high"), "effort high"),
        (("--reasoning-preserve",), "kept"),
        (("--chat-template-kwargs", '{"note": "x"}'), "note x"),
        (("--chat-template-kwargs", '{"enable_thinking": false}'), "</think>"),
    ],
)
def test_the_template_gets_what_the_options_say(lepton, words, shown):
    assert shown in lepton("template", "hi", *words)[1]
    assert shown not in lepton("template", "hi")[1]


@pytest.mark.parametrize(
    ("words", "error"),
    [
        (("--chat-template-kwargs", "{x"), "chat_template_kwargs is '{x', which is not JSON"),
        (("--chat-template-kwargs", "[1]"), "it must be a JSON object"),
        (("--chat-template-kwargs", '{"messages": []}'), "'messages', which is part of"),
        (("--reasoning-budget", "-2"), "--reasoning-budget"),
        (("--reasoning-budget", "5", "--beams", "2"), "a beam search cannot end the reasoning"),
    ],
)
def test_what_cannot_be_is_one_line(lepton, words, error):
    code, out, err = lepton("run", "hi", *HOW, *words)
    assert (code, out) == (2, "") and error in err


@pytest.mark.parametrize("value", [None, "", " ", {}, "{}"])
def test_no_variables_are_no_setting(value):
    assert checked_variables(value) == ""


def test_variables_are_the_same_setting_in_any_order():
    assert checked_variables('{"b": 1, "a": "ü"}') == checked_variables({"a": "ü", "b": 1})
    for wrong in (3, False, 0, [], "0"):
        with pytest.raises(UsageError):
            checked_variables(wrong)


@pytest.mark.parametrize("wrong", ["NaN", "-Infinity", "1e999", "[" * 9999 + "]" * 9999, "x"])
def test_variables_that_could_not_be_written_again_are_no_json(wrong):
    with pytest.raises(UsageError, match=r"^chat_template_kwargs is .{,70}, which is not JSON"):
        checked_variables(f'{{"a": {wrong}}}')
