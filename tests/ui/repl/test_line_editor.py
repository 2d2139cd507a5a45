"""The line that is typed: what completes it, what it means, and its history."""

import os
from pathlib import Path

import pytest
from prompt_toolkit.completion import CompleteEvent
from prompt_toolkit.document import Document

from lepton_cli.ui.repl.line_editor import CommandCompleter, SavedHistory, is_unfinished, message_of
from lepton_cli.ui.repl.slash_commands import COMMANDS


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    return tmp_path / "state" / "lepton"


def completions(text: str) -> list[str]:
    return [c.text for c in CommandCompleter().get_completions(Document(text), CompleteEvent())]


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.name)
def test_every_command_is_completed(command: object) -> None:
    name = getattr(command, "name")  # noqa: B009
    assert f"/{name}" in completions(f"/{name[:2]}")


def test_arguments_and_files_are_completed(tmp_path: Path, state: Path) -> None:
    assert "temperature" in completions("/set temp")
    assert completions("/set overflow d") == ["overflow drop-old", "overflow default"]
    assert completions("/edit ") == ["answer"]
    assert "/retry" in completions("/help /re")
    (tmp_path / "notes.txt").touch()
    assert completions(f"/read {tmp_path}/no") == ["tes.txt"]
    (state / "chats").mkdir(parents=True)
    (state / "chats" / "holidays.json").touch()
    assert completions("/load hol") == completions("/sessions hol") == ["holidays"]
    (state / "sessions").mkdir(parents=True)
    (state / "sessions" / "a-story.jsonl").touch()
    assert completions("/load a-") == completions("/sessions a-") == ["a-story"]
    assert completions("/model built") == ["builtin"]


@pytest.mark.parametrize("text", ["hello", "//se", "say /se", "/se\n/se", ""])
def test_only_commands_are_completed(text: str) -> None:
    assert completions(text) == []


@pytest.mark.parametrize(
    ("typed", "unfinished"),
    [
        ("hello", False),
        ("hello\\", True),
        ('"""', True),
        ('"""first', True),
        ('"""first\nsecond"""', False),
        ('say """', False),
    ],
)
def test_enter_begins_a_new_line_only_where_more_is_to_come(typed: str, unfinished: bool) -> None:
    assert is_unfinished(typed) is unfinished


@pytest.mark.parametrize(
    ("typed", "sent"),
    [
        ("hello ", "hello"),
        ('"""\nfirst\n  second\n"""', "first\n  second"),
        ("  indented", "  indented"),
        ("half \ud83d", "half ?"),
        ("\ufeffpasted", "pasted"),
    ],
)
def test_marks_of_a_block_are_not_sent(typed: str, sent: str) -> None:
    assert message_of(typed) == sent


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="there is no full device here")
def test_a_history_that_cannot_be_kept_tells_why_and_continues() -> None:
    history = SavedHistory("/dev/full", str)
    history.append_string("hello")
    assert history.lost == "No space left on device"
    assert history.get_strings() == ["hello"]
