"""Finds warps that race: which bytes each of them touched in a launch, and since which barrier.

Of every byte it is kept who wrote it last and who read it last, as a stamp: the block, how many
barriers it has met, the warp. What was loaded as a constant must not be written in the same launch.
"""

from typing import Any

import numpy as np
from emulator_lanes import WARP, now
from numpy import ndarray

ANYBODY = -1  # as a reader: several blocks, or a load of a constant
SEVERAL = 63  # as a warp: more than one of a block
RACE = "two warps race for the same bytes"


class Watch:
    """Over the bytes of one memory."""

    def __init__(self, size: int) -> None:
        self._written, self._read = np.zeros(size, np.int32), np.zeros(size, np.int32)
        self._touched: list[ndarray] = []

    def forget(self) -> None:
        """A launch begins."""
        for places in self._touched:
            self._written[places] = self._read[places] = 0
        self._touched.clear()

    def load(self, at: Any, size: int, constant: bool) -> None:
        places, mine = self._places(at, size)
        written, read = self._written[places], self._read[places]
        if constant:
            assert not written.any(), "loaded as a constant, but this launch wrote it"
            self._read[places] = ANYBODY
            return
        assert not _race(written, mine).any(), RACE
        stamps = np.where(_race(read, mine), mine | SEVERAL, mine)
        stamps[(read != 0) & (read >> 14 != mine >> 14)] = ANYBODY
        self._read[places] = stamps
        self._read[places[self._read[places] != stamps]] = ANYBODY

    def store(self, at: Any, size: int) -> None:
        places, mine = self._places(at, size)
        read = self._read[places]
        assert not _race(self._written[places], mine).any(), RACE
        assert not (_race(read, mine) | (read == ANYBODY)).any(), RACE
        self._written[places] = mine
        assert (self._written[places] == mine).all(), RACE

    def _places(self, at: Any, size: int) -> tuple[ndarray, ndarray]:
        """Bytes that the running lanes touch, and each one's stamp."""
        mine = (now.number + 1 << 14) + (now.barriers % 256 << 6) + now.warp
        mine = np.repeat(mine, WARP)
        mask = now.mask
        if mask is not None:
            mine = mine[mask]
            if type(at) is ndarray and len(at) > len(mine):
                at = at[mask]
        places = np.add.outer(np.broadcast_to(at, mine.shape), np.arange(size)).reshape(-1)
        self._touched.append(places)
        return places, np.repeat(mine, size)


def _race(other: ndarray, mine: ndarray) -> Any:
    """Another block, or another warp since the same barrier."""
    since = other >> 6 == mine >> 6
    return (other != 0) & (other != mine) & (since | (other >> 14 != mine >> 14))
