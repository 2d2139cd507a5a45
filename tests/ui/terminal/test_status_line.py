"""The status line: redrawn on a terminal, erased whatever happens, nothing elsewhere."""

import io

import pytest

from lepton_cli.ui.terminal.status_line import ERASE_LINE, StatusLine


@pytest.fixture
def terminal(monkeypatch) -> None:
    monkeypatch.setattr("lepton_cli.ui.terminal.status_line.redraws", lambda stream: True)
    monkeypatch.setattr("lepton_cli.ui.terminal.status_line.width_of", lambda stream: 20)


def test_a_line_takes_the_place_of_the_last_and_fits_into_a_row(terminal, capsys):
    with StatusLine() as line:
        line("one\x1b[2J")
        line("a name of a file that is longer than the row")
    _, one, name, end = capsys.readouterr().err.split(ERASE_LINE)
    assert one == "one␛[2J" and name.startswith("a name of") and len(name) <= 17
    assert end == ""


def test_an_error_begins_on_an_empty_row(terminal, capsys):
    with pytest.raises(ValueError), StatusLine() as line:
        line("working")
        raise ValueError
    assert capsys.readouterr().err == f"{ERASE_LINE}working{ERASE_LINE}"


def test_what_was_never_drawn_is_not_erased(terminal, capsys):
    with StatusLine() as line:
        line.clear()
    assert capsys.readouterr().err == ""


class Stream(io.StringIO):
    def __init__(self, is_terminal: bool) -> None:
        super().__init__()
        self.isatty = lambda: is_terminal


@pytest.mark.parametrize(
    ("term", "is_terminal", "draws"),
    [("xterm", True, True), ("dumb", True, False), ("xterm", False, False)],
)
def test_it_is_drawn_where_it_can_be_redrawn(monkeypatch, term, is_terminal, draws):
    stream = Stream(is_terminal)
    monkeypatch.setattr("sys.stderr", stream)
    monkeypatch.setenv("TERM", term)
    monkeypatch.setattr("lepton_cli.ui.terminal.status_line.width_of", lambda stream: 20)
    with StatusLine() as line:
        line("working")
    assert (stream.getvalue() != "") == draws


def test_a_closed_stderr_gets_nothing(monkeypatch):
    monkeypatch.setattr("sys.stderr", None)
    with StatusLine() as line:
        line("working")
    assert not line.draws
