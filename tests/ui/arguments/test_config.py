"""Settings: flag, then variable, then config file, then what the command makes of none of them."""

import os
import re
import sys
from pathlib import Path
from typing import Annotated, Any

import pytest
import typer

from lepton_cli.__main__ import run as run_lepton
from lepton_cli.engine.library import paths
from lepton_cli.engine.library.stores import list_models
from lepton_cli.ui.arguments.command import Command
from lepton_cli.ui.arguments.config import KnownSettings, config_path, default_map, origin
from lepton_cli.ui.arguments.setting_names import (
    OTHER_VARIABLES,
    PREFIX,
    SettingName,
    note_unknown,
    variable,
    variables,
)
from lepton_cli.ui.cli import app as program
from quant.errors import UsageError

COMMANDS = typer.main.get_group(program).commands
TEMP = {
    "temp": SettingName("temp"),
    "temperature": SettingName("temp"),
    "ctx_size": SettingName("ctx_size"),
}
RAW = {"raw": SettingName("raw"), "no_raw": SettingName("raw", negated=True)}
KNOWN = {
    "run": {**TEMP, **RAW, "stop": SettingName("stop")},
    "chat": {**TEMP, "plain": SettingName("plain")},
}


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch) -> Path:
    """Where the config file is looked for; nothing of the machine's own environment counts."""
    for name in [name for name in os.environ if name.startswith((f"{PREFIX}_", "XDG_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    (tmp_path / "lepton").mkdir()
    return tmp_path / "lepton"


def refused(folder: Path, text: str) -> UsageError:
    (folder / "config.toml").write_text(text)
    with pytest.raises(UsageError) as caught:
        default_map(KNOWN)
    assert "\n" not in caught.value.message
    assert str(folder / "config.toml") in caught.value.message
    return caught.value


# --- the file


def test_no_config_file_sets_nothing():
    assert default_map(KNOWN) == {"run": {}, "chat": {}}


def test_keys_reach_the_commands_that_know_them(folder):
    (folder / "config.toml").write_text("temp = 0.5\nraw = true\n[chat]\nplain = true\n")
    assert default_map(KNOWN) == {
        "run": {"temp": "0.5", "raw": True},
        "chat": {"temp": "0.5", "plain": True},
    }


def test_each_spelling_of_a_flag_is_a_key(folder):
    (folder / "config.toml").write_text("temperature = 0.6\nno-raw = true\n[chat]\ntemp = 1\n")
    assert default_map(KNOWN) == {"run": {"temp": "0.6", "raw": False}, "chat": {"temp": 1}}


def test_a_commands_table_wins_over_the_keys_above_it(folder):
    (folder / "config.toml").write_text("temp = 0.5\n[run]\ntemp = 0\n")
    assert default_map(KNOWN) == {"run": {"temp": 0}, "chat": {"temp": "0.5"}}


@pytest.mark.parametrize("key", ["ctx-size", "ctx_size"])
def test_keys_are_spelt_with_dashes_or_underscores(folder, key):
    (folder / "config.toml").write_text(f"{key} = 512\n")
    assert default_map(KNOWN)["run"] == {"ctx_size": 512}


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        ("ctx-sise = 1", "unknown key ctx-sise", "ctx-size"),
        ("[run]\nplian = 1", "unknown key [run] plian", None),
        ("[chat]\nplian = 1", "unknown key [chat] plian", "plain"),
        ("[rnu]\ntemp = 1", "unknown table [rnu]", "run"),
        ("temp = {a = 1}", "unknown table [temp]", None),
        ("[run]\nstop = {a = 1}", "[run] stop is a table", "a list"),
        ("temp = 1979-05-27", "temp is a date", "a number"),
        ("temp = 1\ntemperature = 2", "temp and temperature are the same setting", "one of them"),
        ("[run]\nraw = true\nno-raw = true", "[run] raw and no-raw are the same", "one of them"),
        ("ctx-size = 1\nctx_size = 1", "ctx-size and ctx_size are the same", "one of them"),
        ("no-raw = 3", "no-raw is 3", "true or false"),
        ("stop = " + "[" * 9999, "recursion", "TOML"),
        (".".join("a" * 99_999) + " = 1", "more than 1000 dots (at line 1)", "TOML"),
        ("temp = hot", "(at line 1, column 8)", "TOML"),
    ],
)
def test_a_wrong_config_file_says_what_and_where(folder, text, message, hint):
    error = refused(folder, text)
    assert message in error.message
    assert hint is None or hint in (error.hint or "")


@pytest.mark.parametrize("number", ["40.7", "inf", "nan", "1e400"])
def test_a_fraction_or_none_is_not_a_whole_number_in_the_file_either(folder, capsys, number):
    (folder / "config.toml").write_text(f"top-k = {number}\n")
    assert run_lepton(["run", "builtin", "hi"]) == 2
    told = capsys.readouterr().err
    assert "--top-k takes a whole number" in told and "config.toml" in told


@pytest.mark.parametrize("hindrance", ["a file in the way", "a device", "too long a name"])
def test_a_config_folder_that_cannot_exist_is_no_error(tmp_path, monkeypatch, hindrance):
    (tmp_path / "file").touch()
    names = {
        "a file in the way": str(tmp_path / "file"),
        "a device": os.devnull,
        "too long a name": f"/{'x' * 300}",
    }
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    monkeypatch.setenv("HOME", names[hindrance])
    assert default_map(KNOWN) == {command: {} for command in KNOWN}


def test_a_named_config_file_that_cannot_exist_is_an_error(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("LEPTON_CONFIG", str(tmp_path / "file" / "config.toml"))
    with pytest.raises(UsageError, match="no such file"):
        default_map(KNOWN)


def test_a_config_file_that_is_not_text_is_refused(folder):
    (folder / "config.toml").write_bytes(b"temp = '\xff'")
    with pytest.raises(UsageError, match="is not UTF-8: byte 0xff at 8"):
        default_map(KNOWN)


def test_the_variable_names_another_file(tmp_path, monkeypatch):
    other = tmp_path / "other.toml"
    other.write_text("temp = 0.1\n")
    monkeypatch.setenv("LEPTON_CONFIG", str(other))
    assert config_path() == other
    assert default_map(KNOWN)["run"] == {"temp": "0.1"}


def test_a_config_file_that_is_named_must_be_there(tmp_path, monkeypatch):
    monkeypatch.setenv("LEPTON_CONFIG", str(tmp_path / "none.toml"))
    with pytest.raises(UsageError, match=r"none\.toml: no such file"):
        default_map(KNOWN)


def test_a_folder_is_not_a_config_file(tmp_path, monkeypatch):
    monkeypatch.setenv("LEPTON_CONFIG", str(tmp_path))
    with pytest.raises(UsageError, match=r"directory|denied"):
        default_map(KNOWN)


# --- precedence, through the library that the command line is built on

app = typer.Typer(add_completion=False)


@app.callback()
def main(ctx: typer.Context) -> None:
    ctx.default_map = default_map(KnownSettings(ctx.command.commands))


@app.command(cls=Command)
def run(
    ctx: typer.Context,
    ctx_size: Annotated[int | None, typer.Option("--ctx-size", "-c", "--context")] = None,
    raw: Annotated[bool, typer.Option("--raw/--no-raw")] = False,
    stop: Annotated[list[str] | None, typer.Option("--stop")] = None,
) -> None:
    ctx.obj["seen"] = {"ctx_size": ctx_size, "raw": raw, "stop": stop}


@app.command(cls=Command)
def chat(ctx: typer.Context, plain: bool = False) -> None:
    ctx.obj["seen"] = {"plain": plain}


def seen(*args: str) -> dict[str, Any]:
    found: dict[str, Any] = {}
    with typer.main.get_command(app).make_context("lepton", list(args), obj=found) as context:
        context.command.invoke(context)
    return found["seen"]


@pytest.mark.parametrize("flag", [None, "1"])
@pytest.mark.parametrize("variable", [None, "2"])
@pytest.mark.parametrize("table", [None, "3"])
@pytest.mark.parametrize("common", [None, "4"])
def test_flag_then_variable_then_config_then_none(
    folder, monkeypatch, flag, variable, table, common
):
    if variable:
        monkeypatch.setenv("LEPTON_CTX_SIZE", variable)
    text = f"ctx-size = {common}\n" if common else ""
    text += f"[run]\nctx-size = {table}\n" if table else ""
    (folder / "config.toml").write_text(text)
    args = ["run", *(["--ctx-size", flag] if flag else [])]
    expected = next((value for value in (flag, variable, table, common) if value), None)
    assert seen(*args)["ctx_size"] == (int(expected) if expected else None)


def test_switches_and_lists_come_from_the_file(folder):
    (folder / "config.toml").write_text('raw = true\nstop = ["a b", "c"]\n[chat]\nplain = true\n')
    assert seen("run") == {"ctx_size": None, "raw": True, "stop": ["a b", "c"]}
    assert seen("run", "--no-raw", "--stop", "d")["raw"] is False
    assert seen("run", "--stop", "d")["stop"] == ["d"]
    assert seen("chat") == {"plain": True}


def test_an_empty_variable_sets_nothing(folder, monkeypatch):
    (folder / "config.toml").write_text("ctx-size = 7\n")
    monkeypatch.setenv("LEPTON_CTX_SIZE", "")
    assert seen("run")["ctx_size"] == 7


@pytest.mark.parametrize(
    ("environ", "seen_size", "notes"),
    [
        ({"CTX_SIZE": "3"}, 3, 0),
        ({"CONTEXT": "4"}, 4, 0),
        ({"CTX_SIZE": "3", "CONTEXT": "3"}, 3, 0),
        ({"CTX_SIZE": "3", "CONTEXT": "4"}, 3, 1),
        ({"CTX_SIZE": "", "CONTEXT": "4"}, 4, 0),
    ],
)
def test_each_spelling_has_a_variable_and_the_first_counts(
    folder, monkeypatch, capsys, environ, seen_size, notes
):
    (folder / "config.toml").write_text("context = 7\n")
    for name, value in environ.items():
        monkeypatch.setenv(f"LEPTON_{name}", value)
    assert seen("run")["ctx_size"] == seen_size
    told = capsys.readouterr().err.splitlines()
    assert len(told) == notes
    for line in told:
        assert "LEPTON_CTX_SIZE and LEPTON_CONTEXT have different values: LEPTON_CTX_SIZE" in line


@pytest.mark.parametrize(
    ("environ", "raw", "notes"),
    [
        ({"NO_RAW": "1"}, False, 0),
        ({"NO_RAW": "0"}, True, 0),
        ({"NO_RAW": ""}, True, 0),
        ({"RAW": "1", "NO_RAW": "off"}, True, 0),
        ({"RAW": "0", "NO_RAW": "0"}, False, 1),
    ],
)
def test_a_no_flag_has_a_variable_that_sets_the_opposite(
    folder, monkeypatch, capsys, environ, raw, notes
):
    (folder / "config.toml").write_text("raw = true\n")
    for name, value in environ.items():
        monkeypatch.setenv(f"LEPTON_{name}", value)
    assert seen("run")["raw"] is raw
    assert seen("run", "--raw")["raw"] is True
    assert capsys.readouterr().err.count("have different values") == 2 * notes


def test_a_no_variable_that_is_neither_yes_nor_no_is_refused(folder, monkeypatch):
    monkeypatch.setenv("LEPTON_NO_RAW", "perhaps")
    with pytest.raises(UsageError, match="LEPTON_NO_RAW is 'perhaps'"):
        seen("run")


@pytest.mark.parametrize(
    ("given", "near"),
    [
        ("LEPTON_CTX_SISE", "did you mean LEPTON_CTX_SIZE?"),
        ("LEPTON_TOPK", "did you mean LEPTON_TOP_K?"),
        ("LEPTON_CONFG", "did you mean LEPTON_CONFIG?"),
        ("LEPTON_WHATEVER", None),
    ],
)
def test_an_unknown_variable_is_reported_with_the_nearest(capsys, given, near):
    note_unknown(["ctx_size", "top_k", "temp"], {given: "1", "LEPTON_TEMP": "1", "HOME": "/"})
    [line] = capsys.readouterr().err.splitlines()
    assert f"the variable {given} is unknown" in line
    assert (near in line) if near else ("did you mean" not in line)


def test_empty_variables_and_those_of_tests_are_not_told(capsys):
    note_unknown(["temp"], {"LEPTON_OLD": "", "LEPTON_TEST_DATA": "/", "LEPTON": "x"})
    assert not capsys.readouterr().err


def test_every_variable_that_the_program_reads_is_known():
    root = Path(__file__).parents[3]
    options = [param for command in COMMANDS.values() for param in command.params]
    known = {name for option in options for name in option.envvar or ()}
    for package in ("quant", "ops", "lepton_cli"):
        for path in (root / package).rglob("*.py"):
            read = re.findall(r'"(LEPTON_[A-Z_]+[A-Z])"', path.read_text(encoding="utf-8"))
            assert set(read) <= known | set(OTHER_VARIABLES), path


def test_each_long_spelling_of_each_flag_has_its_variable():
    for command in COMMANDS.values():
        for option in command.params:
            if option.param_type_name == "option":
                long = [flag[2:] for flag in option.opts if flag.startswith("--")]
                named = [variable(flag.replace("-", "_")) for flag in long]
                assert variables(option)[: len(named)] == named
                assert variables(option)[0] == f"LEPTON_{option.name.upper()}"


def test_a_wrong_value_says_where_it_came_from(folder, monkeypatch):
    (folder / "config.toml").write_text('ctx-size = "many"\n')
    for args, expected in (
        (["run"], str(folder / "config.toml")),
        (["run", "-c", "lots"], None),
    ):
        with pytest.raises(typer.BadParameter) as caught:
            seen(*args)
        told = origin(caught.value)
        assert told is None if expected is None else expected in (told or "")
    monkeypatch.setenv("LEPTON_CTX_SIZE", "some")
    with pytest.raises(typer.BadParameter) as caught:
        seen("run")
    assert "LEPTON_CTX_SIZE" in (origin(caught.value) or "")


def test_an_error_of_no_parameter_has_no_origin():
    assert origin(ValueError("x")) is None


# --- without a home folder


@pytest.mark.skipif(sys.platform == "win32", reason="HOME is of POSIX")
@pytest.mark.parametrize("value", ["", "no/path", None])
def test_without_a_home_folder_nothing_is_found_or_kept_below_it(monkeypatch, value):
    def unknown(uid: int) -> None:
        raise KeyError(uid)

    monkeypatch.setattr("pwd.getpwuid", unknown)
    monkeypatch.delenv("HOME")
    if value is not None:
        monkeypatch.setenv("HOME", value)
    monkeypatch.delenv("XDG_CONFIG_HOME")
    assert default_map(KNOWN) == {command: {} for command in KNOWN}
    assert list_models() == []
    assert run_lepton(["doctor"]) == 0
    with pytest.raises(UsageError, match="cannot write"):
        paths.private_folder(paths.state_folder())
