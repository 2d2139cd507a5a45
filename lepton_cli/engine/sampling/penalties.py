"""Repetition penalties: on single tokens, and DRY, on tokens that continue a repetition."""

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from lepton_cli.engine.sampling.candidates import Candidates

MAX_PENALTY = 88.7228391  # ln of the largest float32, the limit of DRY's penalty


def penalize(
    candidates: Candidates,
    window: NDArray[np.int32],
    repeat: float,
    frequency: float,
    presence: float,
) -> Candidates:
    """Lowers tokens in the window: by a factor, by an amount per occurrence, by an amount once."""
    ids, counts = np.unique(window, return_counts=True)
    positions, present = candidates.find(ids)
    logits = candidates.logits[positions]
    logits = np.where(logits <= 0, logits * repeat, logits / repeat)
    candidates.logits[positions] = logits - counts[present] * frequency - presence
    return candidates


class Breakers:
    """Counts the tokens since the last sequence breaker, which no repetition may span.

    Breakers are searched in the bytes of the accepted tokens, so one may end inside a token or span
    several.
    """

    def __init__(self, texts: tuple[str, ...], token_bytes: Callable[[int], bytes]) -> None:
        self._texts = [text.encode(errors="surrogateescape") for text in texts]
        self._token_bytes = token_bytes
        self._tail = b""  # end of the accepted text, as long as a breaker may need
        self._reach = max(map(len, self._texts), default=1) - 1
        self.since = 0

    def accept(self, token: int) -> None:
        text = self._tail + self._token_bytes(token)
        old = len(self._tail)
        broken = any(text.find(t, max(0, old - len(t) + 1)) >= 0 for t in self._texts)
        self.since = 0 if broken else self.since + 1
        self._tail = text[len(text) - self._reach :] if len(text) > self._reach else text

    def inside(self, token: int) -> bool:
        """Whether the token alone contains a breaker."""
        text = self._token_bytes(token)
        return any(breaker in text for breaker in self._texts)


def penalize_repeats(
    candidates: Candidates,
    window: NDArray[np.int32],
    breakers: Breakers,
    multiplier: float,
    base: float,
    allowed: int,
) -> Candidates:
    """DRY: lowers a token that continues a repetition by multiplier * base**(length - allowed)."""
    steepest = int(MAX_PENALTY / math.log(base)) if base > 1 else 0
    lengths = repeat_lengths(window, allowed, min(breakers.since, allowed + steepest))
    ids = np.array(sorted(t for t in lengths if not breakers.inside(t)), dtype=np.int32)
    positions, present = candidates.find(ids)
    penalties = [multiplier * base ** (lengths[t] - allowed) for t in ids[present].tolist()]
    candidates.logits[positions] -= penalties
    return candidates


def repeat_lengths(window: NDArray[np.int32], shortest: int, longest: int) -> dict[int, int]:
    """For each token that followed an earlier copy of the window's end: the longest copy's length.

    Copies have `shortest` to `longest` tokens and may overlap the end.
    """
    size = len(window)
    lengths: dict[int, int] = {}
    following = np.arange(1, size)  # indices of tokens that followed a copy
    for length in range(longest + 1):
        if length >= shortest:
            lengths.update(dict.fromkeys(window[following].tolist(), length))
        following = following[following > length]
        if not len(following):
            break
        following = following[window[following - length - 1] == window[size - length - 1]]
    return lengths
