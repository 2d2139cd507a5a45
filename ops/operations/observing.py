"""What is added up of a product's input while a program runs."""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from ops.operations.base import READ, Buffer, Operation

Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True, eq=False)
class Squares(Operation):
    """The sum of the squares of each column of x, over the rows of the last step.

    `sums` (experts, columns) and `counts` (experts,) are overwritten by every step; `names` are the
    weights that x meets. With `ids` an expert's sums are over the rows that chose it, and its count
    is their number; otherwise rows meet all matrices, and `counts` stay as they are.
    """

    x: Buffer = field(metadata=READ)
    names: tuple[str, ...]
    sums: Floats
    counts: Floats
    ids: Buffer | None = field(default=None, metadata=READ)

    @property
    def experts(self) -> int:
        return len(self.counts)
