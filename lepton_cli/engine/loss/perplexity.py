"""The perplexity of a text: e to the mean loss of its scored tokens."""

import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from lepton_cli.engine.loss.estimates import Estimate, Moments, Scores
from lepton_cli.engine.loss.scoring import scored_logits, settle, token_losses
from lepton_cli.engine.loss.windows import TokenWindow
from lepton_cli.engine.model import Model
from ops.interface import Interrupted


@dataclass(frozen=True, slots=True)
class Perplexity:
    """The figures of the first `done` of `total` windows; `loss` is in nats a token."""

    done: int
    total: int
    scored: int  # tokens
    read: int  # tokens
    seconds: float
    loss: Estimate
    of_window: float  # the mean loss of the last window
    of_places: tuple[float, ...]
    """The mean loss of each scored place in a window, the first one first."""

    @property
    def perplexity(self) -> Estimate:
        return self.loss.exponential()

    @property
    def rate(self) -> float:
        """Tokens read per second."""
        return self.read / self.seconds if self.seconds else 0.0


def measure_perplexity(
    model: Model, windows: Sequence[TokenWindow], interrupt: threading.Event | None = None
) -> Iterator[Perplexity]:
    """The figures after each window, of at least one; ends early if `interrupt` is set.

    Raises LeptonError.
    """
    settle(model, windows[0])
    moments, begun, read = Moments(), time.perf_counter(), 0
    places: Scores | None = None
    for number, window in enumerate(windows, 1):
        try:
            losses = window_losses(model, window, interrupt)
        except Interrupted:
            return
        moments.add(losses)
        places = losses if places is None else places + losses
        read += len(window.ids)
        yield Perplexity(
            done=number,
            total=len(windows),
            scored=moments.count,
            read=read,
            seconds=time.perf_counter() - begun,
            loss=moments.mean,
            of_window=float(losses.mean()),
            of_places=tuple((places / number).tolist()),
        )


def window_losses(
    model: Model,
    window: TokenWindow,
    interrupt: threading.Event | None = None,
    *,
    reuse: bool = False,
) -> Scores:
    """The losses of a window's scored tokens (see scored_logits). Raises LeptonError."""
    parts = scored_logits(model, window, interrupt, reuse=reuse)
    return np.concatenate([token_losses(rows, tokens) for rows, tokens in parts])
