"""A table of what an importance matrix says of weights and layers, as llama-imatrix prints it."""

from collections.abc import Sequence

from lepton_cli.engine.imatrix.statistics import WeightStatistics, layer_statistics
from lepton_cli.ui.reports.numbers import columns

WEIGHTS = (
    *("layer", "weight", "sum", "min", "max", "mean", "deviation", "active", "columns"),
    *("entropy", "of most", "outliers", "similarity"),
)
LAYERS = ("layer", "sum", "outliers", "similarity")


def importance_table(weights: Sequence[WeightStatistics]) -> str:
    """Of the mean squares of columns; below it the means of each layer's weights."""
    rows = [
        (
            _number(each.layer),
            each.name,
            *(f"{value:.4f}" for value in (each.total, each.least, each.greatest, each.mean)),
            f"{each.deviation:.4f}",
            _percent(each.active),
            str(each.columns),
            f"{each.entropy:.4f}",
            _percent(each.normalized_entropy),
            _percent(each.outliers),
            _similarity(each.similarity),
        )
        for each in weights
    ]
    layers = [
        (
            _number(each.layer),
            f"{each.total:.4f}",
            _percent(each.outliers),
            _similarity(each.similarity),
        )
        for each in layer_statistics(weights)
    ]
    right = range(2, len(WEIGHTS))
    of_weights = columns([WEIGHTS, *rows], right=(0, *right))
    return f"{of_weights}\n{columns([LAYERS, *layers], right=range(len(LAYERS)))}"


def _number(layer: int | None) -> str:
    return "-" if layer is None else str(layer)


def _percent(share: float) -> str:
    return f"{100 * share:.2f} %"


def _similarity(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"
