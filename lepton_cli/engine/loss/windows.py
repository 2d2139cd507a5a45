"""A text cut into windows of tokens, in each of which some tokens are scored.

The windows are llama-perplexity's, so that figures can be compared with published ones.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import overload

from lepton_cli.engine.library.sizes import counted
from lepton_cli.engine.text.tokenizer import Tokenizer
from quant.errors import UsageError

USUAL_SIZE = 512  # llama-perplexity's
LEAST_SIZE = 4


@dataclass(frozen=True, slots=True)
class TokenWindow:
    """Tokens that a model reads from an empty context; those from `first` on are scored.

    `start`: where it begins in the text, in tokens.
    """

    ids: tuple[int, ...]
    first: int
    start: int

    @property
    def scored(self) -> tuple[int, ...]:
        """The tokens whose probabilities count; each is predicted by all those before it."""
        return self.ids[self.first :]


@dataclass(frozen=True, slots=True)
class Cutting:
    """Windows side by side, their second halves scored; or one every `stride` tokens.

    With a stride a window is longer by its half, and its last `stride` tokens are scored.
    `most`: only so many windows, the first ones.
    """

    context: int = USUAL_SIZE
    stride: int = 0  # 0: none
    most: int | None = None

    def __post_init__(self) -> None:
        """Raises UsageError."""
        if self.context < LEAST_SIZE:
            message = f"a window of {counted(self.context, 'token')} (-c) is too short to score"
            raise UsageError(message, f"use -c {LEAST_SIZE} or more; usual is -c {USUAL_SIZE}")
        if not 0 <= self.stride <= self.context:
            message = f"the stride is {self.stride}, the window (-c) {self.context}"
            raise UsageError(message, f"use --ppl-stride 1 to {self.context}, or 0 for none")
        if self.most is not None and self.most < 1:
            raise UsageError(f"{self.most} windows (--chunks)", "use --chunks 1 or more, or -1")

    @property
    def size(self) -> int:
        """Tokens in a window."""
        return self.context + self.stride // 2

    def windows(self, ids: Sequence[int], bos: int | None) -> "TokenWindows":
        """The windows of a text; `bos` takes the place of each one's first token, if there is one.

        Raises UsageError for a text shorter than one window.
        """
        size, first = self.size, self.size // 2 + 1
        starts = range(0, len(ids) - size + 1, size)
        if self.stride:
            count = math.ceil((len(ids) - size) / self.stride)  # as there: not of one whole window
            starts, first = range(0, count * self.stride, self.stride), size - self.stride
        if not len(starts):
            raise self._too_short(len(ids))
        return TokenWindows(ids, size, first, starts[: self.most], bos)

    def _too_short(self, tokens: int) -> UsageError:
        least = self.size + bool(self.stride)
        message = f"the text has {counted(tokens, 'token')}, a window needs {least}"
        longest = tokens - (least - self.context)
        if longest < max(LEAST_SIZE, self.stride):
            return UsageError(message, "give a longer text")
        return UsageError(message, f"give a longer text, or a smaller window: -c {longest}")


@dataclass(frozen=True, slots=True)
class TokenWindows(Sequence[TokenWindow]):
    """The windows of a text, each made when it is asked for: with a stride they overlap."""

    ids: Sequence[int]
    size: int
    first: int
    starts: range
    bos: int | None

    def __len__(self) -> int:
        return len(self.starts)

    @overload
    def __getitem__(self, number: int) -> TokenWindow: ...
    @overload
    def __getitem__(self, number: slice) -> "TokenWindows": ...
    def __getitem__(self, number: int | slice) -> "TokenWindow | TokenWindows":
        if isinstance(number, slice):
            return replace(self, starts=self.starts[number])
        start = self.starts[number]
        own = list(self.ids[start : start + self.size])
        if self.bos is not None:
            own[0] = self.bos
        return TokenWindow(tuple(own), self.first, start)


def windows_of(text: str, tokenizer: Tokenizer, cutting: Cutting) -> TokenWindows:
    """The windows of a text, which is never read as special tokens. Raises UsageError."""
    ids = tokenizer.encode(text)
    if tokenizer.adds_eos:
        ids = ids[:-1]
    return cutting.windows(ids, tokenizer.bos if tokenizer.adds_bos else None)
