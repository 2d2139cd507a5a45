"""Which entries of a grid are near each group of levels: what encoders to IQ1, IQ2, IQ3 search.

The levels of a group are the digits of its number, the first one the lowest. A group that is no
entry has a list of entries at the shortest few distances, nearest first, in chunks of 16:

map         int32 (groups, 2)   | entry, or -1 - first chunk | chunks |
neighbours  uint8 (chunks, width, 16)    2 · level + 1, of 16 entries side by side
numbers     int32 (chunks, 16)           of those entries; the last chunk repeats the first of all
levels      uint8 (entries, width)
"""

from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from quant.codebooks import grid

LANES = 16
AT_ONCE = 512  # groups whose distances to all entries are in memory
DISTANCES = {
    "IQ1_S": 3,
    "IQ1_M": 3,
    "IQ2_XXS": 2,
    "IQ2_XS": 2,
    "IQ2_S": 1,
    "IQ3_XXS": 2,
    "IQ3_S": 3,
}
"""How many different distances the list of a group has."""


@dataclass(frozen=True, slots=True, eq=False)
class Grid:
    map: NDArray[np.int32]
    neighbours: NDArray[np.uint8]
    numbers: NDArray[np.int32]
    levels: NDArray[np.uint8]

    @property
    def addresses(self) -> NDArray[np.int64]:
        parts = self.map, self.neighbours, self.numbers, self.levels
        return np.array([part.ctypes.data for part in parts], np.int64)


@cache
def grid_of(name: str) -> Grid:
    """The tables of a format that has a grid. They take a tenth of a second."""
    values = grid("IQ1_S" if name == "IQ1_M" else name)
    alphabet = np.unique(values)
    levels = np.searchsorted(alphabet, values).astype(np.uint8)  # (entries, width)
    width, base = levels.shape[1], len(alphabet)
    digits = base ** np.arange(width)
    groups = np.arange(base**width)[:, None] // digits % base
    entries = np.full(len(groups), -1)
    entries[levels @ digits] = np.arange(len(levels))
    missing = np.flatnonzero(entries < 0)
    lists = [
        found
        for start in range(0, len(missing), AT_ONCE)
        for found in _nearest(groups[missing[start : start + AT_ONCE]], levels, DISTANCES[name])
    ]
    chunks = np.array([-(-len(found) // LANES) for found in lists])
    padded = [np.append(found, np.repeat(found[0], -len(found) % LANES)) for found in lists]
    numbers = np.concatenate(padded).reshape(-1, LANES).astype(np.int32)
    table = np.zeros((len(groups), 2), np.int32)
    table[:, 0] = entries
    table[missing, 0] = -1 - (np.cumsum(chunks) - chunks)
    table[missing, 1] = chunks
    odd = 2 * levels[numbers] + np.uint8(1)  # (chunks, 16, width)
    return Grid(table, np.ascontiguousarray(odd.swapaxes(1, 2)), numbers, levels)


def _nearest(
    groups: NDArray[np.int64], levels: NDArray[np.uint8], distances: int
) -> list[NDArray[np.int64]]:
    """Of each group the entries at the shortest few distances: nearest first, then by number."""
    a, b = groups.astype(np.float32), levels.astype(np.float32)
    squares = np.square(a).sum(1)[:, None] + np.square(b).sum(1) - 2 * a @ b.T
    limit = np.full(len(groups), -1, np.float32)
    for _ in range(distances):
        beyond = np.where(squares > limit[:, None], squares, np.inf)
        limit = beyond.min(1)
    row, entry = np.nonzero(squares <= limit[:, None])
    order = np.lexsort((entry, squares[row, entry], row))
    starts = np.cumsum(np.bincount(row, minlength=len(groups)))[:-1]
    return np.split(entry[order], starts)
