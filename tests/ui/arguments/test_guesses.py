"""What people type before they know the commands: one line that says so, and what to type."""

import re
import shlex

import pytest
import typer
from fake_model import FakeModel

from lepton_cli.__main__ import run
from lepton_cli.ui.arguments.usage import guesses
from lepton_cli.ui.cli import app
from lepton_cli.version import __version__

COMMANDS = set(typer.main.get_group(app).commands)


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """A working folder with a model, and no model needs to be computed."""
    (tmp_path / "my model.gguf").write_bytes(b"GGUF")
    (tmp_path / "m.gguf").write_bytes(b"GGUF")
    (tmp_path / "notes.txt").write_text("a note")
    (tmp_path / "models").mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("lepton_cli.engine.model.open_model", lambda *_: FakeModel())
    monkeypatch.setattr("lepton_cli.ui.repl.repl.chat", lambda *_: 0)
    return tmp_path


def refusal(capsys, *args: str) -> tuple[str, str]:
    assert run(list(args)) == 2
    out, err = capsys.readouterr()
    assert not out
    message, hint = err.splitlines()
    return message.removeprefix("lepton: error: "), hint.removeprefix("lepton: hint: ")


@pytest.mark.parametrize(
    ("args", "message", "command"),
    [
        (["m.gguf"], "m.gguf is a model, not a command", "chat m.gguf"),
        (["my model.gguf"], "is a model, not a command", "chat 'my model.gguf'"),
        (["builtin"], "builtin is a model, not a command", "chat builtin"),
        (["m.gguf", "hi"], "m.gguf is a model", "run m.gguf hi"),
        (["m.gguf", "tell", "me", "a"], "m.gguf is a model", "run m.gguf 'tell me a'"),
        (["m.gguf", "-p", "it's"], "m.gguf is a model", """run m.gguf -p 'it'"'"'s'"""),
        (["m.gguf", "run", "hi"], "m.gguf is a model", "run m.gguf hi"),
        (["hello"], "hello is not a command", "run builtin hello"),
        (["hello", "there", "friend"], "hello is not", "run builtin 'hello there friend'"),
        (["What is  it?"], "'What is  it?' is not a command", "run builtin 'What is  it?'"),
        (["what", "is", "love"], "what is not a command", "run builtin 'what is love'"),
        (["list", "three", "cats"], "list is not a command", "run builtin 'list three cats'"),
        (["help", "me", "now"], "help is not a command", "run builtin 'help me now'"),
        (["hi", "-n", "5"], "hi is not a command", "run builtin hi -n 5"),
        (["-m", "m.gguf", "-p", "hi"], "no command before", "run -m m.gguf -p hi"),
        (["-p", "hi"], "no command before", "run builtin -p hi"),
        (["-m", "m.gguf"], "no command before", "chat -m m.gguf"),
        (["-m", "m.gguf", "-cnv"], "no command before", "chat -m m.gguf"),
        (["--temp=0", "run", "m.gguf", "hi"], "the command comes", "run m.gguf hi --temp 0"),
        (["rnu", "m.gguf", "hi"], "rnu is not a command", "run m.gguf hi"),
        (["RUN", "m.gguf", "hi"], "RUN is not a command", "run m.gguf hi"),
        (["--models"], "--models is not a command", "models"),
        (["list"], "list is not a command", "models"),
        (["ls", "--all"], "ls is not a command", "models"),
        (["ask", "m.gguf", "hi"], "ask is not a command", "run m.gguf hi"),
        (["serve"], "Lepton has no server", "chat"),
        (["cp", "m.gguf"], "Lepton leaves model files", "models --json"),
        (["notes.txt"], "notes.txt is not a command", "run builtin -f notes.txt"),
    ],
)
def test_a_guess_is_answered_with_a_command_that_works(capsys, args, message, command):
    told, hint = refusal(capsys, *args)
    assert message in told
    assert hint.endswith(f"lepton {command}")
    assert run(shlex.split(command)) == 0


