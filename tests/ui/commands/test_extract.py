"""`lepton run --extract`: the answer's code block alone, and what is no block."""

import json

import pytest
from fake_model import FakeModel

from lepton_cli.__main__ import run
from lepton_cli.engine.events import Reasoning
from lepton_cli.ui.reports.code_blocks import code_blocks, missing_block
from quant.errors import ConstraintError

ANSWER = "Do this:\n\n```sh\nls\n\ncd /\n```\n\nor:\n\n~~~\npwd\n~~~\nDone.\n"


@pytest.fixture
def lepton(monkeypatch, tmp_path, capfd):
    """Runs `lepton run` on a model that answers so: exit code, stdout, stderr."""
    path = tmp_path / "fake.gguf"
    path.write_bytes(b"never read")

    def start(answer: tuple[str | Reasoning, ...], *args: str, **how: object):
        model = FakeModel([answer], **how)
        monkeypatch.setattr("lepton_cli.engine.model.open_model", lambda *_: model)
        code = run(["run", str(path), "hi", "--no-stdin", *args])
        return code, *capfd.readouterr()

    return start


@pytest.mark.parametrize(
    ("text", "blocks"),
    [
        (ANSWER, ["ls\n\ncd /", "pwd"]),
        ("```\nnever closed", ["never closed"]),
        ("````md\n```\nx\n```\n````\n", ["```\nx\n```"]),
        ("~~~ py title\nx\n~~~~\n", ["x"]),
        ("```\r\na\r\nb\r\n```\r\n", ["a\nb"]),
        ("1. So:\n   ```\n   if x:\n     y\n   ```\n", ["if x:\n  y"]),
        ("So:\n\n      ```\n      x\n      ```\n", ["x"]),
        ("> ```\n> x\n> ```\n", ["x"]),
        ("<details>\n```\nx\n```\n</details>\n", ["x"]),
        ("```\n```\n", [""]),
        ("a `b` and ``c``\n\n    indented\n", []),
        ("", []),
    ],
)
def test_fences_are_found_as_models_write_them(text, blocks):
    assert code_blocks(text) == blocks


@pytest.mark.parametrize(
    ("flag", "out"), [("-x", "ls\n\ncd /\n"), ("--extract", "ls\n\ncd /\n"), ("--xl", "pwd\n")]
)
def test_the_block_is_all_of_stdout(lepton, flag, out):
    thought = Reasoning("```\nno\n```")
    assert lepton((thought, *ANSWER), flag) == (0, out, "```\nno\n```\n")
    assert lepton((thought, *ANSWER), flag, "--reasoning", "show")[1] == out
    assert lepton((thought, *ANSWER), flag, "--reasoning", "hide") == (0, out, "")


def test_an_answer_without_a_block_is_exit_6_and_goes_to_stderr(lepton):
    code, out, err = lepton((Reasoning("Hm"), "Just \x1bls.", "\n"), "-x")
    assert (code, out) == (6, "")
    assert err.startswith("Hm\nJust ␛ls.\nlepton: error: the answer has no code block\n")


def test_json_holds_the_block_beside_the_text(lepton):
    record = json.loads(lepton((ANSWER,), "-x", "--json")[1])
    assert (record["text"], record["extracted"]) == (ANSWER, "ls\n\ncd /")
    code, out, _ = lepton(("none",), "-x", "--json")
    record = json.loads(out)
    told = (code, record["extracted"], record["unmet"])
    assert told == (6, None, "the answer has no code block")
    end = json.loads(lepton((ANSWER,), "--xl", "--jsonl")[1].splitlines()[-1])
    assert (end["event"], end["extracted"]) == ("end", "pwd")
    assert "extracted" not in json.loads(lepton((ANSWER,), "--json")[1])


@pytest.mark.parametrize(
    ("text", "reason", "cut"),
    [
        ("```\nrm -r", "length", True),
        ("```\nrm -r", "context", True),
        ("```\nrm -r", "stop", False),
        ("```\nls\n```\nand so", "length", False),
    ],
)
def test_a_block_that_was_cut_is_not_what_was_asked_for(text, reason, cut):
    found = missing_block(reason, text, "first")
    assert (found is not None and "cut within its code block" in found.message) == cut


def test_an_interrupted_answer_gives_what_there_is(lepton):
    code, out, _ = lepton(("```\nls",), "-x", reason="interrupted")
    assert (code, out) == (130, "ls\n")


def test_an_answer_that_an_error_breaks_off_is_not_lost(lepton):
    failure = ConstraintError("no token is allowed")
    code, out, err = lepton(("```\nls", " -l"), "-x", failure=failure)
    assert (code, out) == (6, "")
    assert err == "```\nls -l\nlepton: error: no token is allowed\n"


def test_both_blocks_cannot_be_wanted(lepton):
    assert lepton((ANSWER,), "-x", "--xl")[0] == 2
