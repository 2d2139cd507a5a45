"""Merges low-rank adapters into a model's weights: W + s B A, in the types that the model has."""

from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

from lepton_cli.engine.files.encoding import check_values
from lepton_cli.engine.files.pieces import PIECE
from lepton_cli.engine.files.writing import Output, copied, own_keys
from lepton_cli.engine.loading.adapters import BoundAdapters
from lepton_cli.models.adapters import Lora, Pair
from lepton_cli.models.weights import Weights
from ops.encoding.encoder import ENCODED, NEEDING_IMPORTANCE, Encoder, Rows
from quant.bits import Floats
from quant.errors import UsageError
from quant.format import FORMATS, Format, dequantize
from quant.gguf import GGUF
from quant.gguf_writer import Header, Piece, TensorInfo
from quant.weights import Weight


def merged_adapters(
    file: GGUF, adapters: BoundAdapters, path: Path, kind: Format | None, encoder: Encoder
) -> Output:
    """The model with its adapters merged. `kind`: of the tensors that change; None: as they are.

    Raises UsageError for a type that cannot be written, or whose blocks do not fill a row.
    """
    weights, changed = Weights(file), adapters.adapted

    def info(name: str) -> TensorInfo:
        tensor = file.tensors[name]
        wanted = kind if kind is not None and name in changed else tensor.format
        if name in changed:
            _check(name, wanted, tensor.shape[-1])
        return TensorInfo(name, wanted, tensor.shape)

    def data(info: TensorInfo) -> Iterable[Piece]:
        if info.name not in changed:
            return copied(file.tensors[info.name])
        weight, pairs = weights.weight(info.name), changed[info.name]
        parts = _merged(weight, pairs)
        return (_encoded(weight, info.format, values, encoder) for values in parts)

    return Output(path, Header(own_keys(file), [*map(info, file.tensors)], file.version), data)


def _check(name: str, kind: Format, width: int) -> None:
    hint = "choose another type for what changes, like --type Q4_K or F16"
    if kind.name not in ENCODED and kind.name != "F32":
        raise UsageError(f"{name} would be {kind.name}, which nothing writes", hint)
    if kind.name in NEEDING_IMPORTANCE:
        message = f"{name} would be {kind.name}, which loses too much without an importance matrix"
        raise UsageError(message, hint)
    if width % kind.block_size:
        message = f"the rows of {name} have {width} weights, which do not fill {kind.name} blocks"
        raise UsageError(message, "use --type F16")


def _merged(weight: Weight, pairs: Iterable[tuple[Lora, Pair]]) -> Iterator[Floats]:
    """The tensor's values, some rows at a time."""
    step = max(1, PIECE // weight.columns)
    for expert in range(weight.experts):
        matrix = weight.matrix(expert)
        for start in range(0, matrix.rows, step):
            stop = min(start + step, matrix.rows)
            values = dequantize(matrix.format, matrix.data[start:stop])
            for lora, pair in pairs:
                values = values + pair.added(lora.scale, expert, start, stop)
            yield values


def _encoded(weight: Weight, kind: Format, values: Floats, encoder: Encoder) -> Piece:
    """Raises LeptonError for values that are not finite, or too large for the format."""
    check_values(weight.name, kind, values)
    rows = Rows(weight.name, FORMATS["F32"], weight.columns, values.view(np.uint8))
    return encoder.encode(kind, rows).reshape(-1).data
