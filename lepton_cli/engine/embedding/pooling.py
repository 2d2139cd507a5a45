"""A text's rows become its vector. Each text is treated alone, so that a batch changes no byte."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lepton_cli.engine.library.sizes import counted
from lepton_cli.models.pooling import Pool
from quant.errors import ModelFileError, UsageError

Rows = NDArray[np.float32]  # (n, width)
Scores = NDArray[np.float32]  # (n,)


@dataclass(frozen=True, slots=True)
class VectorForm:
    """How a text's pooled rows are given: of length 1, the first `dimensions` numbers, or all.

    Cut vectors keep their meaning if the model was trained for it, by Matryoshka representation
    learning (arXiv 2205.13147).
    """

    normalize: bool = True
    dimensions: int | None = None

    def width(self, whole: int) -> int:
        """The numbers of a vector of which the model gives `whole`. Raises UsageError."""
        if self.dimensions is None:
            return whole
        if not 1 <= self.dimensions <= whole:
            message = f"dimensions is {self.dimensions}: the model's vectors have "
            raise UsageError(message + counted(whole, "number"), f"ask for 1 to {whole}")
        return self.dimensions

    def of(self, rows: Rows) -> Rows:
        """Raises ModelFileError for rows that are not finite."""
        if not np.isfinite(rows).all():
            hint = "the file is probably damaged: compare its size and checksum with the source"
            raise ModelFileError("the model gave no usable vector", hint)
        cut = rows[:, : self.dimensions]
        return normalized(cut) if self.normalize else cut


UNIT = VectorForm()


def outputs_of(pool: Pool, run: range) -> Sequence[int]:
    """Which of the tokens of a run have a row that counts."""
    match pool.row:
        case "first":
            return run[:1]
        case "last":
            return run[-1:]
        case _:
            return run


def pooled(pool: Pool, rows: Rows) -> Rows:
    """The rows of one text, (n, D), as one, or as they are without pooling."""
    if pool.row != "mean":
        return np.array(rows)
    with np.errstate(invalid="ignore"):  # of a text whose rows are not finite
        mean: NDArray[np.float64] = np.add.reduce(rows, 0, np.float64) / len(rows)
    return mean[None].astype(np.float32)


def normalized(rows: Rows) -> Rows:
    """Each row divided by its length; one without a length stays."""
    exact = rows.astype(np.float64)
    lengths: Any = np.sqrt((exact * exact).sum(1, keepdims=True))
    scaled: NDArray[np.float64] = exact / np.where(lengths > 0, lengths, 1.0)
    return scaled.astype(np.float32)


def shares(scores: Rows) -> Rows:
    """Softmax of each row."""
    with np.errstate(invalid="ignore"):  # of scores that are not finite
        weights = np.exp(scores.astype(np.float64) - scores.max(1, keepdims=True))
    scaled: NDArray[np.float64] = weights / weights.sum(1, keepdims=True)
    return scaled.astype(np.float32)
