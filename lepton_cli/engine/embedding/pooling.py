"""A text's rows become its vector. Each text is treated alone, so that a batch changes no byte."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lepton_cli.models.pooling import Pool

Rows = NDArray[np.float32]  # (n, width)
Scores = NDArray[np.float32]  # (n,)


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
    weights = np.exp(scores.astype(np.float64) - scores.max(1, keepdims=True))
    scaled: NDArray[np.float64] = weights / weights.sum(1, keepdims=True)
    return scaled.astype(np.float32)
