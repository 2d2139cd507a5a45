"""Operand records as kernels find them: aligned, with a cell before them that counts work taken.

Threads take the parts of an operator one after the other from that cell, so that one that is held
up does not hold up the others. `replay` sets it back when all have met. What is written by all has
a cache line of its own, beside the one that all read.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ops.cpu.layout import HEADER_BYTES, LINE


class Record:
    """The operands of one call, in memory of their own."""

    def __init__(self, values: Sequence[int]) -> None:
        self._memory: NDArray[np.int64] = np.zeros(len(values) + 2 * LINE // 8, np.int64)
        start = -(-self._memory.ctypes.data // LINE) * LINE + HEADER_BYTES
        first = (start - self._memory.ctypes.data) // 8
        self._memory[first : first + len(values)] = values
        self.address = start
