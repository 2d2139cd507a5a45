"""Merges low-rank adapters into a model's weights: W + s B A, in the types that the model has."""

from collections.abc import Iterable, Iterator
from pathlib import Path

from lepton_cli.engine.files.encoding import encoded
from lepton_cli.engine.files.pieces import PIECE
from lepton_cli.engine.files.writing import Output, copied, own_keys
from lepton_cli.engine.loading.adapters import BoundAdapters
from lepton_cli.models.adapters import Lora, Pair
from lepton_cli.models.weights import Weights
from quant.errors import UsageError
from quant.format import FORMATS, Format, dequantize
from quant.gguf import GGUF
from quant.gguf_writer import Header, Piece, TensorInfo
from quant.weights import Weight


def merged_adapters(file: GGUF, adapters: BoundAdapters, path: Path, kind: Format | None) -> Output:
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
        return _merged(weights.weight(info.name), info.format, changed[info.name])

    return Output(path, Header(own_keys(file), [*map(info, file.tensors)], file.version), data)


def _check(name: str, kind: Format, width: int) -> None:
    if kind.quantize is None:
        writable = ", ".join(each.name for each in FORMATS.values() if each.quantize)
        message = f"the tensor {name} is {kind.name}, into which Lepton cannot merge"
        raise UsageError(message, f"choose another type for what changes: --type {writable}")
    if width % kind.block_size:
        message = f"the rows of {name} have {width} weights, which do not fill {kind.name} blocks"
        raise UsageError(message, "use --type F16")


def _merged(weight: Weight, kind: Format, pairs: Iterable[tuple[Lora, Pair]]) -> Iterator[Piece]:
    """The tensor's bytes, some rows at a time."""
    step = max(1, PIECE // weight.columns)
    for expert in range(weight.experts):
        matrix = weight.matrix(expert)
        for start in range(0, matrix.rows, step):
            stop = min(start + step, matrix.rows)
            values = dequantize(matrix.format, matrix.data[start:stop])
            for lora, pair in pairs:
                values = values + pair.added(lora.scale, expert, start, stop)
            yield encoded(weight.name, kind, values).data
