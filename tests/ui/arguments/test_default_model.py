"""Which word is the model and which the text, where a setting names a default model."""

import json

import pytest
from fake_model import FakeModel

from lepton_cli.__main__ import run


@pytest.fixture(autouse=True)
def opened(tmp_path, monkeypatch):
    """Every model that was opened, by its file's name, with its double."""
    found: list[tuple[str, FakeModel]] = []

    def open_model(path, *_):
        found.append((path.name, FakeModel()))
        return found[-1][1]

    for name in ("default.gguf", "other.gguf"):
        (tmp_path / name).write_bytes(b"GGUF")
    (tmp_path / "rows.txt").write_text("one\ntwo\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("lepton_cli.engine.model.open_model", open_model)
    return found


@pytest.fixture(params=["variable", "config", "table"])
def default(request, tmp_path, monkeypatch):
    """A default model, as the user may name it."""
    if request.param == "variable":
        monkeypatch.setenv("LEPTON_MODEL", "default.gguf")
        return
    table = "".join(f"[{command}]\nmodel = 'default.gguf'\n" for command in ("run", "chat"))
    config = "model = 'default.gguf'\n" if request.param == "config" else table
    (tmp_path / "config.toml").write_text(config)
    monkeypatch.setenv("LEPTON_CONFIG", str(tmp_path / "config.toml"))


@pytest.mark.usefixtures("default")
@pytest.mark.parametrize(
    ("args", "model", "prompt"),
    [
        (["hello there"], "default.gguf", "hello there"),
        (["hello"], "default.gguf", "hello"),
        (["-f", "rows.txt"], "default.gguf", "one\ntwo"),
        (["-f", "rows.txt", "hello"], "default.gguf", "hello"),
        (["rows.txt"], "default.gguf", "rows.txt"),
        (["other.gguf", "hi"], "other.gguf", "hi"),
        (["other.gguf", "-p", "hi"], "other.gguf", "hi"),
        (["builtin", "-p", "hi"], "builtin.gguf", "hi"),
        (["-m", "other.gguf", "hi"], "other.gguf", "hi"),
        (["-m", "other.gguf", "default.gguf"], "other.gguf", "default.gguf"),
        (["what is in other.gguf"], "default.gguf", "what is in other.gguf"),
    ],
)
def test_one_word_is_the_prompt_unless_it_names_a_model(opened, args, model, prompt):
    assert run(["run", *args]) == 0
    [(name, double)] = opened
    assert name == model
    assert prompt in double.prompts[0]


@pytest.mark.usefixtures("default")
@pytest.mark.parametrize(
    ("args", "message", "hint"),
    [
        (["none.gguf"], "none.gguf: no such file", "lepton"),
        (["other.gguf"], "there is no prompt", "-p"),
        (["hello", "there"], "no model is called hello", "lepton run 'hello there'"),
        (["tell", "me", "a"], "several words: put it in quotes", "lepton run 'tell me a'"),
        (["other.gguf", "tell", "me"], "several words", "lepton run other.gguf 'tell me'"),
        ([""], "the prompt is empty", "-p"),
    ],
)
def test_what_is_neither_is_refused(opened, capsys, args, message, hint):
    assert run(["run", *args]) == 2
    told, cure = capsys.readouterr().err.splitlines()
    assert message in told
    assert hint in cure
    assert not opened


@pytest.mark.usefixtures("default")
@pytest.mark.parametrize(
    ("args", "model", "prompt"),
    [
        (["hi"], "default.gguf", "hi"),
        (["other.gguf"], "other.gguf", None),
        (["other.gguf", "hi"], "other.gguf", "hi"),
        ([], "default.gguf", None),
    ],
)
def test_a_chat_goes_by_the_same_rule(opened, monkeypatch, args, model, prompt):
    seen = []
    monkeypatch.setattr(
        "lepton_cli.ui.repl.repl.chat", lambda _, options, __: seen.append(options) or 0
    )
    assert run(["chat", *args]) == 0
    assert ([name for name, _ in opened], seen[0].prompt) == ([model], prompt)


@pytest.mark.parametrize("args", [["x"], ["builtin", "x"], ["-p", "x"]])
def test_tokenize_and_template_take_the_text(capsys, monkeypatch, args):
    monkeypatch.setenv("LEPTON_MODEL", "builtin")
    assert run(["tokenize", *args, "--json"]) == 0
    assert "x" in "".join(json.loads(capsys.readouterr().out)["pieces"])
    assert run(["template", *args]) == 0
    assert "x" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("args", "named"),
    [
        (["rows.txt"], ("default.gguf", "rows.txt")),
        (["other.gguf", "rows.txt"], ("other.gguf", "rows.txt")),
        (["-"], ("default.gguf", "-")),
        (["other.gguf", "-"], ("other.gguf", "-")),
    ],
)
def test_batch_takes_the_rows(monkeypatch, args, named):
    seen = []
    monkeypatch.setenv("LEPTON_MODEL", "default.gguf")
    monkeypatch.setattr("lepton_cli.ui.commands.batch.answer_rows", seen.append)
    assert run(["batch", *args]) == 0
    assert (seen[0].name, seen[0].input) == named


def test_bench_takes_the_model_alone_from_the_config_file(tmp_path, monkeypatch):
    seen = []
    (tmp_path / "config.toml").write_text("model = 'default.gguf'\nthreads = 7\n")
    monkeypatch.setenv("LEPTON_CONFIG", str(tmp_path / "config.toml"))
    monkeypatch.setattr(
        "lepton_cli.ui.commands.bench.run_benchmark", lambda *given: seen.append(given)
    )
    assert run(["bench"]) == run(["bench", "other.gguf"]) == 0
    assert [name for name, _ in seen] == ["default.gguf", "other.gguf"]
    assert all(options.threads is None for _, options in seen)


def test_without_a_default_rows_are_not_taken_for_the_model(capsys):
    assert run(["batch", "rows.txt"]) == 2
    told, cure = capsys.readouterr().err.splitlines()
    assert "no model given" in told
    assert "lepton batch builtin rows.txt" in cure


@pytest.mark.parametrize("name", ["nosuch", "nosuch.gguf"])
@pytest.mark.parametrize("place", ["variable", "config"])
def test_a_default_model_that_does_not_exist_is_reported_with_who_set_it(
    monkeypatch, tmp_path, capsys, name, place
):
    if place == "variable":
        monkeypatch.setenv("LEPTON_MODEL", name)
        where = "it is set by the variable LEPTON_MODEL; without it: unset LEPTON_MODEL"
    else:
        (tmp_path / "config.toml").write_text(f"model = '{name}'\n")
        monkeypatch.setenv("LEPTON_CONFIG", str(tmp_path / "config.toml"))
        where = f"it is set in {tmp_path / 'config.toml'}"
    assert run(["run", "hello there"]) == 2
    error, hint = capsys.readouterr().err.splitlines()
    assert name in error and hint == f"lepton: hint: {where}"
