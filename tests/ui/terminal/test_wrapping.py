"""Rows that are as wide in every terminal, and words that stay whole."""

import io
import sys

import pytest
from fake_model import FakeModel
from rich.text import Text
from test_render import Clock, console, stream

from lepton_cli.engine.decoding.generation import Generation
from lepton_cli.engine.sampling.sampler import Sampling
from lepton_cli.ui.repl.dialogue import ChatOptions, Dialogue
from lepton_cli.ui.repl.slash_commands import run_command
from lepton_cli.ui.repl.values import VALUES
from lepton_cli.ui.reports.numbers import columns
from lepton_cli.ui.terminal.notes import complain
from lepton_cli.ui.terminal.render import MarkdownStream
from lepton_cli.ui.terminal.screen import Screen
from lepton_cli.ui.terminal.wrapping import cut, most_cells, wrap
from quant.errors import UsageError

FAMILY, FLAG, THUMB, HEART = "👨\u200d👩\u200d👧", "🇩🇪", "👍🏽", "❤\ufe0f"
CLUSTERS = [FAMILY, FLAG, THUMB, HEART, "e\u0301", "1\ufe0f\u20e3", "👩🏽\u200d💻", "日"]


def rows_of(text: str, width: int, *, fold: bool = True) -> list[str]:
    return [row.plain for row in wrap(Text(text), width, fold=fold)]


@pytest.mark.parametrize(
    ("text", "cells"), [(FAMILY, 6), (FLAG, 4), (THUMB, 4), (HEART, 2), ("e\u0301", 1), ("日", 2)]
)
def test_cells_are_counted_as_if_nothing_were_joined(text: str, cells: int) -> None:
    assert most_cells(text) == cells
    assert most_cells("ab" + text) == cells + 2


@pytest.mark.parametrize("cluster", CLUSTERS)
@pytest.mark.parametrize("width", [7, 8, 40])
def test_no_row_is_too_wide_and_no_character_is_torn(cluster: str, width: int) -> None:
    rows = rows_of(cluster * 50, width)
    assert "".join(rows) == cluster * 50
    for row in rows:
        assert row == cluster * row.count(cluster) and most_cells(row) <= width


@pytest.mark.parametrize("cluster", CLUSTERS)
@pytest.mark.parametrize("frame", ["{}", "- {}", "> {}", "| a | b |\n|---|---|\n| x | {} |"])
def test_rows_fit_a_terminal_that_joins_nothing(cluster: str, frame: str) -> None:
    made, file = console(40)
    view = MarkdownStream(Screen(made), clock=(clock := Clock()))
    for word in frame.replace("{}", f"{cluster * 3} and " * 9).split(" "):
        clock.step()
        view.feed(word + " ")
        plain = file.getvalue().replace("\x1b[J", "").split("\r")[-1]
        assert all(most_cells(_without_escapes(row)) < 40 for row in plain.split("\n"))
    view.close()


def _without_escapes(row: str) -> str:
    return Text.from_ansi(row).plain


def test_tabs_in_code_that_is_written_take_their_room() -> None:
    shown = stream("```make\n" + "\t" * 4 + "x" * 30 + "\n```\n", 1, width=60).shown
    assert shown == ["```make", "\t" * 4 + "x" * 28, "xx", "```", ""]


def test_words_stay_whole_where_rows_are_not_folded() -> None:
    path = "/a/long/path/that/is/to/be/copied"
    assert rows_of(f"saved as {path} today", 20, fold=False) == ["saved as", path, "today"]
    assert rows_of("one two three", 7, fold=False) == ["one two", "three"]
    assert rows_of("a\n\nb", 7) == ["a", "", "b"]


def test_cut_ends_in_an_ellipsis() -> None:
    assert cut("short", 5) == "short"
    assert cut("longer", 5) == "long…"
    assert cut("日本語", 5) == "日本…"
    assert most_cells(cut(FAMILY * 9, 10)) <= 10


def test_rows_of_columns_are_aligned_by_their_width_on_the_screen() -> None:
    assert columns([("日本", "a"), ("x", "b")]) == "日本  a\nx     b\n"


# --- what is said beside an answer --------------------------------------------------------------


