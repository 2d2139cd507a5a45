"""What an importance matrix says of each weight, and of each layer, as llama-imatrix shows it."""

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np
from numpy.typing import NDArray

from lepton_cli.engine.files.blocks import split_name
from lepton_cli.engine.imatrix.matrix import ImportanceMatrix

INACTIVE = 1e-5  # a mean square up to this
Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class WeightStatistics:
    """Of the mean squares of one weight's columns. `layer` and `similarity` None: there is none."""

    layer: int | None
    name: str  # within the layer
    columns: int  # of all experts
    total: float
    least: float
    greatest: float
    mean: float
    deviation: float
    active: float  # the share above INACTIVE
    entropy: float  # bits
    outliers: float  # the share above the mean by more than a standard deviation
    similarity: float | None  # the cosine with the same weight of the layer before

    @property
    def normalized_entropy(self) -> float:
        """1 where all columns matter alike."""
        return self.entropy / math.log2(self.columns) if self.columns > 1 else 0.0


@dataclass(frozen=True, slots=True)
class LayerStatistics:
    """Means over a layer's weights, by their columns."""

    layer: int | None
    total: float
    outliers: float
    similarity: float | None


def weight_statistics(matrix: ImportanceMatrix) -> tuple[WeightStatistics, ...]:
    """By layer, then by name."""
    means = {name: entry.means.ravel().astype(float) for name, entry in matrix.entries.items()}
    found = [_statistics(name, values, means) for name, values in means.items()]
    return tuple(sorted(found, key=lambda each: (_order(each.layer), each.name)))


def layer_statistics(weights: Sequence[WeightStatistics]) -> Iterator[LayerStatistics]:
    """Of weights in the order of their layers."""
    for layer, group in groupby(weights, key=lambda each: each.layer):
        own = list(group)
        like = [(each.similarity, each.columns) for each in own if each.similarity is not None]
        yield LayerStatistics(
            layer,
            _mean((each.total, each.columns) for each in own),
            _mean((each.outliers, each.columns) for each in own),
            _mean(like) if like else None,
        )


def _mean(weighted: Iterable[tuple[float, int]]) -> float:
    pairs = list(weighted)
    return sum(value * count for value, count in pairs) / sum(count for _, count in pairs)


def _order(layer: int | None) -> float:
    return math.inf if layer is None else layer


def _statistics(name: str, values: Floats, means: dict[str, Floats]) -> WeightStatistics:
    layer, own = split_name(name)
    before = means.get(f"blk.{layer - 1}.{own}") if layer is not None else None
    total, deviation = float(values.sum()), float(values.std())
    shares = values[values > 0] / total if total > 0 else values[:0]
    above = (values - values.mean()) / deviation > 1 if deviation > 0 else np.zeros(1)
    return WeightStatistics(
        layer=layer,
        name=own,
        columns=len(values),
        total=total,
        least=float(values.min()),
        greatest=float(values.max()),
        mean=float(values.mean()),
        deviation=deviation,
        active=float((values > INACTIVE).mean()),
        entropy=float(-(shares * np.log2(shares)).sum()),
        outliers=float(above.mean()),
        similarity=_cosine(values, before),
    )


def _cosine(one: Floats, other: Floats | None) -> float | None:
    if other is None or one.shape != other.shape:
        return None
    lengths = float(np.linalg.norm(one) * np.linalg.norm(other))
    return float(one @ other) / lengths if lengths else 0.0
