"""Runs texts through a model that gives rows: several in a pass, of similar lengths.

A token's arithmetic is the same in every pass, and what becomes of a text's rows does not depend on
other texts. So the bytes of its vector do not depend on what it is run together with.
"""

import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import pairwise

import numpy as np

from lepton_cli.engine.decoding.window import Passes
from lepton_cli.engine.embedding.pooling import Rows, outputs_of, pooled, shares
from lepton_cli.models.pooling import Pool
from ops.interface import BLOCK, Step, Weight
from ops.runners.chain import OutputRunner
from ops.state.sequence import SequenceState

MOST_AT_ONCE = 64  # texts in a pass: each takes a block of the cache


class Embedder:
    """A model that was opened for embeddings; its vectors have `width` numbers."""

    def __init__(
        self,
        passes: Passes,
        pool: Pool,
        head: OutputRunner | None,
        width: int,
        fill: int,
        room: Callable[[], int],
    ) -> None:
        """`fill`: tokens with which a pass is full; `room`: bytes of cache that it may take."""
        self.pool, self.width = pool, width
        self._passes, self._head, self._fill = passes, head, fill
        self._room = room

    def batches(
        self, texts: Sequence[Sequence[int]], at_once: int | None = None
    ) -> Iterator[list[int]]:
        """The numbers of texts that fit into a pass together: of similar lengths, longest first."""
        layout, room = self._passes.pool.layout, self._room()
        most = min(at_once or MOST_AT_ONCE, MOST_AT_ONCE)
        batch, tokens, taken = list[int](), 0, 0
        for number in sorted(range(len(texts)), key=lambda n: -len(texts[n])):
            length = len(texts[number])
            more = -(-length // BLOCK) * layout.block_bytes + layout.slot_bytes
            full = tokens + length > self._fill or taken + more > room
            if batch and (full or len(batch) == most):
                yield batch
                batch, tokens, taken = [], 0, 0
            batch, tokens, taken = [*batch, number], tokens + length, taken + more
        if batch:
            yield batch

    def run(
        self, texts: Sequence[Sequence[int]], interrupt: threading.Event | None = None
    ) -> list[Rows]:
        """The rows of texts that are run together, as the model gives them (see VectorForm).

        Of each (1, width); without pooling a row for each token. No text is empty or longer than
        the context. Raises Interrupted.
        """
        states = [SequenceState(self._passes.pool) for _ in texts]
        try:
            if len(texts) == 1:
                rows = [self._rows_of_one(texts[0], states[0], interrupt)]
            else:
                rows = self._rows_of_several(texts, states, interrupt)
        finally:
            for state in states:
                state.clear()
        return self._through_head([pooled(self.pool, each) for each in rows])

    def _rows_of_several(
        self,
        texts: Sequence[Sequence[int]],
        states: Sequence[SequenceState],
        interrupt: threading.Event | None,
    ) -> list[Rows]:
        starts = np.cumsum([0, *map(len, texts)]).tolist()
        runs = [range(start, stop) for start, stop in pairwise(starts)]
        wanted = [outputs_of(self.pool, run) for run in runs]
        step = Step(
            np.concatenate([np.array(text, np.int32) for text in texts]),
            np.concatenate([np.arange(len(text), dtype=np.int32) for text in texts]),
            np.concatenate([np.array(each, np.int32) for each in wanted]),
            tuple(starts[:-1]),
        )
        rows = np.array(self._passes.run(step, states, interrupt))
        return np.split(rows, np.cumsum([len(each) for each in wanted])[:-1])

    def _rows_of_one(
        self, text: Sequence[int], state: SequenceState, interrupt: threading.Event | None
    ) -> Rows:
        """Of a text that may take several passes, where tokens see only those before them."""
        wanted = outputs_of(self.pool, range(len(text)))
        parts = []
        for start in range(0, len(text), self._passes.chunk):
            part = range(start, min(start + self._passes.chunk, len(text)))
            outputs = [n - start for n in wanted if n in part]
            step = Step(
                np.array(text[start : part.stop], np.int32),
                np.arange(part.start, part.stop, dtype=np.int32),
                np.array(outputs, np.int32),
            )
            parts.append(np.array(self._passes.run(step, [state], interrupt)))
        return np.concatenate(parts)

    def _through_head(self, rows: Sequence[Rows]) -> list[Rows]:
        if self._head is None:
            return list(rows)
        together = np.concatenate(rows)
        most = self._passes.chunk
        stretches = range(0, len(together), most)
        parts = [np.array(self._head.run(together[n : n + most])) for n in stretches]
        results = np.concatenate(parts)
        if self.pool.gives_shares:
            results = shares(results)
        return np.split(results, np.cumsum([len(each) for each in rows])[:-1])

    def reread(self, vectors: Iterable[Weight]) -> None:
        """See Runner; of the head."""
        if self._head is not None:
            self._head.reread(vectors)

    def close(self) -> None:
        if self._head is not None:
            self._head.close()
