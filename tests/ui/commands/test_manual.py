"""The manual page: that it says what the program takes, in roff that shows it as it is."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from lepton_cli.__main__ import run
from lepton_cli.ui.cli import app
from lepton_cli.ui.commands.manual import manual
from lepton_cli.version import __version__

MACROS = {"TH", "SH", "SS", "TP", "PP", "B"}


@pytest.fixture
def page() -> str:
    group = typer.main.get_command(app)
    return manual(typer.Context(group, info_name="lepton"), __version__)


def commands(group: Any) -> Iterator[Any]:
    for command in group.commands.values():
        yield command
        if getattr(command, "commands", None):
            yield from commands(command)


def as_read(page: str) -> str:
    for escape, text in (("-", "-"), ("(aq", "'"), ("(ga", "`"), ("(ti", "~"), ("(ha", "^")):
        page = page.replace(f"\\{escape}", text)
    return page.replace(r"\fB", "").replace(r"\fR", "").replace(r"\e", "\\")


def test_every_command_and_flag_is_in_the_manual(page: str) -> None:
    read = as_read(page)
    found = list(commands(typer.main.get_command(app)))
    assert len(found) > 15
    for command in found:
        assert re.search(rf"^\.SS lepton.* {command.name}\b", read, re.MULTILINE)
        for parameter in command.params:
            for flag in parameter.opts if parameter.param_type_name == "option" else ():
                assert re.search(rf"^(?!\.).*{re.escape(flag)}\b", read, re.MULTILINE), flag


def test_nothing_in_a_text_is_a_request_or_an_escape(page: str) -> None:
    for line in page.splitlines():
        assert not line.startswith(("'", " ")) and line
        if line.startswith("."):
            assert line[1:].split()[0] in MACROS
    escapes = set(re.findall(r"\\(\(..|f.|.)", page))
    assert escapes <= {"-", "e", "&", "fB", "fI", "fR", "(aq", "(ga", "(ti", "(ha"}
    assert r"\exHH" in page


def test_the_manual_is_installed_where_man_looks(
    tmp_path: Path,
    page: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    assert run(["--install-man"]) == 0
    path = tmp_path / "data" / "man" / "man1" / "lepton.1"
    assert path.read_text(encoding="utf-8") == page
    assert str(path) in capsys.readouterr().out
    assert run(["--install-man"]) == 0  # again, as after an update


def test_a_place_that_cannot_be_written_is_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "file"))
    assert run(["--install-man"]) == 2
    assert "cannot write" in capsys.readouterr().err