class Narrow(io.StringIO):
    """A terminal of 40 columns."""

    def isatty(self) -> bool:
        return True


PATH = "/home/somebody/models/a-rather-long-name-of-a-file.gguf"


def test_errors_and_hints_break_at_words_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    narrow = Narrow()
    monkeypatch.setattr(sys, "stderr", narrow)
    monkeypatch.setattr("lepton_cli.ui.terminal.notes.width_of", lambda stream: 40)
    complain(UsageError(f"{PATH} is not there any more", "name another one, or leave it all alone"))
    assert narrow.getvalue().split("\n") == [
        "lepton: error:",
        PATH,
        "is not there any more",
        "lepton: hint: name another one, or leave",
        "it all alone",
        "",
    ]


@pytest.mark.parametrize(
    ("hint", "rows"),
    [
        ("type: lepton chat x", ["lepton: hint: type: lepton chat x"]),
        (
            "fetch it with: hf download Some/Model a.gguf",
            ["lepton: hint: fetch it with:", "hf download Some/Model a.gguf"],
        ),
        (
            "fetch it: .venv/bin/hf download Somebody/Model-GGUF --include '*Q4_K_M*.gguf'",
            [
                "lepton: hint: fetch it:",
                ".venv/bin/hf download \\",
                "Somebody/Model-GGUF --include \\",
                "'*Q4_K_M*.gguf'",
            ],
        ),
        (
            "for example: lepton run builtin 'what'\"'\"'s a; b that is long'; `lepton models` too",
            [
                "lepton: hint: for example:",
                "lepton run builtin 'what'\"'\"'s a; b",
                "that is long'",
                "`lepton models` too",
            ],
        ),
    ],
)
def test_a_command_of_a_hint_can_be_copied(
    monkeypatch: pytest.MonkeyPatch, hint: str, rows: list[str]
) -> None:
    narrow = Narrow()
    monkeypatch.setattr(sys, "stderr", narrow)
    monkeypatch.setattr("lepton_cli.ui.terminal.notes.width_of", lambda stream: 40)
    complain(UsageError("x", hint))
    assert narrow.getvalue().splitlines()[1:] == rows


def test_errors_and_hints_are_one_line_each_in_a_pipe(capsys: pytest.CaptureFixture[str]) -> None:
    complain(UsageError(f"{PATH} is not there", "say " + "word " * 40))
    assert len(capsys.readouterr().err.splitlines()) == 2


@pytest.mark.parametrize("width", [40, 80, 200])
def test_what_a_chat_says_keeps_its_words_whole(
    width: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    stream = Narrow()
    monkeypatch.setattr(sys, "stdout", stream)
    monkeypatch.setenv("COLUMNS", str(width))
    monkeypatch.setenv("TERM", "xterm")
    talk = Dialogue(FakeModel(), ChatOptions(Generation(), history=False), FakeModel, by_hand=True)
    words = [f"{'word' * (number % 7)}{number}" for number in range(40)]
    talk.say(" ".join([*words, PATH]))
    rows = stream.getvalue().splitlines()
    assert " ".join(rows).split() == [*words, PATH]
    assert all(len(row) <= width for row in rows if row != PATH)


@pytest.mark.parametrize("width", [40, 80])
def test_set_lists_a_value_a_row(width: int, monkeypatch: pytest.MonkeyPatch) -> None:
    stream = Narrow()
    monkeypatch.setattr(sys, "stdout", stream)
    monkeypatch.setenv("COLUMNS", str(width))
    monkeypatch.setenv("TERM", "dumb")
    talk = Dialogue(FakeModel(), ChatOptions(Generation(), history=False), FakeModel, by_hand=True)
    run_command(talk, "/set temp 0.3")
    stream.truncate(stream.seek(0))
    run_command(talk, "/set")
    rows = stream.getvalue().splitlines()
    assert [row.split()[0] for row in rows] == [value.name for value in VALUES]
    assert all(len(row) <= width for row in rows)
    assert rows[0].split() == ["temperature", "0.3", "(default", "0.8)"]
    if width == 80:
        assert f"samplers  {';'.join(Sampling().samplers)}" in rows
