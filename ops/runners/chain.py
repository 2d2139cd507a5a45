"""A model in two parts on one backend: up to its last rows, and from rows to logits.

The rows are there to be read in between: another part of the model goes on from them.
"""

import threading
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ops.interface import Step, Weight
from ops.logits import Logits
from ops.profile import OperatorTime
from ops.runners.runner import Runner
from ops.state.blocks import BlockPool
from ops.state.sequence import SequenceState

Rows = NDArray[np.float32]


class OutputRunner:
    """Computes logits from given rows; it keeps nothing between steps."""

    def __init__(self, runner: Runner, width: int, vocabulary: int) -> None:
        """`width`: of the rows."""
        self.width, self._runner, self._vocabulary = width, runner, vocabulary
        self._state = SequenceState(runner.pool)

    def run(self, rows: Rows) -> Logits:  # (O, D) -> (O, V)
        """Valid until the next call."""
        if not len(rows):
            return np.empty((0, self._vocabulary), np.float32)
        return self._runner.run(_step(rows), [self._state])

    def profile(self, count: int) -> list[OperatorTime]:
        """Of that many rows. Raises UsageError."""
        rows = np.zeros((count, self.width), np.float32)
        return self._runner.profile(_step(rows), [self._state])

    def reread(self, vectors: Iterable[Weight]) -> None:
        self._runner.reread(vectors)

    def close(self) -> None:
        self._runner.close()


def _step(rows: Rows) -> Step:
    numbers = np.arange(len(rows), dtype=np.int32)
    return Step(np.zeros_like(numbers), numbers, numbers, given=(rows,))


@dataclass(frozen=True, slots=True)
class ChainedRunner:
    """Runs the first part, whose output are rows, then the second on the rows that are wanted.

    `digest`: that of the whole program, since both parts give its bytes.
    """

    first: Runner
    output: OutputRunner
    digest: bytes

    @property
    def pool(self) -> BlockPool:
        return self.first.pool

    def run(  # (O, V)
        self, step: Step, states: Sequence[SequenceState], interrupt: threading.Event | None = None
    ) -> Logits:
        """Raises Interrupted, OutOfMemoryError."""
        return self.output.run(self.rows(step, states, interrupt))

    def rows(  # (O, D)
        self, step: Step, states: Sequence[SequenceState], interrupt: threading.Event | None = None
    ) -> Rows:
        """Those of the step's outputs, valid until the next step."""
        return np.asarray(self.first.run(step, states, interrupt))

    def profile(self, step: Step, states: Sequence[SequenceState]) -> list[OperatorTime]:
        """Raises UsageError, OutOfMemoryError."""
        times = self.first.profile(step, states)
        return [*times, *self.output.profile(max(1, len(step.outputs)))]

    def room(self) -> int:
        """How many more blocks of the KV cache fit into memory."""
        return self.first.room()

    def reread(self, vectors: Iterable[Weight]) -> None:
        self.first.reread(vectors)
        self.output.reread(vectors)

    def close(self) -> None:
        self.first.close()
        self.output.close()
