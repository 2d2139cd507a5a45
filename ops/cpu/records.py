"""Operand records: aligned, and preceded by a counter of claimed work.

Threads claim the parts of an operator from that counter, so that a slow thread does not hold up the
others. `replay` resets it after a barrier. The counter, which all write, has a cache line of its
own beside the operands, which all read.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ops.cpu.layout import HEADER_BYTES, LINE


class Record:
    """The operands of one call."""

    def __init__(self, values: Sequence[int]) -> None:
        self._memory: NDArray[np.int64] = np.zeros(len(values) + 2 * LINE // 8, np.int64)
        start = -(-self._memory.ctypes.data // LINE) * LINE + HEADER_BYTES
        first = (start - self._memory.ctypes.data) // 8
        self._memory[first : first + len(values)] = values
        self.address, self._counter = start, first - HEADER_BYTES // 8

    def restart(self) -> None:
        """Resets the counter, for a kernel that runs without `replay`."""
        self._memory[self._counter] = 0
