"""`lepton chat` from the command line: what its options make of the chat."""

import pytest
from fake_model import FakeModel

from lepton_cli.__main__ import run
from lepton_cli.ui.commands.chat import BUILTIN_NOTE
from quant.errors import UsageError


@pytest.fixture
def chats(monkeypatch):
    """Every chat that is started: its options, its model, its way to another model."""
    started, model = [], FakeModel()

    def chat(opened, options, load_model) -> int:
        assert opened is model
        started.append((options, load_model))
        return len(started) - 1

    monkeypatch.setattr("lepton_cli.engine.model.open_model", lambda *_: model)
    monkeypatch.setattr("lepton_cli.ui.repl.repl.chat", chat)
    return started


@pytest.fixture
def path(tmp_path) -> str:
    (tmp_path / "fake.gguf").touch()
    return str(tmp_path / "fake.gguf")


def test_a_chat_begins_with_what_the_options_say(chats, path, tmp_path):
    old = tmp_path / "old.json"
    old.touch()
    flags = f"-sys Hello --no-think --plain --reasoning hide -st --no-history --load {old}"
    assert run(["chat", path, *flags.split(), "-p", r"a\nb", "--temp", "0", "-n", "9"]) == 0
    options, _ = chats[0]
    assert (options.system, options.prompt, options.resume) == ("Hello", "a\nb", old)
    assert (options.thinking, options.plain, options.reasoning) == (False, True, "hide")
    assert (options.single_turn, options.history) == (True, False)
    assert (options.generation.sampling.temperature, options.generation.max_tokens) == (0, 9)


def test_a_chat_without_options_shows_everything(chats, path):
    run(["chat", path])
    options, _ = chats[0]
    assert (options.system, options.prompt, options.resume) == (None, None, None)
    assert (options.thinking, options.plain, options.reasoning) == (True, False, "show")


@pytest.mark.parametrize(
    ("flags", "theme"),
    [("", "auto"), ("--theme light", "light"), ("--no-color --theme light", "none")],
)
def test_theme_is_chosen_by_flags(chats, path, flags, theme):
    run(["chat", path, *flags.split()])
    assert chats[0][0].theme == theme


def test_theme_is_chosen_by_variables(chats, path, monkeypatch):
    monkeypatch.setenv("LEPTON_THEME", "dark")
    run(["chat", path])
    monkeypatch.setenv("LEPTON_NO_COLOR", "1")
    run(["chat", path])
    assert [options.theme for options, _ in chats] == ["dark", "none"]


def test_the_word_after_the_model_is_said_first(chats, path):
    run(["chat", path, r"hi\n"])
    assert chats[0][0].prompt == r"hi\n"


def test_without_a_model_the_built_in_one_says_what_it_is(chats, capsys, monkeypatch):
    monkeypatch.setattr("lepton_cli.ui.commands.chat.resolve", lambda name: f"the file of {name}")
    assert run(["chat"]) == 0
    assert BUILTIN_NOTE in capsys.readouterr().err
    assert "lepton chat model.gguf" in BUILTIN_NOTE


def test_a_variable_names_another_model(chats, path, capsys, monkeypatch):
    monkeypatch.setenv("LEPTON_MODEL", path)
    assert run(["chat"]) == 0
    assert not capsys.readouterr().err


def test_the_chats_exit_code_is_the_programs(chats, path):
    assert [run(["chat", path]) for _ in "123"] == [0, 1, 2]


def test_another_model_is_opened_by_name_in_a_running_chat(chats, path):
    run(["chat", path])
    load = chats[0][1]
    assert isinstance(load(path), FakeModel)
    with pytest.raises(UsageError, match="no such file"):
        load("none.gguf")


def test_flags_of_llama_cpps_interactive_mode_are_taken(chats, path, capsys):
    assert run(["chat", "-m", path, "-cnv", "-i", "--color", "-mli", "--simple-io"]) == 0
    assert not capsys.readouterr().err
