"""The chat in a terminal, as a person types it."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from folders import FOLDERS, ROOT, TESTS

if sys.platform == "win32":
    pytest.skip("Windows has no pseudo-terminals for pexpect", allow_module_level=True)

import pexpect
from rich.style import Style

from lepton_cli.ui.terminal.theme import STYLES

CHAT = [str(TESTS / "support" / "fake_chat.py")]
CTRL_C, CTRL_D, ALT_ENTER, UP = "\x03", "\x04", "\x1b\r", "\x1b[A"
CTRL_X_CTRL_E = "\x18\x05"
COUNT = [f"{i} " for i in range(200)]

ESCAPE = re.compile(r"\x1b(\[[\d;?]*[A-Za-z]|\][^\x07\x1b]*(\x07|\x1b\\)|[=>])")
WHITE = "\x1b]11;rgb:ffff/ffff/ffff\x1b\\"


class Chat(pexpect.spawn):  # type: ignore[type-arg]
    """What it shows is read without its escapes; `raw` has them. It tells where the cursor is.

    Of its background it says `background`, and `typed` comes before that.
    """

    raw = ""
    background = typed = ""
    _unread = ""

    def read_nonblocking(self, size: int = 1, timeout: float | None = -1) -> str:
        data: str = super().read_nonblocking(size, timeout)
        self.raw += data
        if "\x1b[6n" in data:
            self.send("\x1b[1;1R")
        if "\x1b]11;?" in data:
            self.send(f"{self.typed}{self.background}\x1b[?62;22c")
        whole, escape, rest = (self._unread + data).rpartition("\x1b")
        is_whole = not escape or ESCAPE.match(escape + rest) is not None
        self._unread = "" if is_whole else escape + rest
        return ESCAPE.sub("", whole + escape + rest if is_whole else whole).replace("\r", "")


Start = Callable[..., Chat]


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    return {
        **kept,
        "TERM": "xterm-256color",
        "PYTHONPATH": os.pathsep.join(map(str, [ROOT, *FOLDERS])),
        "PYTHONIOENCODING": "utf-8",
        "XDG_STATE_HOME": str(tmp_path / "state"),
    }


@pytest.fixture
def start(environ: dict[str, str]) -> Iterator[Start]:
    """Starts a chat with a model that gives these answers, and waits for its prompt."""
    children: list[Chat] = []

    def spawn(
        wait: bool = True,
        env: dict[str, str] | None = None,
        kind: type[Chat] = Chat,
        **settings: Any,
    ) -> Chat:
        child = kind(
            sys.executable,
            [*CHAT, json.dumps(settings)],
            env={**environ, **(env or {})},
            encoding="utf-8",
            timeout=30,  # a busy machine is no failure
            dimensions=(24, 80),
        )
        children.append(child)
        if wait:
            child.expect("> ")
        return child

    yield spawn
    for child in children:
        child.close(force=True)


def ended(child: Chat) -> int:
    child.expect(pexpect.EOF)
    child.close()
    assert isinstance(child.exitstatus, int)
    return child.exitstatus


def test_answer_is_rendered_with_a_meter_below(start: Start) -> None:
    chat = start(answers=[["It is **so** ", "[bold]", "\x1b[2J", "."]])
    chat.send("hello\r")
    chat.expect(r"\d+/4096 · [\d.]+ tokens/s")
    assert "It is so [bold]␛[2J." in chat.before
    assert "\x1b[1mso" in chat.raw
    chat.expect("/4096 · Fake 260K")  # the toolbar
    chat.send(CTRL_D)
    assert ended(chat) == 0


def test_ctrl_c_stops_the_answer_and_keeps_it(start: Start) -> None:
    chat = start(answers=[COUNT, ["and so on"]], pause=0.02)
    chat.send("count\r")
    chat.expect("7 8 9")
    chat.send(CTRL_C)
    chat.expect("interrupted; /continue continues it")
    chat.send("/context\r")
    chat.expect(r"assistant +\d+ .* 0 1 2 3")
    chat.send("/continue\r")
    chat.expect("and so on")
    chat.send("/exit\r")
    assert ended(chat) == 0


def test_ctrl_c_clears_the_line_then_hints_then_leaves(start: Start) -> None:
    chat = start()
    chat.send("some words")
    chat.expect("some words")
    chat.send(CTRL_C)
    chat.send("/stats\r")  # the words are gone, so this is a command
    chat.expect("there is no answer yet")
    chat.send(CTRL_C)
    chat.expect("press Ctrl-C again or Ctrl-D to exit")
    chat.expect("> ")
    chat.send(CTRL_C)
    assert ended(chat) == 130


def test_ctrl_d_leaves(start: Start) -> None:
    chat = start()
    chat.send(CTRL_D)
    assert ended(chat) == 0


def test_second_ctrl_c_ends_an_answer_that_does_not_stop(start: Start) -> None:
    chat = start(answers=[["never ", "comes"]], pause=30.0)
    chat.send("go\r")
    chat.expect("go")
    chat.expect("\n")
    chat.send(CTRL_C)
    chat.send(CTRL_C)
    assert ended(chat) == 130


def test_lines_are_joined_by_backslash_alt_enter_blocks_and_paste(start: Start) -> None:
    chat = start(answers=[["ok"]])
    chat.send("one\\\rtwo" + ALT_ENTER + "three\r")
    chat.expect("ok")
    chat.send('"""first\rsecond"""\r')
    chat.expect("ok")
    chat.send("\x1b[200~pasted\rlines\x1b[201~")
    chat.send("\r")
    chat.expect("ok")
    chat.send("/template\r")
    chat.expect("⟦<.im_start.>⟧assistant\n\n")
    shown = re.sub(r" *\n", "\n", chat.before)
    for message in ("one\ntwo\nthree", "first\nsecond", "pasted\nlines"):
        assert f"user\n{message}⟦" in shown


def test_history_comes_back_in_the_next_chat(start: Start, tmp_path: Path) -> None:
    chat = start(answers=[["ok"]])
    chat.send("first" + ALT_ENTER + "second\r")
    chat.expect("ok")
    chat.send("third\r")
    chat.expect("ok")
    chat.send(CTRL_D)
    ended(chat)
    kept = tmp_path / "state" / "lepton" / "history"
    assert kept.stat().st_mode & 0o777 == 0o600
    chat = start(answers=[["again"]])
    chat.send("\x12fir")  # Ctrl-R
    chat.expect("second")
    chat.send("\r\r")
    chat.expect("again")
    chat.expect("> ")
    chat.send(UP * 3)
    chat.expect("third")


def test_history_is_not_kept_when_it_is_off(start: Start, tmp_path: Path) -> None:
    chat = start(history=False)
    chat.send("secret\r")
    chat.expect("Hello!")
    chat.send(CTRL_D)
    ended(chat)
    assert not (tmp_path / "state").exists()


def test_tab_completes_commands(start: Start) -> None:
    chat = start()
    chat.send("/conte")
    chat.expect("how many tokens")  # the menu
    chat.send("\t\r")
    chat.expect("0/4096 tokens")


def test_unknown_command_can_be_sent_with_a_second_slash(start: Start) -> None:
    chat = start(answers=[["I see."]])
    chat.send("/etc/passwd?\r")
    chat.expect("there is no command")
    chat.expect("begin with //")
    chat.expect("> ")
    chat.send(UP)  # the history brings it back
    chat.expect(re.escape("/etc/passwd?"))
    chat.send("\x01/\r")  # Ctrl-A
    chat.expect("I see")
    chat.send("/template\r")
    chat.expect("user\n/etc/passwd[?]⟦")


def test_error_keeps_the_conversation_and_hands_the_words_back(start: Start) -> None:
    chat = start(context_size=100)
    chat.send("hi\r")
    chat.expect("Hello!")
    chat.expect("> ")
    chat.send("x" * 70 + "\r")
    chat.expect("error: .*100")
    chat.expect("> x{70}")
    chat.send(CTRL_C + "/context\r")
    chat.expect("assistant.*Hello!")


def test_a_refused_paste_comes_back_as_one_mark_below_the_reason(
    start: Start, tmp_path: Path
) -> None:
    (tmp_path / "editor").write_text(f'#!/bin/sh\ncp "$1" {tmp_path}/seen; echo short > "$1"\n')
    (tmp_path / "editor").chmod(0o755)
    chat = start(context_size=500, env={"EDITOR": str(tmp_path / "editor")}, answers=[["ok"]])
    pasted = "\r".join(f"line {number}" for number in range(300))
    chat.send(f"\x1b[200~{pasted}\x1b[201~")
    chat.send("\r")
    chat.expect("error: .*500")
    chat.expect(r"> \[300 lines\]")
    chat.send(CTRL_X_CTRL_E)
    chat.expect("> short")
    assert (tmp_path / "seen").read_text() == pasted.replace("\r", "\n")
    chat.send("\r")
    chat.expect("ok")
    chat.send(UP * 2)
    chat.expect("line 299")  # the history has the whole text


def test_leaving_the_editor_does_not_send(start: Start, tmp_path: Path) -> None:
    editor = tmp_path / "editor"
    editor.write_text('#!/bin/sh\necho "from the editor" > "$1"\n')
    editor.chmod(0o755)
    chat = start(env={"EDITOR": str(editor)}, answers=[["ok"]])
    chat.send("draft" + CTRL_X_CTRL_E)
    chat.expect("> from the editor")
    chat.send(", and more\r")
    chat.expect("ok")
    chat.send("/template\r")
    chat.expect("user\nfrom the editor, and more⟦")


def test_typing_ahead_does_not_show_inside_the_answer(start: Start) -> None:
    chat = start(answers=[COUNT[:40], ["second answer"]], pause=0.02)
    chat.send("count\r")
    chat.expect("3 4 5")
    chat.send("ahead\r")
    chat.expect("tokens/s")
    assert "ahead" not in chat.before
    chat.expect("> ahead")
    chat.expect("second answer")


def test_typing_ahead_survives_the_ctrl_c_that_stops_an_answer(start: Start) -> None:
    chat = start(answers=[COUNT, ["second answer"]], pause=0.02)
    chat.send("count\r")
    chat.expect("3 4 5")
    chat.send("half a li")
    chat.send(CTRL_C)
    chat.expect("interrupted; /continue continues it")
    chat.expect("> half a li")
    chat.send("ne\r")
    chat.expect("second answer")
    chat.send("/template\r")
    chat.expect("user\nhalf a line⟦")


def test_typing_ahead_is_not_glued_to_the_words_that_come_back(start: Start) -> None:
    chat = start(answers=[["late"]], pause=1.0)
    chat.send("question\r")
    chat.expect("question")
    chat.expect("\n")
    chat.send("ahead")
    chat.send(CTRL_C)
    chat.expect("interrupted before the answer began")
    chat.expect("> question")
    chat.expect(r"\. ahead")  # on a line of its own


def test_plain_chat_sends_no_escapes_inside_an_answer(start: Start) -> None:
    chat = start(plain=True, answers=[[["I think. "], "**bold**", " and `code`"]])
    chat.send("hi\r")
    chat.expect("tokens/s")
    _, _, answer = chat.raw.rpartition("[thinking]")
    assert answer.split("\r\n")[1:4] == ["I think. ", "[answer]", "**bold** and `code`"]
    answer = answer.partition("tokens/s")[0]
    assert "\x1b" not in answer


def test_dumb_terminal_is_plain(start: Start) -> None:
    chat = start(env={"TERM": "dumb"}, answers=[["**bold**"]])
    chat.send("hi\r")
    chat.expect(r"\*\*bold\*\*\n")
    chat.send(CTRL_D)
    assert ended(chat) == 0


def test_no_color_is_honoured(start: Start) -> None:
    chat = start(env={"NO_COLOR": "1"}, answers=[["```python\nx = 1 # one\n```\n"]])
    chat.send("hi\r")
    chat.expect("tokens/s")
    colours = re.findall(r"\x1b\[([\d;]*)m", chat.raw)
    assert not [
        code for code in ";".join(colours).split(";") if code[:1] in "3491" and len(code) > 1
    ]


class LightChat(Chat):
    background, typed = WHITE, "hello\r"


@pytest.mark.parametrize(
    ("kind", "env", "theme"),
    [
        (LightChat, {}, "light"),
        (Chat, {}, "none"),
        (LightChat, {"NO_COLOR": "1"}, "none"),
        (LightChat, {"TERM": "xterm", "COLORTERM": ""}, "none"),  # few colours, of any palette
    ],
)
def test_theme_is_that_of_the_terminals_background(
    start: Start, kind: type[Chat], env: dict[str, str], theme: str
) -> None:
    chat = start(kind=kind, env={"COLORTERM": "truecolor", **env}, answers=[["`code`"]])
    if kind is not LightChat or env:
        chat.send("hello\r")
    chat.expect("> hello")  # also what was typed while the terminal was asked
    chat.expect("tokens/s")
    assert written("mark", theme) + "code" in chat.raw and "rgb" not in chat.raw
    chat.send("/set theme dark\r/retry\r")
    chat.expect("tokens/s")
    chosen = theme if env.get("NO_COLOR") or env.get("TERM") else "dark"
    assert written("mark", chosen) + "code" in chat.raw.rpartition("theme = dark")[2]


def written(style: str, theme: str) -> str:
    return Style.parse(STYLES[theme][style]).render("|").partition("|")[0]


def test_first_message_and_single_turn(start: Start) -> None:
    chat = start(wait=False, prompt="hi", single_turn=True)
    chat.expect("> hi")
    chat.expect("Hello!")
    assert ended(chat) == 0


def test_saved_chat_is_continued(start: Start, tmp_path: Path) -> None:
    chat = start()
    chat.send(f"hi\r/save {tmp_path}/kept.json\r")
    chat.expect("saved as")
    chat.send(CTRL_D)
    ended(chat)
    chat = start(resume=str(tmp_path / "kept.json"))
    chat.send("/context\r")
    chat.expect("user +2.*assistant +6")


def test_locale_without_the_characters_shows_question_marks(start: Start) -> None:
    chat = start(env={"PYTHONIOENCODING": "ascii"}, answers=[["caf\u00e9 \u65e5"]])
    chat.send("hi\r")
    chat.expect(r"caf\? \?")
    chat.expect("tokens/s")


# --- pipes --------------------------------------------------------------------------------------


def piped(environ: dict[str, str], stdin: bytes, **settings: Any) -> Any:
    command = [sys.executable, *CHAT, json.dumps(settings)]
    return subprocess.run(command, input=stdin, capture_output=True, env=environ, timeout=60)


def test_lines_of_a_pipe_are_turns_and_only_answers_are_on_stdout(environ: dict[str, str]) -> None:
    answers = [[["thinking"], "**one**"], ["two\n"], ["three\x1b[1m"]]
    result = piped(environ, b"a\n\n/exit\n//c", answers=answers)
    assert result.stdout == b"**one**\ntwo\n\nthree\x1b[1m\n"
    assert b"thinking" in result.stderr and b"\x1b" not in result.stderr
    assert result.returncode == 0


def test_first_message_comes_before_the_lines(environ: dict[str, str]) -> None:
    result = piped(environ, b"b\n", prompt="a", answers=[["one"], ["two"]])
    assert result.stdout == b"one\ntwo\n"


def test_single_turn_answers_one_line(environ: dict[str, str]) -> None:
    assert piped(environ, b"a\nb\n", single_turn=True).stdout == b"Hello!\n"


def test_reason_of_an_early_end_is_reported_on_stderr(environ: dict[str, str]) -> None:
    result = piped(environ, b"count\n", answers=[COUNT], max_tokens=3)
    assert result.stdout == b"0 1 2 \n"
    assert b"token limit" in result.stderr


def test_line_that_is_not_text_is_an_error(environ: dict[str, str]) -> None:
    result = piped(environ, b"a\n\xff\n")
    assert result.stdout == b"Hello!\n"
    assert result.returncode == 2 and b"line 2 of stdin is not UTF-8" in result.stderr