@pytest.mark.parametrize(
    ("args", "message", "hint"),
    [
        (["none.gguf"], "none.gguf: no such file", "`lepton models`"),
        (["models/"], "models is a folder", "no .gguf file"),
        (["https://hf.co/a/b"], "is an address", "lepton pull a/b"),
        (["download", "a/b:Q8_0"], "download is not a command", "lepton pull a/b:Q8_0"),
        (["get"], "get is not a command", "lepton pull"),
        (["rm", "m"], "removed by an option", "lepton models --remove NAME"),
        (["quant", "m.gguf"], "quant is not a command", "lepton quantize m.gguf"),
        (["finetune", "m.gguf"], "does not train models", "lepton merge-lora"),
        (["import", "folder"], "import is not a command", "lepton convert folder"),
        (["help", "rnu"], "rnu is not a command", "lepton help run"),
        (["help", "qqq"], "qqq is not a command", "lepton --help"),
        (["--colour"], "unknown option --colour", "lepton run --help"),
        (["--hepl"], "unknown option --hepl", "did you mean --help?"),
        (["m.gguf", "--tmep", "1"], "unknown option --tmep", "did you mean --temp?"),
        ([""], "the command is empty", "lepton --help"),
    ],
)
def test_what_no_command_does_is_said_with_the_way_on(capsys, args, message, hint):
    told, cure = refusal(capsys, *args)
    assert message in told
    assert hint in cure


@pytest.mark.parametrize("args", [["version"], ["-V"], ["-v"], ["--version"], ["-version"]])
def test_the_version_is_reported_however_it_is_asked(capsys, args):
    assert run(args) == 0
    assert capsys.readouterr().out == f"lepton {__version__}\n"


@pytest.mark.parametrize(
    ("args", "same"),
    [
        (["help"], ["--help"]),
        (["-help"], ["--help"]),
        (["help", "run"], ["run", "--help"]),
        (["help", "cache"], ["cache", "-h"]),
    ],
)
def test_help_is_a_command_too(capsys, args, same):
    assert run(args) == run(same) == 0
    shown = capsys.readouterr().out
    assert shown[: len(shown) // 2] == shown[len(shown) // 2 :]


@pytest.mark.parametrize(
    ("typed", "command"),
    [
        ("llama-quantize m.gguf q.gguf Q8_0", "quantize m.gguf q.gguf Q8_0"),
        ("gguf-split --split m.gguf part", "split --split m.gguf part"),
        ("llama-perplexity -m m.gguf -f notes.txt", "perplexity -m m.gguf -f notes.txt"),
    ],
)
def test_the_name_of_llama_cpps_program_is_answered_with_the_command(capsys, typed, command):
    assert refusal(capsys, *typed.split())[1].endswith(f"lepton {command}")


def test_a_default_model_is_not_named_in_the_command(capsys, monkeypatch):
    monkeypatch.setenv("LEPTON_MODEL", "m.gguf")
    assert refusal(capsys, "hello", "you", "there")[1].endswith("lepton run 'hello you there'")
    assert refusal(capsys, "-p", "hi")[1].endswith("lepton run -p hi")


def test_no_guess_hides_a_command():
    guessed = {*guesses.OURS, *guesses.LACKING}
    assert not guessed & COMMANDS
    assert set(guesses.OURS.values()) <= COMMANDS


@pytest.mark.parametrize("width", [40, 80, 200])
def test_what_a_command_does_is_shown_whole(capsys, monkeypatch, width):
    monkeypatch.setenv("COLUMNS", str(width))
    for group in (typer.main.get_group(app), typer.main.get_group(app).commands["sessions"]):
        run([*([] if group.name == "lepton" else [group.name]), "--help"])
        shown = re.sub(r"\s+", " ", capsys.readouterr().out)
        for command in group.commands.values():
            assert re.sub(r"\s+", " ", command.help.split("\n\n")[0]) in shown, command.name
