"""Drawing tokens where the logits are: what a backend is told of a sampler, what it offers."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from ops.interface import Step
from ops.state.sequence import SequenceState


@dataclass(frozen=True, slots=True)
class DrawPlan:
    """The samplers top_k, top_p, min_p and temperature, in this order, and a draw at the end.

    `least_logit` is what a logit may lie below the largest: ln(min_p). A count of 1 is greed.
    """

    count: int  # of the largest logits
    top_p: float = 1.0
    least_logit: float = -np.inf
    temperature: float = 1.0


@runtime_checkable
class Drawer(Protocol):
    """A backend that can go on by itself for some tokens."""

    @property
    def most_drawn(self) -> int:
        """The largest count of a plan."""

    @property
    def vocabulary(self) -> int:
        """Logits of a token."""

    def draw(
        self, step: Step, state: SequenceState, plan: DrawPlan, numbers: Sequence[float]
    ) -> NDArray[np.int32]:
        """Enters the step's one token, draws the next, enters that, ..., a token a random number.

        The last one is not entered. -1 stands for a token whose logits were of no use. Raises
        OutOfMemoryError, LeptonError.
        """
