"""Logits of which the largest are known: most samplers read no others.

On a card, the others stay there until the host reads them.
"""

from collections.abc import Callable, Iterator
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

Ids: TypeAlias = NDArray[np.int32]
Values: TypeAlias = NDArray[np.float32]


class RankedLogits:
    """The logits of one pass, to be read before the next pass.

    `largest`: ids and values of the n largest of each row, both (O, n), in descending order; the
    lower id wins a tie; NaN sorts first.
    """

    def __init__(self, read: Callable[[], Values], largest: tuple[Ids, Values]) -> None:
        """`read` gives all rows, (O, V)."""
        self._read, self.largest = read, largest
        self._all: Values | None = None

    def __len__(self) -> int:
        return len(self.largest[0])

    def __getitem__(self, n: int) -> "RankedLogitsRow":
        return RankedLogitsRow(self, range(len(self))[n])

    def __iter__(self) -> Iterator["RankedLogitsRow"]:
        return map(self.__getitem__, range(len(self)))

    @property
    def shape(self) -> tuple[int, int]:
        rows, width = np.asarray(self).shape
        return rows, width

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        if self._all is None:
            self._all = self._read()
        return np.array(self._all, dtype, copy=copy)


class RankedLogitsRow:
    """One token's logits."""

    def __init__(self, rows: RankedLogits, n: int) -> None:
        self._rows, self._n = rows, n

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:  # (V,)
        return np.array(np.asarray(self._rows)[self._n], dtype, copy=copy)

    def largest(self) -> tuple[Ids, Values]:  # (n,) twice
        ids, values = self._rows.largest
        return ids[self._n], values[self._n]


Logits: TypeAlias = Values | RankedLogits
"""The logits of a pass, (O, V)."""
RowLogits: TypeAlias = Values | RankedLogitsRow
"""The logits of one token, (V,)."""
