"""The fenced code blocks of an answer, for `run --extract` and `/copy`."""

from dataclasses import replace
from typing import Literal

from lepton_cli.engine.events import Done, FinishReason
from quant.errors import ConstraintError

Which = Literal["first", "last"]
PROBE = "\n=end="  # parsed as code only if the last block is not closed


def code_blocks(markdown: str) -> list[str]:
    """The contents of all blocks without trailing newlines; an unclosed block counts, too.

    A fence may be at any column: models indent fences, and do not mean indented code.
    """
    from markdown_it import MarkdownIt  # takes 40 ms; only for --extract

    rules = MarkdownIt("commonmark", {"html": False}).disable(["code", "html_block", "reference"])
    tokens = rules.parse(markdown)
    return [token.content.removesuffix("\n") for token in tokens if token.type == "fence"]


def extracted(text: str, which: Which) -> str | None:
    """The first or last block; None if there is none."""
    blocks = code_blocks(text)
    if not blocks:
        return None
    return blocks[0] if which == "first" else blocks[-1]


def without_block(done: Done, text: str, which: Which) -> Done:
    """`done` with the error for a missing block as `unmet`."""
    return replace(done, unmet=done.unmet or missing_block(done.reason, text, which))


def missing_block(reason: FinishReason, text: str, which: Which) -> ConstraintError | None:
    """The error for an answer without the block, or cut off inside it; None if it has it."""
    if reason == "interrupted":
        return None
    block = extracted(text, which)
    if block is None:
        return ConstraintError("the answer has no code block", "ask for one, or remove -x")
    if reason != "stop" and extracted(text + PROBE, which) != block:
        cure = "raise -n" if reason == "length" else "raise -c"
        return ConstraintError("the answer was cut within its code block", cure)
    return None
