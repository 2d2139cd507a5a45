"""The face of what runs a program's steps, on whatever device."""

import threading
from collections.abc import Iterable, Sequence
from typing import Protocol

from ops.interface import Step, Weight
from ops.logits import Logits
from ops.profile import OperatorTime
from ops.state.blocks import BlockPool
from ops.state.sequence import SequenceState


class Runner(Protocol):
    """A program that was opened on a backend, ready to run steps."""

    @property
    def pool(self) -> BlockPool: ...
    @property
    def digest(self) -> bytes:
        """A digest of the operators that run, after fusion."""

    def run(  # (O, V)
        self,
        step: Step,
        states: Sequence[SequenceState],
        interrupt: threading.Event | None = None,
    ) -> Logits: ...
    def profile(self, step: Step, states: Sequence[SequenceState]) -> list[OperatorTime]:
        """The time of each operator in one step. Raises UsageError where it is not measured."""

    def room(self) -> int:
        """How many more blocks of KV cache fit into memory."""

    def reread(self, vectors: Iterable[Weight]) -> None:
        """Takes over the present values of vectors that were changed in place."""

    def close(self) -> None: ...
