"""Where the buffers of a step lie: memory is used again once the last reader is done."""

from collections.abc import Sequence
from dataclasses import dataclass

from ops.operations.base import Buffer, Operation


@dataclass(frozen=True, slots=True)
class Limits:
    """The most rows of a step; they size the buffers."""

    tokens: int
    outputs: int

    def rows(self, buffer: Buffer) -> int:
        """The most rows of a buffer."""
        of_step = {"tokens": self.tokens, "outputs": self.outputs, "step": 1}
        return of_step[buffer.rows] * buffer.multiple


def plan(
    operations: Sequence[Operation], limits: Limits, keep: Buffer, given: Sequence[Buffer] = ()
) -> tuple[dict[Buffer, int], int]:
    """Offsets in bytes for every buffer, and the total: memory is used again after the last reader.

    `keep` (the logits) stays valid after the step; `given` are filled before it. First fit over the
    free stretches.
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
