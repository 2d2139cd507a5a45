"""`lepton compare`: its table, its JSON, and how it ends."""

import json
import signal

import pytest
from make_gguf import write_model
from stories import story

from lepton_cli.__main__ import run
from lepton_cli.ui.commands.measuring import compare as command
from quant.errors import OutOfMemoryError


@pytest.fixture
def text(tmp_path):
    path = tmp_path / "story.txt"
    path.write_text(story(40) + "\n", encoding="utf-8")
    return str(path)


@pytest.fixture
def told(capsys, text):
    """Compares the built-in model with itself; gives exit code, stdout and stderr."""

    def tell(*words: str, other: str = "builtin") -> tuple[int, str, str]:
        code = run(["compare", "builtin", other, text, "--backend", "cpu", "-c", "64", *words])
        return code, *capsys.readouterr()

    return tell


def test_the_table_shows_both_models_and_what_lies_between_them(told):
    code, out, _ = told()
    assert code == 0
    rows = [line.split("  ") for line in out.splitlines()]
    names = {row[0] for row in rows}
    assert {"file size", "memory", "tokens per second", "perplexity"} <= names
    assert "KL divergence of B from A       0.000000 +/- 0.000000\n" in out
    assert "same most likely token          100.00 +/- 0.00 %\n" in out


def test_json_holds_the_same_figures(told):
    found = json.loads(told("--json")[1])
    one, two = found["models"]
    assert one["bytes"] == two["bytes"] and one["perplexity"] == two["perplexity"]
    assert found["kl_divergence"]["percentiles"]["50"] == 0
    assert found["same_top"] == {"value": 1.0, "error": 0.0}
    assert found["scored_tokens"] == 31 * found["windows"]


def test_after_an_interrupt_the_windows_so_far_are_printed(told, monkeypatch):
    measure = command.compare

    def interrupted(*given):
        for found in measure(*given):
            yield found
            signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(command, "compare", interrupted)
    code, out, err = told("--json")
    assert code == 130 and json.loads(out)["windows"] == 1
    assert "interrupted after 1 window" in err


def test_models_that_do_not_fit_together_are_told_as_such(told, monkeypatch):
    opened = command.open_measured

    def full(path, wanted, options, beside=None):
        if beside is not None:
            raise OutOfMemoryError("needs 9 GB", "leave out -md")
        return opened(path, wanted, options)

    monkeypatch.setattr(command, "open_measured", full)
    code, out, err = told()
    assert code == 5 and not out and "both models are open at once" in err


def test_another_vocabulary_is_refused(told, tmp_path):
    code, out, err = told(other=str(write_model(tmp_path / "other.gguf")))
    assert code == 2 and not out and "different vocabularies" in err


def test_a_model_that_is_missing_is_asked_for_with_the_one_that_was_given(capsys):
    assert run(["compare", "builtin"]) == 2
    assert "type: lepton compare builtin B\n" in capsys.readouterr().err
