"""`/copy`: copies text to the terminal's clipboard with OSC 52, which also works over ssh."""

import base64
import os
from collections.abc import Mapping

from lepton_cli.ui.repl.dialogue import Dialogue
from lepton_cli.ui.reports.code_blocks import code_blocks
from quant.errors import UsageError

MAX_BYTES = 74_994  # of a text: the limit of common terminals, 100 kB in base64
SCREEN_CHUNK = 252  # bytes that GNU screen forwards in one piece
SAVE_HINT = "/save FILE.md writes the chat to a file"


def copy(dialogue: Dialogue, argument: str) -> None:
    """Copies the last answer, its last code block, or its Nth."""
    answer = dialogue.session.conversation.last_answer
    if answer is None:
        raise UsageError("there is no answer to copy", "ask something first")
    what, text = "the last answer", answer.message.content
    if argument:
        what, text = _block(text, argument)
    size = len(text.encode(errors="replace"))
    if size > MAX_BYTES:
        message = f"{what} has {size} bytes; terminals take {MAX_BYTES} for the clipboard"
        raise UsageError(message, SAVE_HINT)
    if not dialogue.send_control(clipboard_sequence(text, os.environ)):
        raise UsageError("this terminal has no clipboard access for programs", SAVE_HINT)
    lines = text.count("\n") + 1
    count = f"{lines} lines" if lines > 1 else f"{len(text)} characters"
    dialogue.note(f"{what} ({count}) was sent to the terminal's clipboard (OSC 52)")


def _block(answer: str, which: str) -> tuple[str, str]:
    """A description of what is copied, and its text."""
    blocks = code_blocks(answer)
    if which != "code" and not which.isdecimal():
        raise UsageError(f"{which!r} cannot be copied", "/copy, /copy code or /copy 2")
    if not blocks:
        raise UsageError("the last answer has no code block", "/copy copies all of it")
    number = len(blocks) if which == "code" else int(which)
    if not 1 <= number <= len(blocks):
        raise UsageError(f"there is no block {number}", f"the answer has {len(blocks)}")
    return f"block {number} of {len(blocks)}", blocks[number - 1]


def clipboard_sequence(text: str, environ: Mapping[str, str]) -> str:
    """The OSC 52 sequence, wrapped for a terminal multiplexer if there is one.

    tmux gets it twice: plain for `set-clipboard on`, and wrapped for `allow-passthrough on`.
    """
    data = base64.b64encode(text.encode(errors="replace")).decode()
    sequence = f"\x1b]52;c;{data}\x07"
    if environ.get("TMUX"):
        return sequence + "\x1bPtmux;" + sequence.replace("\x1b", "\x1b\x1b") + "\x1b\\"
    if environ.get("STY"):
        starts = range(0, len(sequence), SCREEN_CHUNK)
        return "".join(f"\x1bP{sequence[at : at + SCREEN_CHUNK]}\x1b\\" for at in starts)
    return sequence
