"""Two models side by side on one text, window by window: no logits are kept."""

import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from lepton_cli.engine.library.sizes import counted
from lepton_cli.engine.loss.divergence import Divergence, token_scores
from lepton_cli.engine.loss.scoring import Logits, Tokens, scored_logits, settle
from lepton_cli.engine.loss.windows import TokenWindow
from lepton_cli.engine.model import Model
from ops.interface import Interrupted
from quant.errors import UsageError


@dataclass(frozen=True, slots=True)
class Comparison:
    """How far it is; `divergence` goes on with the next window.

    `seconds`: that the reference and the other model took for the `read` tokens.
    """

    done: int
    total: int
    read: int
    seconds: tuple[float, float]
    divergence: Divergence

    @property
    def rates(self) -> tuple[float, float]:
        """Tokens per second of each model."""
        one, other = (self.read / taken if taken else 0.0 for taken in self.seconds)
        return one, other


def compare(
    reference: Model,
    other: Model,
    windows: Sequence[TokenWindow],
    interrupt: threading.Event | None = None,
) -> Iterator[Comparison]:
    """The figures after each window, of at least one; ends early if `interrupt` is set.

    Raises LeptonError.
    """
    check_vocabularies(reference, other)
    for model in (reference, other):
        settle(model, windows[0])
    divergence, read, seconds = Divergence(), 0, (0.0, 0.0)
    for number, window in enumerate(windows, 1):
        models = TimedRows(reference, window, interrupt), TimedRows(other, window, interrupt)
        try:
            scores = [token_scores(*rows) for rows in _side_by_side(*models)]
        except Interrupted:
            return
        for each in scores:
            divergence.add(each)
        read += len(window.ids)
        seconds = seconds[0] + models[0].seconds, seconds[1] + models[1].seconds
        yield Comparison(number, len(windows), read, seconds, divergence)


class TimedRows:
    """The scored rows of a window, and the seconds that the model took for them."""

    def __init__(
        self, model: Model, window: TokenWindow, interrupt: threading.Event | None
    ) -> None:
        self.seconds = 0.0
        self._parts = scored_logits(model, window, interrupt)

    def __iter__(self) -> Iterator[tuple[Logits, Tokens]]:
        while True:
            begun = time.perf_counter()
            part = next(self._parts, None)
            self.seconds += time.perf_counter() - begun
            if part is None:
                return
            yield part


def _side_by_side(one: TimedRows, other: TimedRows) -> Iterator[tuple[Logits, Logits, Tokens]]:
    """The same rows of both, as many at once as lie in one part of each."""
    parts = iter(other)
    rows, done = None, 0
    for mine, tokens in one:
        start = 0
        while start < len(mine):
            if rows is None or done == len(rows):
                rows, done = next(parts)[0], 0
            count = min(len(mine) - start, len(rows) - done)
            stop = start + count
            yield mine[start:stop], rows[done : done + count], tokens[start:stop]
            start, done = stop, done + count


def check_vocabularies(reference: Model, other: Model) -> None:
    """Raises UsageError, naming the first difference."""
    difference = _difference(reference, other)
    if difference is not None:
        message = f"{reference.path} and {other.path} have different vocabularies: {difference}"
        raise UsageError(message, "compare models that were made of one, like its quantizations")


def _difference(reference: Model, other: Model) -> str | None:
    one, two = reference.tokenizer, other.tokenizer
    if one.vocab_size != two.vocab_size:
        return f"{one.vocab_size} and {counted(two.vocab_size, 'token')}"
    for token, texts in enumerate(zip(one.texts, two.texts, strict=True)):
        if texts[0] != texts[1]:
            first, second = (repr(text.decode(errors="replace")) for text in texts)
            return f"token {token} is {first} and {second}"
    if (one.bos, one.adds_bos) != (two.bos, two.adds_bos):
        first, second = (str(each.bos) if each.adds_bos else "none" for each in (one, two))
        return f"the token that begins a text is {first} and {second}"
    if reference.vocabulary_size != other.vocabulary_size:
        return f"{reference.vocabulary_size} and {other.vocabulary_size} logits a token"
    return None
