"""`/copy`: what goes to the clipboard, and in which sequence."""

import base64
import io
import re
from collections.abc import Callable

import pytest
from fake_model import FakeModel

from lepton_cli.engine.decoding.generation import Generation
from lepton_cli.ui.repl.clipboard import MAX_BYTES, clipboard_sequence, code_blocks
from lepton_cli.ui.repl.dialogue import ChatOptions, Dialogue
from lepton_cli.ui.repl.slash_commands import run_command
from quant.errors import UsageError

ANSWER = """Look:

```python
print("caf\u00e9")
```

- and in a list

  ~~~sh
  ls
  ~~~
"""


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


Sit = Callable[[], Terminal]


@pytest.fixture
def sit(monkeypatch: pytest.MonkeyPatch) -> Sit:
    """Puts a terminal of colours in the place of stdout; between fixtures pytest puts its own."""
    for name in ("TMUX", "STY", "NO_COLOR", "COLORTERM"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm-256color")

    def at() -> Terminal:
        stream = Terminal()
        monkeypatch.setattr("sys.stdout", stream)
        return stream

    return at


def talked(answer: str) -> Dialogue:
    options = ChatOptions(Generation(), plain=True, history=False)
    talk = Dialogue(FakeModel(answers=[[answer]]), options, lambda name: FakeModel(), by_hand=True)
    talk.ask("a question")
    return talk


def copied(shown: str) -> str:
    (data,) = re.findall("\x1b]52;c;([^\x07]*)\x07", shown)
    return base64.b64decode(data).decode()


@pytest.mark.parametrize(
    ("line", "text"),
    [
        ("/copy", ANSWER),
        ("/copy code", "ls"),
        ("/copy 1", 'print("caf\u00e9")'),
        ("/copy 2", "ls"),
    ],
)
def test_the_answer_or_a_block_is_copied(sit: Sit, line: str, text: str) -> None:
    terminal = sit()
    talk = talked(ANSWER)
    run_command(talk, line)
    shown = terminal.getvalue()
    assert copied(shown) == text
    assert "was sent to the terminal's clipboard" in shown


@pytest.mark.parametrize(
    ("line", "answer", "named"),
    [
        ("/copy code", "no code", "has no code block"),
        ("/copy 3", ANSWER, "no block 3"),
        ("/copy 0", ANSWER, "no block 0"),
        ("/copy all", ANSWER, "cannot be copied"),
        ("/copy", "x" * (MAX_BYTES + 1), str(MAX_BYTES + 1)),
    ],
)
def test_what_cannot_be_copied_is_reported(sit: Sit, line: str, answer: str, named: str) -> None:
    terminal = sit()
    talk = talked(answer)
    with pytest.raises(UsageError, match=named):
        run_command(talk, line)
    assert "\x1b]52" not in terminal.getvalue()


def test_what_is_not_a_terminal_gets_no_sequence(sit: Sit, monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = sit()
    monkeypatch.setenv("TERM", "dumb")
    talk = talked(ANSWER)
    with pytest.raises(UsageError, match="no clipboard"):
        run_command(talk, "/copy")
    assert "\x1b" not in terminal.getvalue()


def test_multiplexers_pass_the_sequence_on() -> None:
    plain = clipboard_sequence("text", {})
    assert plain == "\x1b]52;c;dGV4dA==\x07"
    tmux = clipboard_sequence("text", {"TMUX": "/tmp/tmux"})
    assert tmux == plain + "\x1bPtmux;\x1b" + plain + "\x1b\\"
    screen = clipboard_sequence("x" * 1000, {"STY": "1.pts"})
    pieces = re.findall("\x1bP(.*?)\x1b\\\\", screen, re.DOTALL)
    assert "".join(pieces) == clipboard_sequence("x" * 1000, {})
    assert max(map(len, pieces)) <= 252


def test_blocks_are_those_with_fences() -> None:
    assert code_blocks("a\n\n    indented\n\n```\n\n```\n````md\n```\nx\n```\n````") == [
        "",
        "```\nx\n```",
    ]
    assert code_blocks("```py\nnever closed") == ["never closed"]


def below(sit: Sit, letters: int) -> str:
    """What is shown below an answer to so many letters, in a context of 1300 tokens."""
    terminal, options = sit(), ChatOptions(Generation(), history=False, theme="dark")
    model = FakeModel(context_size=1300)
    Dialogue(model, options, lambda name: FakeModel(), by_hand=True).ask("x" * letters)
    return terminal.getvalue().partition("Hello!")[2]


def test_a_context_that_fills_up_changes_the_colour_of_the_meter(sit: Sit) -> None:
    """By background and weight: Rich keeps how a process first rendered a style, in any depth."""
    quiet, warning, alarm = (
        below(sit, letters).split(" ")[0].strip() for letters in (10, 1060, 1200)
    )
    assert "36/1300" in quiet and "48;" not in quiet
    assert "1086/1300" in warning and "48;" in warning and not warning.startswith("\x1b[1;")
    assert "1226/1300" in alarm and "48;" in alarm and alarm.startswith("\x1b[1;")
