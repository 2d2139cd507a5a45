"""Splits a model into shards and merges them, as llama-gguf-split does.

The first shard has the model's keys; each says which one it is, of how many, and how many tensors
all have. Only the sizes of tensors count for a shard's size.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from lepton_cli.engine.files.writing import SPLIT, Output, copied, info_of, own_keys
from lepton_cli.engine.library.sizes import gigabytes
from lepton_cli.engine.library.stores import shard_name
from quant.errors import UsageError
from quant.gguf import GGUF, Tensor
from quant.gguf_writer import Header, TensorInfo, number

MOST_TENSORS = 128  # of a shard where nothing else is asked for, as llama-gguf-split
MOST_SHARDS = 500  # each is an open file until all are written


@dataclass(frozen=True, slots=True)
class Largest:
    """How large a shard may be: in bytes of tensors, or in tensors.

    `empty_first`: whether the first one has keys alone.
    """

    size: int | None = None
    tensors: int = MOST_TENSORS
    empty_first: bool = False


def split_outputs(file: GGUF, prefix: Path, largest: Largest) -> list[Output]:
    """The files `<prefix>-00001-of-0000N.gguf`. Raises UsageError if a tensor is too large."""
    groups = list(_grouped(file, largest))
    if len(groups) > MOST_SHARDS:
        message = f"that would be {len(groups)} parts; the limit is {MOST_SHARDS}"
        raise UsageError(message, "allow larger ones, or more tensors in each")
    keys = own_keys(file)
    outputs = []
    for index, group in enumerate(groups):
        pairs = (keys if index == 0 else {}) | {
            "split.no": number(index, "<u2"),
            "split.count": number(len(groups), "<u2"),
            "split.tensors.count": number(len(file.tensors), "<i4"),
        }
        name = shard_name(prefix.name, index + 1, len(groups))
        outputs.append(_copy(file, prefix.with_name(name), pairs, group))
    return outputs


def merged_output(file: GGUF, path: Path) -> Output:
    """All shards in one file. Raises UsageError for a model that is not split."""
    if not any(key.startswith(SPLIT) for key in file.metadata):
        raise UsageError(f"{file.path} is not split", "give the first part of a split model")
    return _copy(file, path, own_keys(file), file.tensors.values())


def _copy(file: GGUF, path: Path, pairs: dict[str, bytes], tensors: Iterable[Tensor]) -> Output:
    def data(info: TensorInfo) -> Iterator[bytes | memoryview]:
        return copied(file.tensors[info.name])

    return Output(path, Header(pairs, [info_of(each) for each in tensors], file.version), data)


def _grouped(file: GGUF, largest: Largest) -> Iterator[Sequence[Tensor]]:
    """The tensors of each shard, in the file's order."""
    if largest.empty_first:
        yield []
    group: list[Tensor] = []
    size, alignment = 0, file.alignments[0]
    for tensor in file.tensors.values():
        count = -(-tensor.data.nbytes // alignment) * alignment
        if largest.size is not None and count > largest.size:
            message = f"the tensor {tensor.name} has {gigabytes(count)}, more than a part may have"
            raise UsageError(message, f"allow at least {-(-count // 1_000_000)}M")
        full = (
            len(group) == largest.tensors if largest.size is None else size + count > largest.size
        )
        if full:
            yield group
            group, size = [], 0
        group.append(tensor)
        size += count
    yield group
