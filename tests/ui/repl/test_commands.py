"""The slash commands, and what else a typed line can mean."""

import os
import re
import stat
from collections.abc import Callable
from pathlib import Path

import pytest
from fake_dialogue import contents, dialogue, talked
from fake_model import FakeModel

from lepton_cli.engine.events import Reasoning
from lepton_cli.ui.repl.slash_commands import COMMANDS, find_command, run_command
from quant.errors import ModelFileError, UsageError

Say = Callable[..., str]


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    for name in ("EDITOR", "VISUAL"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path / "state" / "lepton"


@pytest.fixture
def told(capsys: pytest.CaptureFixture[str]) -> Callable[[], str]:
    """What was said on the side since the last time, on one line."""
    return lambda: " ".join(capsys.readouterr().err.split())


# --- the table ----------------------------------------------------------------------------------


def test_the_commands_that_people_expect_are_there() -> None:
    expected = "help system set retry undo edit continue clear context stats template save load"
    for name in f"{expected} model exit quit bye ? read".split():
        assert find_command(name)


def test_names_and_aliases_are_unique() -> None:
    names = [name for command in COMMANDS for name in (command.name, *command.aliases)]
    assert len(names) == len(set(names))


def test_help_shows_every_command_of_the_table(told: Callable[[], str]) -> None:
    run_command(dialogue(), "/help")
    shown = told()
    for command in COMMANDS:
        assert f"/{command.name}" in shown and " ".join(command.help.split()) in shown


def test_help_fits_into_eighty_columns() -> None:
    width = max(len(f"/{c.name} {c.arguments}") for c in COMMANDS)
    for command in COMMANDS:
        also = len(f" (also {', '.join('/' + alias for alias in command.aliases)})")
        assert width + 2 + len(command.help) + (also if command.aliases else 0) <= 80


@pytest.mark.parametrize(
    ("line", "suggested"),
    [
        ("/retyr", "/retry"),
        ("/contxt", "/context"),
        ("/cont", "/continue"),
        ("/sav x", "/save"),
        ("/exprt", "/export"),
    ],
)
def test_unknown_command_suggests_the_nearest_and_leaves_the_next_line_empty(
    line: str, suggested: str
) -> None:
    talk = dialogue()
    with pytest.raises(UsageError) as caught:
        run_command(talk, line)
    assert suggested in str(caught.value.hint) and "//" in str(caught.value.hint)
    assert talk.draft.text == ""


# --- the conversation ---------------------------------------------------------------------------


def test_retry_undo_clear_and_system(told: Callable[[], str]) -> None:
    talk = talked(["one"], ["two"])
    run_command(talk, "/retry")
    assert contents(talk) == ["a question", "two"]
    run_command(talk, "/system be brief")
    assert contents(talk)[0] == "be brief"
    run_command(talk, "/undo")
    assert "taken back: a question" in told()
    run_command(talk, "/clear")
    run_command(talk, "/system none")
    assert contents(talk) == []


def test_continue_continues_with_the_answer() -> None:
    talk = talked(["one "], ["two"])
    run_command(talk, "/continue")
    assert contents(talk) == ["a question", "one two"]


WORDLESS = "retry continue back clear history context tokens stats template exit quit bye"


@pytest.mark.parametrize(
    "line",
    [f"/{name} now" for name in WORDLESS.split()]
    + ["/undo 1 2", "/edit 1 please", "/help me please", "/branch 1 2", "/copy code 2"]
    + ["/clear\tnow", "/clear\nnow"],
)
def test_commands_refuse_words_that_they_do_not_use(line: str) -> None:
    talk = talked()
    with pytest.raises(UsageError, match="takes") as caught:
        run_command(talk, line)
    assert "//" in str(caught.value.hint) and line[:4] in str(caught.value.hint)
    assert contents(talk) == ["a question", "Hello!"] and not talk.is_over


def test_undo_takes_back_as_many_as_asked(told: Callable[[], str]) -> None:
    talk = talked(["one"], ["two"], ["three"])
    talk.ask("b")
    talk.ask("c\nand more")
    told()
    run_command(talk, "/undo 2")
    assert told() == "taken back: b taken back: c"
    assert contents(talk) == ["a question", "one"]
    for wrong in ("/undo 2", "/undo 0", "/undo x", "/undo -1"):
        with pytest.raises(UsageError):
            run_command(talk, wrong)
    assert contents(talk) == ["a question", "one"]


def test_continue_says_where_the_answer_was_finished(told: Callable[[], str]) -> None:
    talk = talked(["one"], [])
    told()
    run_command(talk, "/continue")
    shown = told()
    assert "answer was complete" in shown and "added nothing" in shown
    assert contents(talk) == ["a question", "one"]


def test_continue_of_an_answer_that_was_cut_is_silent(told: Callable[[], str]) -> None:
    talk = dialogue(["one ", "more"], ["two"])
    run_command(talk, "/set n 1")
    talk.ask("a question")
    told()
    run_command(talk, "/continue")
    assert "ended by itself" not in told()


def test_history_shows_the_whole_chat_with_roles(capsys: pytest.CaptureFixture[str]) -> None:
    talk = talked(["one"], [Reasoning("hm"), "two"])
    run_command(talk, "/system be brief")
    talk.ask("b\nc")
    capsys.readouterr()
    run_command(talk, "/history")
    captured = capsys.readouterr()
    assert captured.err.split("\n")[:4] == ["system", "be brief", "", "user 1"]
    assert "user 2\nb\nc\n\nassistant 2\n[thinking]\nhm\n[answer]\n" in captured.err
    assert captured.out == "one\ntwo\n"


def test_retry_that_cannot_differ_says_so(told: Callable[[], str]) -> None:
    talk = talked()
    run_command(talk, "/set seed 7")
    run_command(talk, "/retry")
    assert "fixed seed" in told()


def test_edit_hands_the_question_to_the_next_prompt() -> None:
    talk = talked(["one"], ["two"])
    run_command(talk, "/edit")
    assert talk.draft.text == "a question"
    talk.ask("another question")
    assert contents(talk) == ["another question", "two"]
    assert talk.draft.text == "" and talk.draft.send is None


def test_edit_answer_continues_from_the_new_words() -> None:
    talk = talked(["no"], ["indeed"])
    run_command(talk, "/edit answer")
    assert talk.draft.text == "no"
    talk.ask("yes, ")
    assert contents(talk) == ["a question", "yes, indeed"]


def test_edit_opens_the_persons_editor(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    editor = tmp_path / "my editor"
    editor.write_text('#!/bin/sh\nsed s/question/reply/ "$1" > "$1.new" && mv "$1.new" "$1"\n')
    editor.chmod(0o755)
    monkeypatch.setenv("EDITOR", f"'{editor}'")
    talk = talked(["one"], ["two"])
    run_command(talk, "/edit")
    assert contents(talk) == ["a question", "one"]  # leaving the editor sends nothing
    assert talk.draft.text == "a reply"
    talk.ask(talk.draft.text)
    assert contents(talk) == ["a reply", "two"]


@pytest.mark.parametrize("editor", ["false", "/no/such/editor", "'"])
def test_editor_that_fails_changes_nothing(monkeypatch: pytest.MonkeyPatch, editor: str) -> None:
    monkeypatch.setenv("VISUAL", editor)
    talk = talked()
    with pytest.raises(UsageError, match="editor"):
        run_command(talk, "/edit")
    assert contents(talk) == ["a question", "Hello!"]


@pytest.mark.parametrize(
    "line", ["/retry", "/continue", "/undo", "/edit", "/edit answer", "/edit x", "/save", "/stats"]
)
def test_commands_without_a_conversation_are_clear_errors(line: str) -> None:
    with pytest.raises(UsageError):
        run_command(dialogue(), line)


def test_message_that_fails_is_handed_back(told: Callable[[], str]) -> None:
    talk = talked()
    before = talk.session.conversation
    talk.ask("x" * 5000)
    assert "4096" in told()
    assert talk.session.conversation is before
    assert talk.draft.text == "x" * 5000


def test_message_that_fails_is_handed_back_as_it_was_typed() -> None:
    talk = dialogue()
    talk.ask("/" + "x" * 5000)
    assert talk.draft.text.startswith("//x")


def test_memory_that_runs_out_loses_nothing(told: Callable[[], str]) -> None:
    talk = talked(["one"], ["two"])
    model: FakeModel = talk.session.model  # type: ignore[assignment]
    model.failure = MemoryError()
    model.answers = [[]]
    talk.ask("more")
    assert "error: not enough memory" in told()
    assert contents(talk) == ["a question", "one"] and talk.draft.text == "more"


def test_read_puts_a_file_in_front_of_the_next_message(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("from the file\n")
    talk = dialogue()
    run_command(talk, f"/read {tmp_path}/notes.txt")
    talk.ask("what is this?")
    assert contents(talk)[0] == "from the file\n\nwhat is this?"
    talk.ask("and now?")
    assert contents(talk)[2] == "and now?"


@pytest.mark.parametrize("name", ["missing.txt", "", "."])
def test_read_of_no_file_is_an_error(name: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError):
        run_command(dialogue(), f"/read {tmp_path / name}" if name else "/read")


# --- looking ------------------------------------------------------------------------------------


def test_template_marks_special_tokens_but_not_their_likeness(told: Callable[[], str]) -> None:
    talk = dialogue()
    talk.ask("hi <|im_end|> there")
    told()
    run_command(talk, "/template")
    shown = told()
    assert "chatml" in shown
    assert "⟦<|im_start|>⟧user hi <|im_end|> there⟦<|im_end|>⟧" in shown


def test_context_shows_tokens_of_each_message(told: Callable[[], str]) -> None:
    talk = talked()
    run_command(talk, "/system brief")
    told()
    run_command(talk, "/context")
    shown = told()
    assert re.search(r"system 5 .*user 10 .*assistant 6 .*template \d+ .*total \d+/4096", shown)


def test_stats_of_the_last_answer(told: Callable[[], str]) -> None:
    talk = talked()
    told()
    run_command(talk, "/stats")
    assert "answer 6 tokens in 0.50 s, 12.0 tokens/s" in told()


def test_model_switches_and_keeps_the_conversation(told: Callable[[], str]) -> None:
    talk = talked()
    first: FakeModel = talk.session.model  # type: ignore[assignment]
    with pytest.raises(ModelFileError):
        run_command(talk, "/model missing")
    assert talk.session.model is first and not first.closed
    run_command(talk, "/model other")
    assert first.closed and "Other" in told()
    talk.ask("who are you?")
    assert contents(talk) == ["a question", "Hello!", "who are you?", "I am the other."]


def test_a_chat_that_does_not_fit_the_new_model_says_so(
    told: Callable[[], str], tmp_path: Path
) -> None:
    talk = talked()
    smaller = FakeModel(name="Small", context_size=1000)
    talk._load_model = lambda name: smaller  # type: ignore[method-assign, assignment]
    told()
    run_command(talk, "/model small")
    assert re.search(r"holds 1000 tokens, not 4096; the chat takes \d+ of them", told())
    run_command(talk, f"/save {tmp_path}/kept.json")
    talk._load_model = lambda name: FakeModel(context_size=20)  # type: ignore[method-assign, assignment]
    run_command(talk, "/model smaller")
    assert re.search(r"holds 20 tokens, not 1000; the chat has \d+: /set overflow", told())
    run_command(talk, "/set overflow drop-old")
    run_command(talk, f"/load {tmp_path}/kept.json")
    assert "the oldest turns are dropped" in told()


def test_a_context_that_is_not_smaller_is_not_said_to_be(told: Callable[[], str]) -> None:
    talk = talked()
    told()
    talk._load_model = lambda name: FakeModel(context_size=20)  # type: ignore[method-assign, assignment]
    run_command(talk, "/model small")
    told()
    run_command(talk, "/model small")
    assert "holds 20 tokens; the chat has" in told()
    talk._load_model = lambda name: FakeModel(context_size=9999)  # type: ignore[method-assign, assignment]
    run_command(talk, "/model larger")
    assert "holds" not in told()


def test_nothing_said_steers_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    talk = dialogue(["\x1b[2Jok"])
    talk.session.model.name = "evil\x1b]0;x\x07"  # type: ignore[misc]
    talk.ask("\x1b[31mred")
    for line in ("/context", "/template", "/model", "/stats", "/undo", "/system a\x1bb", "/save x"):
        run_command(talk, line)
    captured = capsys.readouterr()
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f]", captured.err)


# --- files --------------------------------------------------------------------------------------


def test_chat_is_saved_and_loaded_by_name(state: Path, told: Callable[[], str]) -> None:
    talk = talked()
    run_command(talk, "/save holidays")
    path = state / "chats" / "holidays.json"
    assert str(path) in told()
    if os.name == "posix":
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    run_command(talk, "/clear")
    run_command(talk, "/load")
    assert "holidays" in told()
    run_command(talk, "/load holidays")
    assert contents(talk) == ["a question", "Hello!"]
    talk.ask("more")
    run_command(talk, "/save")  # the same file again
    other = dialogue()
    run_command(other, "/load holidays")
    assert len(contents(other)) == 4


def test_save_asks_before_it_replaces(tmp_path: Path) -> None:
    talk, path = talked(), tmp_path / "a file.md"
    path.write_text("precious")
    with pytest.raises(UsageError) as caught:
        run_command(talk, f"/save {path}")
    assert "-f" in str(caught.value.hint)
    run_command(talk, f"/save -f {path}")
    assert "a question" in path.read_text()


def test_load_of_nothing_keeps_the_conversation() -> None:
    talk = talked()
    with pytest.raises(UsageError):
        run_command(talk, "/load missing")
    assert contents(talk) == ["a question", "Hello!"]


def test_a_file_that_cannot_fit_is_refused_and_a_read_one_can_be_dropped(tmp_path: Path) -> None:
    talk = dialogue()
    file = tmp_path / "notes.txt"
    file.write_text("x" * 100_000)
    with pytest.raises(UsageError, match="context"):
        run_command(talk, f"/read {file}")
    file.write_text("short")
    for away in ("/read none", "/clear"):
        run_command(talk, f"/read {file}")
        assert len(talk.attachments) == 1
        run_command(talk, away)
        assert talk.attachments == []
