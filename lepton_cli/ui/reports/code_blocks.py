"""The fenced blocks of code in an answer, for `run --extract` and `/copy`."""

from dataclasses import replace
from typing import Literal

from lepton_cli.engine.events import Done, FinishReason
from quant.errors import ConstraintError

Which = Literal["first", "last"]
PROBE = "\n=end="  # a line that becomes code only where the last block was not closed


def code_blocks(markdown: str) -> list[str]:
    """Their contents, without their last newlines; a block that is never closed counts, too.

    A fence may stand at any column: models indent as they like, and mean no indented code by it.
    """
    from markdown_it import MarkdownIt  # 40 ms that answers without --extract need not wait for

    rules = MarkdownIt("commonmark", {"html": False}).disable(["code", "html_block", "reference"])
    tokens = rules.parse(markdown)
    return [token.content.removesuffix("\n") for token in tokens if token.type == "fence"]


def extracted(text: str, which: Which) -> str | None:
    """The first or the last block; None where the text has none."""
    blocks = code_blocks(text)
    if not blocks:
        return None
    return blocks[0] if which == "first" else blocks[-1]


def without_block(done: Done, text: str, which: Which) -> Done:
    """With what is missing as its `unmet`."""
    return replace(done, unmet=done.unmet or missing_block(done.reason, text, which))


def missing_block(reason: FinishReason, text: str, which: Which) -> ConstraintError | None:
    """Of an answer that ended so: that it has no such block, or was cut within it."""
    if reason == "interrupted":
        return None
    block = extracted(text, which)
    if block is None:
        return ConstraintError("the answer has no code block", "ask for one, or leave -x out")
    if reason != "stop" and extracted(text + PROBE, which) != block:
        cure = "raise -n" if reason == "length" else "raise -c"
        return ConstraintError("the answer was cut within its code block", cure)
    return None
