"""The logits of a pass, on the card: the largest for the host, all on request."""

from collections.abc import Iterator

import numpy as np

from ops.cuda.device.device import Device, Launch
from ops.cuda.kernels.largest import KEPT, MOST, STRETCH, THREADS
from ops.logits import Ids, RankedLogits, Values

PAIR_BYTES, SHARED = 8, 8 * STRETCH


class CardLogits:
    """Owns the memory in which the largest logits are searched."""

    def __init__(self, device: Device, logits: int, width: int, rows: int) -> None:
        """`logits`: the address of at most `rows` rows of `width` logits."""
        self._device, self._logits, self._width = device, logits, width
        self._first_bytes = rows * _up(width, STRETCH) * KEPT * PAIR_BYTES
        self._memory = device.allocate(2 * self._first_bytes)

    def _all(self, count: int) -> Values:  # (count, V)
        rows = np.empty((count, self._width), np.float32)
        self._device.download(self._logits, rows)
        return rows

    def launches(self, count: int) -> list[Launch]:
        """Launches that find the largest logits of `count` rows."""
        return [launch for launch, _ in self._stages(count)] if count else []

    def rows(self, count: int) -> RankedLogits:
        """Waits for the launches."""
        return RankedLogits(lambda: self._all(count), self._largest(count))

    def found(self, count: int) -> int:
        """The address of the largest: (count, 64) pairs of a key and an id."""
        return [where for _, where in self._stages(count)][-1]

    def _largest(self, count: int) -> tuple[Ids, Values]:  # (count, n) twice
        """The 64 largest; all, if there are fewer."""
        pairs = np.empty((count, KEPT, 2), np.int32)
        self._device.download(self.found(count), pairs)
        keys, ids = pairs[..., 0], pairs[..., 1]
        bits = np.where(keys < 0, keys ^ np.int32(MOST), keys).astype(np.int32)
        kept = min(KEPT, self._width)
        return ids[:, :kept].copy(), bits.view(np.float32)[:, :kept]

    def _stages(self, count: int) -> Iterator[tuple[Launch, int]]:
        """The launches, each with the address of its results."""
        source, width, pairs = self._logits, self._width, 0
        target, other = self._memory, self._memory + self._first_bytes
        while True:
            stretches = _up(width, STRETCH)
            operands = (source, target, width, pairs)
            yield Launch("largest", (stretches, count, 1), THREADS, operands, SHARED), target
            if stretches == 1:
                return
            source, target, other = target, other, target
            width, pairs = stretches * KEPT, 1

    def close(self) -> None:
        self._device.free(self._memory)


def _up(number: int, divisor: int) -> int:
    return -(-number // divisor)
