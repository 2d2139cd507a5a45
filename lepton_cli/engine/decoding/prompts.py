"""Prompts of a model with an encoder: it reads them at once, then a start token begins the answer.

In a sequence of the engine the start token and the answer follow the prompt.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from lepton_cli.engine.decoding.generation import Overflow
from quant.errors import UsageError


@dataclass(frozen=True, slots=True)
class Prompts:
    """`start` is the token that begins answers; None: the model has no encoder."""

    start: int | None = None

    def opened(self, ids: Sequence[int]) -> list[int]:
        """The prompt with the start token behind it, and what of the answer may follow it."""
        return [*ids, *([] if self.start is None or self.start in ids else [self.start])]

    def encoded(self, ids: Sequence[int]) -> int:
        """How many tokens of a sequence the encoder reads, all in one pass."""
        return 0 if self.start is None else list(ids).index(self.start)

    def continued(self, prompt: Sequence[int]) -> Sequence[int]:
        """What the answer continues: the prompt, or what follows that of an encoder."""
        return prompt[self.encoded(prompt) :]

    def begins_text(self, prompt: Sequence[int]) -> bool:
        """Whether the answer continues no text, so that its first word has no space before it."""
        return self.start is not None and prompt[-1] == self.start

    def check(self, ids: Sequence[int]) -> None:
        """Raises UsageError for a prompt without anything for the encoder."""
        if ids[0] == self.start:
            message = f"the prompt is empty: it begins with the start token {self.start}"
            raise UsageError(message, "give the text that the encoder reads before it")

    def check_overflow(self, overflow: Overflow) -> None:
        """Raises UsageError where the beginning of what the encoder has read would be dropped."""
        if self.start is not None and overflow == "shift":
            message = "the encoder has read the prompt as a whole: its beginning cannot be dropped"
            raise UsageError(message, "use --overflow error, drop-old or middle")
