"""The terminal is left as it was found, wherever a chat is ended."""

import os
import signal
import sys
import termios
from collections.abc import Callable
from pathlib import Path

import pytest

if sys.platform == "win32":
    pytest.skip("terminals of POSIX", allow_module_level=True)

import test_repl_terminal
from test_repl_terminal import CTRL_C, CTRL_X_CTRL_E, Chat, Start

from lepton_cli.ui.terminal.terminal import PLAIN

environ, start = test_repl_terminal.environ, test_repl_terminal.start

COUNT = [f"{i} " for i in range(500)]


def modes(child: Chat) -> list[object]:
    return termios.tcgetattr(child.child_fd)[:4]


def untouched() -> list[object]:
    """The modes of a new terminal."""
    ours, theirs = os.openpty()
    try:
        return termios.tcgetattr(theirs)[:4]
    finally:
        os.close(ours)
        os.close(theirs)


def at_the_prompt(start: Start, folder: Path) -> Chat:
    return start()


def in_an_answer(start: Start, folder: Path) -> Chat:
    chat = start(answers=[COUNT], pause=0.02)
    chat.send("count\r")
    chat.expect("3 4 5")
    return chat


def in_a_slow_answer(start: Start, folder: Path) -> Chat:
    chat = start(answers=[["never ", "comes"]], pause=30.0)
    chat.send("go\r")
    chat.expect("go")
    chat.expect("\n")
    return chat


def in_the_editor(start: Start, folder: Path) -> Chat:
    """One that makes the keys raw, as editors do."""
    (folder / "editor").write_text("#!/bin/sh\nstty raw -echo\necho edits\nexec sleep 60\n")
    (folder / "editor").chmod(0o755)
    chat = start(env={"EDITOR": str(folder / "editor")})
    chat.send("draft" + CTRL_X_CTRL_E)
    chat.expect("edits")
    return chat


def resumed(start: Start, folder: Path) -> Chat:
    first = start()
    first.send(f"hi\r/save {folder}/kept.json\r")
    first.expect("saved as")
    first.close(force=True)
    chat = start(resume=str(folder / "kept.json"))
    chat.send("typed")
    chat.expect("typed")
    return chat


STAGES = [at_the_prompt, in_an_answer, in_the_editor, resumed]


@pytest.mark.parametrize(
    ("number", "stage"),
    [*((signal.SIGTERM, stage) for stage in STAGES), (signal.SIGHUP, at_the_prompt)],
)
def test_a_signal_ends_a_chat_with_the_modes_of_before(
    start: Start,
    tmp_path: Path,
    stage: Callable[[Start, Path], Chat],
    number: signal.Signals,
) -> None:
    chat = stage(start, tmp_path)
    assert modes(chat) != untouched()
    chat.kill(number)
    assert chat.wait() == 128 + number
    assert modes(chat) == untouched()
    os.set_blocking(chat.child_fd, False)
    assert os.read(chat.child_fd, 1 << 16).endswith(PLAIN.replace(b"\n", b"\r\n"))


@pytest.mark.parametrize(
    ("stage", "told"), [(at_the_prompt, "Ctrl-C again"), (in_a_slow_answer, "")]
)
def test_ctrl_c_twice_leaves_the_modes_of_before(
    start: Start, tmp_path: Path, stage: Callable[[Start, Path], Chat], told: str
) -> None:
    chat = stage(start, tmp_path)
    chat.send(CTRL_C)
    chat.expect(told)
    chat.send(CTRL_C)
    assert chat.wait() == 130
    assert modes(chat) == untouched()
