"""`/copy`: a text on the clipboard of the terminal, also over ssh, by the sequence OSC 52."""

import base64
import os
from collections.abc import Mapping

from lepton_cli.ui.repl.dialogue import Dialogue
from lepton_cli.ui.reports.code_blocks import code_blocks
from quant.errors import UsageError

MOST_BYTES = 74_994  # of a text: the longest that terminals agree on, 100 kB in base64
SCREEN_CHUNK = 252  # bytes that GNU screen passes on in one piece
SELF = "/save FILE.md writes the chat to a file"


def copy(dialogue: Dialogue, argument: str) -> None:
    """The last answer, its last block of code, or its Nth."""
    answer = dialogue.session.conversation.last_answer
    if answer is None:
        raise UsageError("there is no answer to copy", "ask something first")
    what, text = "the last answer", answer.message.content
    if argument:
        what, text = _block(text, argument)
    size = len(text.encode(errors="replace"))
    if size > MOST_BYTES:
        message = f"{what} has {size} bytes; terminals take {MOST_BYTES} for the clipboard"
        raise UsageError(message, SELF)
    if not dialogue.send_control(clipboard_sequence(text, os.environ)):
        raise UsageError("this terminal has no clipboard that a program can reach", SELF)
    lines = text.count("\n") + 1
    count = f"{lines} lines" if lines > 1 else f"{len(text)} characters"
    dialogue.note(f"{what} ({count}) was sent to the terminal's clipboard (OSC 52)")


def _block(answer: str, which: str) -> tuple[str, str]:
    """What is copied, in words, and its text."""
    blocks = code_blocks(answer)
    if which != "code" and not which.isdecimal():
        raise UsageError(f"{which!r} cannot be copied", "/copy, /copy code or /copy 2")
    if not blocks:
        raise UsageError("the last answer has no block of code", "/copy copies all of it")
    number = len(blocks) if which == "code" else int(which)
    if not 1 <= number <= len(blocks):
        raise UsageError(f"there is no block {number}", f"the answer has {len(blocks)}")
    return f"block {number} of {len(blocks)}", blocks[number - 1]


def clipboard_sequence(text: str, environ: Mapping[str, str]) -> str:
    """OSC 52, wrapped where a multiplexer stands between us and the terminal.

    tmux gets it twice: plain for `set-clipboard on`, wrapped for `allow-passthrough on`.
    """
    data = base64.b64encode(text.encode(errors="replace")).decode()
    sequence = f"\x1b]52;c;{data}\x07"
    if environ.get("TMUX"):
        return sequence + "\x1bPtmux;" + sequence.replace("\x1b", "\x1b\x1b") + "\x1b\\"
    if environ.get("STY"):
        starts = range(0, len(sequence), SCREEN_CHUNK)
        return "".join(f"\x1bP{sequence[at : at + SCREEN_CHUNK]}\x1b\\" for at in starts)
    return sequence
