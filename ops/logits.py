"""Logits that stay on the card until the host reads all of them, or only the largest."""

from collections.abc import Callable, Iterator
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

Ids: TypeAlias = NDArray[np.int32]
Values: TypeAlias = NDArray[np.float32]


class DeviceLogits:
    """The logits of one pass, to be read before the next pass.

    `largest`: ids and values of the n largest of each row, both (O, n), in descending order; the
    lower id wins a tie; NaN sorts first.
    """

    def __init__(self, read: Callable[[], Values], largest: tuple[Ids, Values]) -> None:
        """`read` copies all rows to the host, (O, V)."""
        self._read, self.largest = read, largest
        self._all: Values | None = None

    def __len__(self) -> int:
        return len(self.largest[0])

    def __getitem__(self, n: int) -> "DeviceLogitsRow":
        return DeviceLogitsRow(self, range(len(self))[n])

    def __iter__(self) -> Iterator["DeviceLogitsRow"]:
        return map(self.__getitem__, range(len(self)))

    @property
    def shape(self) -> tuple[int, int]:
        rows, width = np.asarray(self).shape
        return rows, width

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        if self._all is None:
            self._all = self._read()
        return self._all if dtype is None else self._all.astype(dtype)


class DeviceLogitsRow:
    """One token's logits."""

    def __init__(self, rows: DeviceLogits, n: int) -> None:
        self._rows, self._n = rows, n

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:  # (V,)
        row: NDArray[Any] = np.asarray(self._rows)[self._n]
        return row if dtype is None else row.astype(dtype)

    def largest(self) -> tuple[Ids, Values]:  # (n,) twice
        ids, values = self._rows.largest
        return ids[self._n], values[self._n]


Logits: TypeAlias = Values | DeviceLogits
"""The logits of a pass, (O, V)."""
RowLogits: TypeAlias = Values | DeviceLogitsRow
"""The logits of one token, (V,)."""
