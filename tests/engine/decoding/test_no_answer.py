"""An answer that ended within the model's thoughts is none: each way to ask says so, and why."""

import json

import pytest

from lepton_cli.__main__ import run
from lepton_cli.engine.decoding.answer import no_answer

THINKING = (
    "{%- for m in messages -%}<|{{ m.role }}|>{{ m.content }}<|end|>{%- endfor -%}"
    "<|assistant|>{% if enable_thinking %}<think>\n{% else %}<think>\n\n</think>\n\n{% endif %}"
)
CUT = "the answer was cut at 5 tokens, within the model's reasoning: there is no answer"


@pytest.fixture
def lepton(capfd, tmp_path):
    """Runs the built-in model under a template that opens a thought: exit code, stdout, stderr."""
    template = tmp_path / "think.jinja"
    template.write_text(THINKING)

    def start(command: str, *args: str) -> tuple[int, str, str]:
        how = ("--chat-template-file", str(template), "-s", "1", "-t", "1")
        code = run([command, "builtin", *args, *how])
        return code, *capfd.readouterr()

    return start


@pytest.mark.parametrize("form", [(), ("--candidates", "2"), ("--beams", "2")])
def test_a_cut_within_the_thoughts_is_exit_6(lepton, form):
    code, out, err = lepton("run", "hi", "-n", "5", *form)
    assert code == 6 and not out.strip("\n-")
    hint = "raise -n, or give --reasoning-budget fewer tokens than -n"
    assert err.endswith(f"lepton: error: {CUT}\nlepton: hint: {hint}\n")


def test_json_says_why_there_is_no_answer(lepton):
    code, out, _ = lepton("run", "hi", "-n", "5", "--json")
    record = json.loads(out)
    told = (code, record["text"], record["finish_reason"], record["unmet"])
    assert told == (6, "", "length", CUT)
    code, out, _ = lepton("run", "hi", "-n", "5", "--jsonl")
    end = json.loads(out.splitlines()[-1])
    assert (code, end["finish_reason"], end["unmet"]) == (6, "length", CUT)
    code, out, _ = lepton("run", "hi", "-n", "5", "--json", "--beams", "2")
    found = [(each["finish_reason"], each["unmet"]) for each in json.loads(out)["candidates"]]
    assert (code, found) == (6, [("length", CUT)])


def test_a_row_of_a_batch_fails_with_the_reason(lepton, tmp_path):
    rows = tmp_path / "rows.txt"
    rows.write_text("hi\n")
    code, out, err = lepton("batch", str(rows), "-n", "5")
    row = json.loads(out)
    assert (code, row["error"]["message"], row["finish_reason"]) == (1, CUT, "length")
    assert "1 row: 0 answered, 1 failed" in err


def test_a_full_context_and_the_models_own_end_are_other_reasons(lepton):
    code, out, err = lepton("run", "hi", "-c", "16", "--json")
    assert (code, json.loads(out)["finish_reason"]) == (6, "context") and "raise -c" in err
    code, out, err = lepton("run", "hi", "--json")
    assert (code, json.loads(out)["finish_reason"]) == (6, "stop") and "--no-think" in err


@pytest.mark.parametrize("args", [("--no-think", "-n", "5"), ("-n", "0")])
def test_an_answer_without_thoughts_and_one_of_no_tokens_are_fine(lepton, args):
    code, _, err = lepton("run", "hi", *args)
    assert (code, err) == (0, "")


@pytest.mark.parametrize(
    ("text", "tokens", "answered"),
    [("", 3, False), (" \n", 3, False), ("x", 3, True), ("", 0, True)],
)
def test_blank_text_is_not_an_answer(text, tokens, answered):
    assert (no_answer(text, "length", tokens) is None) == answered
