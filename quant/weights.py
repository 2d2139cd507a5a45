"""Matrices and vectors in the bytes of their format, as operators take them."""

import itertools
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from quant.errors import ModelFileError
from quant.format import Format


@dataclass(frozen=True, slots=True, eq=False)
class Weight:
    """A matrix (rows, columns) of quantized rows, a vector (one row), or E matrices stacked."""

    name: str
    format: Format
    columns: int
    data: NDArray[np.uint8]  # (experts * rows, bytes per row)
    experts: int = 1

    @property
    def rows(self) -> int:
        return len(self.data) // self.experts

    @property
    def size(self) -> int:
        return len(self.data) * self.columns

    def matrix(self, number: int) -> "Weight":
        """One of several that are stacked."""
        data = self.data[number * self.rows : (number + 1) * self.rows]
        return Weight(self.name, self.format, self.columns, data)

    def folded(self, rows: int) -> "Weight":
        """A vector as so many rows. Raises ModelFileError."""
        if self.size % (rows * self.format.block_size):
            raise ModelFileError(f"the tensor {self.name} has no {rows} rows of {self.size} values")
        return Weight(self.name, self.format, self.size // rows, self.data.reshape(rows, -1))

    def part(self, start: int, stop: int) -> "Weight":
        """Rows start to stop of a fused matrix, without a copy. Raises ModelFileError."""
        if self.experts != 1:
            raise ModelFileError(f"the tensor {self.name} should be a matrix")
        return Weight(self.name, self.format, self.columns, self.data[start:stop])

    def of(self, whole: NDArray[np.uint8], other: NDArray[np.uint8], kind: Format) -> "Weight":
        """The same rows of `other`: the rows of `whole`, which this is a part of, in a format."""
        first = (self.data.ctypes.data - whole.ctypes.data) // whole.shape[1]
        rows = other[first : first + len(self.data)]
        return Weight(self.name, kind, self.columns, rows, self.experts)

    def columns_part(self, start: int, stop: int) -> "Weight":
        """Elements start to stop of a float vector (a fused bias). Raises ModelFileError."""
        size = self.format.block_bytes
        if self.format.block_size != 1 or len(self.data) != 1:
            raise ModelFileError(f"the tensor {self.name} should be a vector of floats")
        part = np.ascontiguousarray(self.data[:, start * size : stop * size])
        return Weight(self.name, self.format, stop - start, part)


@dataclass(frozen=True, slots=True, eq=False)
class Linear:
    """y = s·W x + b, W (R, N); for E experts s is (E,) and b is (E, R)."""

    weight: Weight
    bias: Weight | None = None
    scale: Weight | None = None  # a factor for the whole matrix, beside those of its blocks

    def part(self, start: int, stop: int) -> "Linear":
        """Rows start to stop of a fused matrix."""
        if self.bias:
            check_widths(self.bias.name, self.bias.columns, self.weight.rows)
        bias = self.bias.columns_part(start, stop) if self.bias else None
        return Linear(self.weight.part(start, stop), bias, self.scale)

    def folded(self, rows: int) -> "Linear":
        """The vector of a norm as so many rows, one for each head."""
        bias = self.bias.folded(rows) if self.bias else None
        return Linear(self.weight.folded(rows), bias, self.scale)

    def parts(self, *rows: int) -> "list[Linear]":
        """A fused matrix cut into stretches of so many rows. Raises ModelFileError."""
        check_widths(self.weight.name, self.weight.rows, sum(rows))
        stops = list(itertools.accumulate(rows))
        return [self.part(stop - count, stop) for stop, count in zip(stops, rows, strict=True)]


def check_widths(name: str, got: int, wanted: int) -> None:
    """Raises ModelFileError if the width of a tensor's input is not `wanted`."""
    if got != wanted:
        raise ModelFileError(f"the tensor {name} has the width {got}; the model needs {wanted}")
