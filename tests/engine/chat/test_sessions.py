"""`lepton sessions`, and the names that it, --resume, --load and /load have in common."""

import io
import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from fake_model import FakeModel

from lepton_cli.__main__ import run
from lepton_cli.engine.chat.autosave import Autosave
from lepton_cli.engine.chat.chats import find_chat, saved_first, sessions_first
from lepton_cli.engine.chat.saved import read_chat
from lepton_cli.engine.chat.session import Session
from lepton_cli.engine.decoding.generation import Generation
from lepton_cli.ui.repl.dialogue import ChatOptions, Dialogue
from lepton_cli.ui.repl.slash_commands import run_command
from quant.errors import ModelFileError, UsageError


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.chdir(tmp_path)
    return tmp_path / "state" / "lepton"


@pytest.fixture
def out(capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """What `lepton sessions ...` prints; its exit code must be 0."""

    def printed(*words: str) -> str:
        capsys.readouterr()
        assert run(["sessions", *words]) == 0
        return capsys.readouterr().out

    return printed


def told(capsys: pytest.CaptureFixture[str], *words: str, code: int) -> str:
    capsys.readouterr()
    assert run(["sessions", *words]) == code
    return " ".join(capsys.readouterr().err.split())


def keep(state: Path, question: str, answer: str, changed: float = 1e9) -> Path:
    session = Session(FakeModel([[answer]]), Generation())
    session.autosave = Autosave(state / "sessions")
    list(session.send(question))
    path = session.autosave.path
    assert path is not None
    os.utime(path, (changed, changed))
    return path


def save(path: Path, question: str, answer: str) -> Path:
    session = Session(FakeModel([[answer]]), Generation())
    list(session.send(question))
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    session.save(path)
    os.utime(path, (1e9, 1e9))
    return path


@pytest.fixture
def three(state: Path) -> None:
    keep(state, "Red wine?\nWith fish.", "It is Fine", changed=1e9 + 60)
    keep(state, "Red whales?", "None are")
    save(state / "chats" / "holidays.json", "Where to?", "To the sea, where red wine is")


# --- listing and searching


def test_chats_of_both_kinds_are_listed_the_latest_first(
    three: None, out: Callable[..., str]
) -> None:
    assert out() == out("list")
    head, *rows = out().splitlines()
    assert head.split() == ["name", "date", "model", "words"]
    assert rows[0].split() == [
        *("red-wine-with-fish", *rows[0].split()[1:3]),
        *("Fake", "260K", "Red", "wine?"),
    ]
    assert {row.split()[0] for row in rows[1:]} == {"red-whales", "holidays"}


def test_a_terminal_s_row_shows_first_words_beside_long_names(
    state: Path, out: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    keep(state, "Why do whales that live in the sea sing so loud?", "To be heard")
    whole = out()
    monkeypatch.setattr("lepton_cli.ui.commands.sessions.width_of", lambda stream: 80)
    head, row = out().splitlines()
    assert head.split() == ["name", "date", "model", "words"]
    assert len(row) <= 80 and row.startswith("why-do-whales-that-live")
    assert "  Fake 260K  Why do whales" in row and "so loud?" in whole


def test_the_list_is_json_for_programs(three: None, out: Callable[..., str], state: Path) -> None:
    listed = json.loads(out("--json"))
    assert listed["schema"] == "lepton.sessions.v1"
    assert listed["sessions"][0] == {
        "name": "red-wine-with-fish",
        "path": str(state / "sessions" / "red-wine-with-fish.jsonl"),
        "time": int(1e9 + 60),
        "model": "Fake 260K",
        "messages": 2,
        "words": "Red wine?",
    }
    assert json.loads(out("list", "--json")) == listed


def test_a_search_finds_what_anybody_said(three: None, out: Callable[..., str]) -> None:
    assert "red-wine-with-fish" in out("search", "fine")
    rows = out("search", "RED", "wine").splitlines()[1:]
    assert {row.split()[0] for row in rows} == {"red-wine-with-fish", "holidays"}
    assert "To the sea, where red wine is" in out("search", "sea")
    assert out("search", "wine", "sea").splitlines()[1].endswith("  …ere red wine is")
    assert len(json.loads(out("search", "red", "--json"))["sessions"]) == 3


def test_a_search_finds_what_was_taken_back(state: Path, out: Callable[..., str]) -> None:
    session = Session(FakeModel([["first try"], ["second"]]), Generation())
    session.autosave = Autosave(state / "sessions")
    list(session.send("a"))
    list(session.retry())
    assert "first try" in out("search", "try")


def test_a_search_without_finds_says_so(three: None, capsys: pytest.CaptureFixture[str]) -> None:
    assert "no chat contains red and elephants" in told(
        capsys, "search", "red", "elephants", code=1
    )


def test_what_is_not_a_chat_is_reported_and_is_skipped(
    three: None, state: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (state / "sessions" / "odd.jsonl").write_text("nonsense")
    assert "odd.jsonl" in told(capsys, code=0)


def test_where_nothing_is_kept_that_is_reported(capsys: pytest.CaptureFixture[str]) -> None:
    assert "no chat is saved yet" in told(capsys, code=0)
    assert "no chat is saved yet" in told(capsys, "show", "x", code=2)


def test_an_option_in_the_wrong_place_is_not_ignored(capsys: pytest.CaptureFixture[str]) -> None:
    assert "lepton sessions search --json" in told(capsys, "--json", "search", "x", code=2)


# --- one chat


def test_a_chat_is_shown_and_exported(
    three: None, out: Callable[..., str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shown = out("show", "red-wi")
    assert shown == "## User\n\nRed wine?\nWith fish.\n\n## Assistant\n\nIt is Fine\n"
    assert out("export", "red-wi") == out("export", "red-wi", "-") == shown
    assert "red-wine-with-fish is in" in told(capsys, "export", "red-wi", "x.md", code=0)
    assert (tmp_path / "x.md").read_text() == shown
    assert "exists already" in told(capsys, "export", "red-wh", "x.md", code=2)
    assert (tmp_path / "x.md").read_text() == shown
    run(["sessions", "export", "-f", "red-wh", "x.md"])
    assert "None are" in (tmp_path / "x.md").read_text()
    assert ".pdf" in told(capsys, "export", "red-wh", "x.pdf", code=2)
    out("export", "holidays", "y.json")
    assert len(read_chat(tmp_path / "y.json").conversation.turns) == 2
    assert out("show", "y.json", "--json") == (tmp_path / "y.json").read_text()


def test_deleting_needs_a_yes_and_the_whole_name(
    three: None, state: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = state / "sessions" / "red-whales.jsonl"
    assert "--yes" in told(capsys, "rm", "red-whales", code=2)
    assert "type its whole name" in told(capsys, "rm", "--yes", "red-wh", code=2)
    assert "no chat is called" in told(capsys, "rm", "--yes", "red-whales", "nothing", code=2)
    assert path.exists()
    monkeypatch.setattr("lepton_cli.ui.commands.sessions.can_ask", lambda: True)
    for answer in ("n\n", "\n", ""):
        monkeypatch.setattr("sys.stdin", io.StringIO(answer))
        assert "delete" in told(capsys, "rm", "red-whales", code=0)
        assert path.exists()
    monkeypatch.setattr("sys.stdin", io.StringIO("y\n"))
    told(capsys, "rm", "red-whales", code=0)
    assert not path.exists()
    told(capsys, "rm", "-y", "holidays", "red-wine-with-fish", code=0)
    assert "no chat is saved yet" in told(capsys, code=0)


# --- names


def dialogue() -> Dialogue:
    def load_model(name: str) -> FakeModel:
        raise ModelFileError(f"no model {name}")

    options = ChatOptions(Generation(), plain=True)
    return Dialogue(FakeModel(), options, load_model, by_hand=True)


@pytest.mark.parametrize("command", ["/load", "/sessions"])
@pytest.mark.parametrize(
    ("name", "answer"),
    [
        ("red-wine-with-fish", "It is Fine"),
        ("red-wh", "None are"),
        ("holidays", "To the sea, where red wine is"),
        ("hol", "To the sea, where red wine is"),
        ("file.json", "in a file"),
        ("state/lepton/sessions/red-whales.jsonl", "None are"),
    ],
)
def test_every_chat_is_continued_by_every_name(
    three: None, tmp_path: Path, command: str, name: str, answer: str
) -> None:
    save(tmp_path / "file.json", "where?", "in a file")
    talk = dialogue()
    run_command(talk, f"{command} {name}")
    assert talk.session.messages[-1].content == answer


@pytest.mark.parametrize("flag", ["--resume", "--load"])
@pytest.mark.parametrize("name", ["red-whales", "red-wh", "holidays", "hol"])
def test_flags_know_the_names_of_the_commands(
    three: None,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    flag: str,
    name: str,
) -> None:
    (tmp_path / "fake.gguf").touch()
    started: list[ChatOptions] = []

    def chat(model: object, options: ChatOptions, load: object) -> int:
        started.append(options)
        return 0

    monkeypatch.setattr("lepton_cli.engine.model.open_model", lambda *_: FakeModel())
    monkeypatch.setattr("lepton_cli.ui.repl.repl.chat", chat)
    assert run(["chat", "fake.gguf", flag, name]) == 0
    assert started[0].resume == find_chat(name, sessions_first())


def test_of_two_chats_with_one_name_each_flag_means_its_own(state: Path) -> None:
    kept, saved = keep(state, "twice", "one"), state / "chats" / "twice.json"
    save(saved, "twice", "two")
    assert find_chat("twice", sessions_first()) == kept
    assert find_chat("twice", saved_first()) == saved


def test_a_name_that_begins_several_chats_is_none(three: None) -> None:
    with pytest.raises(UsageError, match="no chat is called 'red'") as caught:
        find_chat("red", sessions_first())
    assert "red-wine-with-fish or red-whales" in str(caught.value.hint)


def test_a_file_that_does_not_exist_is_reported_by_its_path() -> None:
    with pytest.raises(UsageError, match=r"away/x.json: no such file"):
        find_chat("away/x.json", saved_first())


# --- completion


def completed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], line: str
) -> list[str]:
    """What bash is told to complete the line with."""
    monkeypatch.setenv("_LEPTON_COMPLETE", "complete_bash")
    monkeypatch.setenv("COMP_WORDS", line)
    monkeypatch.setenv("COMP_CWORD", str(line.count(" ")))
    capsys.readouterr()
    with pytest.raises(SystemExit):
        run([])
    return capsys.readouterr().out.split()


@pytest.mark.parametrize(
    ("line", "names"),
    [
        ("lepton sessions show red", ["red-wine-with-fish", "red-whales"]),
        ("lepton sessions rm hol", ["holidays"]),
        ("lepton chat --resume hol", ["holidays"]),
        ("lepton chat --load red-wh", ["red-whales"]),
        ("lepton run builti", ["builtin"]),
        ("lepton run -m builti", ["builtin"]),
        ("lepton bench builti", ["builtin"]),
        ("lepton run no-such-model", []),
    ],
)
def test_shells_complete_models_and_chats(
    three: None,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    line: str,
    names: list[str],
) -> None:
    assert completed(monkeypatch, capsys, line) == names


def test_completion_without_a_home_is_quiet(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def homeless() -> Path:
        raise UsageError("there is no home folder")

    monkeypatch.setattr("lepton_cli.engine.chat.chats.state_folder", homeless)
    assert completed(monkeypatch, capsys, "lepton chat --load x") == []
