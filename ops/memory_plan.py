"""The memory plan: offsets of a step's buffers, which are reused after their last reader."""

from collections.abc import Sequence
from dataclasses import dataclass

from ops.operations.base import Buffer, Operation


@dataclass(frozen=True, slots=True)
class Limits:
    """The largest numbers of tokens and outputs in a step; they determine the buffer sizes."""

    tokens: int
    outputs: int

    def rows(self, buffer: Buffer) -> int:
        """The largest number of rows of a buffer."""
        of_step = {"tokens": self.tokens, "outputs": self.outputs, "step": 1}
        return of_step[buffer.rows] * buffer.multiple


def plan(
    operations: Sequence[Operation], limits: Limits, keep: Buffer, given: Sequence[Buffer] = ()
) -> tuple[dict[Buffer, int], int]:
    """Byte offsets of all buffers, and the total size.

    `keep` (the logits) stays valid after the step; `given` are filled before it. Allocates first
    fit in the free gaps.
    """
    last = {b: n for n, op in enumerate(operations) for b in (*op.inputs, *op.outputs)}
    last[keep] = len(operations)
    places: dict[Buffer, int] = {}
    live: list[tuple[int, int, Buffer]] = []  # (start, stop, buffer), sorted
    total = 0
    for n, op in enumerate(operations):
        for buffer in (*(given if n == 0 else ()), *op.outputs):
            size = -(-buffer_bytes(buffer, limits) // 64) * 64
            start = _first_fit(live, size)
            places[buffer] = start
            live = sorted([*live, (start, start + size, buffer)], key=lambda place: place[:2])
            total = max(total, start + size)
        live = [place for place in live if last[place[2]] > n]
    return places, total


def buffer_bytes(buffer: Buffer, limits: Limits) -> int:
    return 4 * limits.rows(buffer) * buffer.width


def _first_fit(live: list[tuple[int, int, Buffer]], size: int) -> int:
    at = 0
    for start, stop, _ in live:
        if start - at >= size:
            return at
        at = max(at, stop)
    return at
