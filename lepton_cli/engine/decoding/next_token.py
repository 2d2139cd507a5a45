"""Guesses by the model's own next-token head (see models/next_token.py).

The head's block needs, for each token, the model's row at the position before. It follows the
passes of the context window, which bring these rows, and has keys and values of its own.
"""

from collections.abc import Sequence

import numpy as np

from lepton_cli.engine.loading.parts import OpenHead
from ops.interface import Step
from ops.runners.chain import Rows
from ops.state.sequence import SequenceState


class NextTokens:
    """The head beside a context window; its own position 0 is the window's `_begin`.

    Of the tokens from `_first` on both token and row are known and kept until the head has run
    them. It has run the tokens before `_done`.
    """

    def __init__(self, head: OpenHead, chunk: int) -> None:
        """`chunk`: the most tokens of a step."""
        self._head, self._chunk = head, chunk
        self._state = SequenceState(head.block.pool)
        self._begin = self._first = self._done = 0
        self._latest: int | None = None  # the token before `_done`
        self._tokens: list[int] = []
        self._rows: Rows = self._no_rows()

    def follow(self, start: int, tokens: Sequence[int], rows: Rows) -> None:
        """Takes over tokens that the window runs from position `start` on, with their rows.

        They replace what was there: the window may have been cut, or filled from elsewhere.
        """
        if not self._first <= start <= self._first + len(self._tokens):
            self._first, self._tokens, self._rows = start, [], self._no_rows()
        kept = start - self._first
        self._tokens = [*self._tokens[:kept], *tokens]
        self._rows = np.concatenate([self._rows[:kept], rows])
        if self._done != start + 1 or tokens[0] != self._latest:
            self._done = min(self._done, start)
        if len(self._tokens) > self._chunk:
            self._run(self._first + len(self._tokens), wants_last=False)
            self._forget(self._first + len(self._tokens) - 1)

    def guess(self, ids: Sequence[int], most: int, min_probability: float) -> list[int]:
        """Up to `most` tokens after `ids`, all but the last of which the window has run."""
        last = len(ids) - 1
        if not self._first <= last <= self._first + len(self._tokens) or most < 1:
            return []
        kept = last - self._first
        self._tokens, self._rows = [*self._tokens[:kept], ids[last]], self._rows[:kept]
        self._done = min(self._done, last)  # the last one's row is wanted in any case
        row, guesses = self._run(last + 1, wants_last=True), list[int]()
        self._forget(last)
        while True:
            logits = np.asarray(self._head.output.run(row))[0]
            token = int(np.argmax(logits))
            if 1 / np.exp(logits - logits[token]).sum() < min_probability:
                break
            guesses.append(token)
            if len(guesses) == most:
                break
            row = self._step(last + len(guesses), [token], row, wants_last=True)
        self._done, self._tokens = last + 1, []
        return guesses

    def clear(self) -> None:
        """Frees the memory of its keys and values."""
        self._state.clear()
        self._begin = self._first = self._done = 0
        self._tokens, self._rows = [], self._no_rows()

    def close(self) -> None:
        self.clear()
        self._head.block.close()
        self._head.output.close()

    def _run(self, end: int, *, wants_last: bool) -> Rows:
        """Runs the tokens up to `end`; returns the head's row of the last, if it is wanted."""
        if self._done < max(self._first, self._begin):  # what is between, or before, is not known
            self._state.clear()
            self._begin = self._done = self._first
        row = self._no_rows()
        while self._done < end:
            start, stop = self._done, min(end, self._done + self._chunk)
            tokens = self._tokens[start - self._first : stop - self._first]
            before = max(start - 1, self._first)
            rows = self._rows[before - self._first : stop - 1 - self._first]
            if before == start:  # zeros stand for a row that is not known, as for the first one
                rows = np.concatenate([np.zeros((1, rows.shape[1]), np.float32), rows])
            row = self._step(start, tokens, rows, wants_last=wants_last and stop == end)
            self._done, self._latest = stop, tokens[-1]
        return row

    def _step(self, start: int, tokens: Sequence[int], rows: Rows, *, wants_last: bool) -> Rows:
        """Runs tokens at the window's position `start`, with the row before each of them."""
        numbers = np.arange(len(tokens), dtype=np.int32)
        step = Step(
            np.array(tokens, np.int32),
            numbers + np.int32(start - self._begin),
            numbers[-1:] if wants_last else numbers[:0],
            given=(rows,),
        )
        return np.array(self._head.block.run(step, [self._state]))

    def _forget(self, position: int) -> None:
        """Drops what is kept of the tokens before a position."""
        count = position - self._first
        self._first, self._tokens = position, self._tokens[count:]
        self._rows = self._rows[count:]

    def _no_rows(self) -> Rows:
        return np.empty((0, self._head.output.width), np.float32)
