"""Sampling on the device: the sampler settings that a backend can apply, and its interface."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from ops.interface import Step
from ops.state.sequence import SequenceState


@dataclass(frozen=True, slots=True)
class DrawPlan:
    """The samplers top_k, top_p, min_p and temperature, in this order, then a random draw.

    `least_logit` = ln(min_p): logits further below the largest are dropped. A `count` of 1 is
    greedy decoding.
    """

    count: int  # top_k
    top_p: float = 1.0
    least_logit: float = -np.inf
    temperature: float = 1.0


@runtime_checkable
class Drawer(Protocol):
    """A runner that can draw several tokens in a row without the host."""

    @property
    def most_drawn(self) -> int:
        """The largest `count` of a plan."""

    @property
    def vocabulary(self) -> int:
        """The number of logits per token."""

    def draw(
        self, step: Step, state: SequenceState, plan: DrawPlan, numbers: Sequence[float]
    ) -> NDArray[np.int32]:
        """Runs the step's one token, draws the next, runs that, ...: one token per random number.

        The last token is drawn but not run. -1 stands for a token without usable logits (NaN).
        Raises OutOfMemoryError, LeptonError.
        """
