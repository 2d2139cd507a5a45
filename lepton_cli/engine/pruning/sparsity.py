"""Zeros in place of the least important weights: the shape stays, the loss can be measured."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from lepton_cli.engine.pruning.ranking import SquareSums, sums_of
from ops.program import Program
from quant.errors import UsageError
from quant.format import dequantize, quantize
from quant.gguf import Tensor

ROWS = 4096  # that are in memory as floats at a time
Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Sparsity:
    """`zeros` of every `group` neighbours in a row are zeroed; without a group, of a whole row.

    The least by |w|, or by |w|·sqrt(Σ x²) where sums over a text are known (Sun et al. 2023).
    """

    zeros: float  # a number of the group's, or a share of the row
    group: int | None = None

    @classmethod
    def of(cls, text: str) -> "Sparsity":
        """Reads 0.5, or N:M (N of M stay). Raises UsageError."""
        left, colon, group = text.partition(":")
        try:
            if colon and 0 < int(left) < int(group) <= 32:
                return cls(int(group) - int(left), int(group))
            if not colon and 0 < float(left) < 1:
                return cls(float(left))
        except ValueError:
            pass
        raise UsageError(f"{text!r} is no sparsity", "give a share like 0.5, or a pattern like 2:4")

    def rows(
        self, rows: Floats, sums: NDArray[np.float64] | None
    ) -> Floats:  # (n, N), (N,) -> (n, N)
        """The rows with zeros."""
        scores = np.abs(rows) if sums is None else np.abs(rows) * np.sqrt(sums)
        width = rows.shape[1]
        size = self.group or width
        if width % size:
            raise UsageError(f"rows of {width} weights have no groups of {size}", "use a share")
        count = round(self.zeros if self.group else self.zeros * width)
        grouped = scores.reshape(len(rows), -1, size)
        least = np.argpartition(grouped, min(count, size - 1), axis=-1)[..., :count]
        kept = rows.reshape(grouped.shape).copy()
        np.put_along_axis(kept, least, np.float32(0), axis=-1)
        return kept.reshape(rows.shape)


@dataclass(frozen=True)
class SparseTensors:
    """The matrices of all layers, with zeros."""

    program: Program
    sparsity: Sparsity
    sums: SquareSums | None

    @cached_property
    def names(self) -> frozenset[str]:
        """The tensors that get zeros: what layers multiply by."""
        uses = self.program.weights()
        return frozenset(
            use.weight.name for use in uses if use.role == "product" and use.layer is not None
        )

    def data(self, tensor: Tensor) -> Iterator[memoryview]:
        """Its bytes, in pieces. Raises UsageError for quantized weights."""
        for rows in self.rows(tensor):
            yield np.ascontiguousarray(rows).data.cast("B")

    def rows(self, tensor: Tensor) -> Iterator[NDArray[np.uint8]]:
        """Its rows, some at a time. Raises UsageError for quantized weights."""
        kind = tensor.format
        if kind.block_size > 1:
            message = f"{tensor.name} is {kind.name}: its zeros would be rounded away from 0"
            raise UsageError(message, "make the F16 or BF16 model sparse, and quantize the result")
        data = tensor.data.reshape(tensor.experts, -1, tensor.data.shape[1])
        sums = None if self.sums is None else sums_of(self.sums, tensor.name, tensor.experts)
        for number in range(tensor.experts):
            for begin in range(0, data.shape[1], ROWS):
                rows = dequantize(kind, data[number, begin : begin + ROWS])
                sparse = self.sparsity.rows(rows, None if sums is None else sums[number])
                yield quantize(kind, sparse)
