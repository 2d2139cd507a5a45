"""A model file with parts left out: its keys and tensors, and each tensor's new bytes."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from lepton_cli.engine.files.blocks import moved_up, split_name
from lepton_cli.engine.files.writing import own_keys
from lepton_cli.engine.pruning.cuts import Cut
from lepton_cli.engine.pruning.sparsity import SparseTensors
from lepton_cli.models.keys import Keys
from ops.operations.attention import Attention
from ops.program import Program
from quant.errors import UsageError
from quant.gguf import GGUF, Tensor
from quant.gguf_writer import Header, TensorInfo, number, numbers

Indices = NDArray[np.int64]
Removed = Mapping[int, Indices]  # by axis: what is left out of a tensor


@dataclass(frozen=True, slots=True)
class Edit:
    """What is left out: whole layers, and of cuts these units."""

    layers: frozenset[int] = frozenset()
    units: Mapping[Cut, Indices] = field(default_factory=dict)

    def removed(self) -> dict[str, dict[int, Indices]]:
        """What is left out of each tensor that stays, by axis."""
        found = dict[str, dict[int, Indices]]()
        for cut, units in self.units.items():
            for piece in cut.pieces:
                own = (piece.first + units[:, None] * piece.each + np.arange(piece.each)).ravel()
                axes = found.setdefault(piece.tensor, {})
                axes[piece.axis] = np.union1d(axes.get(piece.axis, own), own)
        return found


@dataclass(frozen=True)
class Edited:
    """A file as an edit leaves it. `program`: recorded of the file."""

    file: GGUF
    program: Program
    edit: Edit
    sparse: SparseTensors | None = None

    @cached_property
    def removed(self) -> Mapping[str, Removed]:
        """What is left out of each tensor that stays."""
        return self.edit.removed()

    @cached_property
    def sources(self) -> Mapping[str, Tensor]:
        """The tensors that stay, by their new names."""
        dropped = self.edit.layers
        return {
            moved_up(name, dropped): tensor
            for name, tensor in self.file.tensors.items()
            if split_name(name)[0] not in dropped
        }

    def header(self) -> Header:
        """Raises UsageError where a row would lose parts of blocks."""
        stored = own_keys(self.file)
        values = {key: self.file.metadata[key] for key in self._list_keys()}
        lists = {key: numbers(self._of_kept(np.asarray(value))) for key, value in values.items()}
        infos = [
            TensorInfo(name, tensor.format, self._shape(tensor))
            for name, tensor in self.sources.items()
        ]
        return Header({**stored, **lists, **self._counts()}, infos)

    def data(self, info: TensorInfo) -> Iterator[memoryview]:
        """The bytes of a tensor of the header."""
        tensor = self.sources[info.name]
        if self.sparse is not None and tensor.name in self.sparse.names:
            assert tensor.name not in self.removed, "its sums are of all columns"
            yield from self.sparse.data(tensor)
            return
        left = cut_out(tensor, self.removed.get(tensor.name, {}))
        yield np.ascontiguousarray(left).data.cast("B")

    def _shape(self, tensor: Tensor) -> tuple[int, ...]:
        removed, size = self.removed.get(tensor.name, {}), tensor.format.block_size
        columns = removed.get(len(tensor.shape) - 1)
        if columns is not None and len(np.unique(columns // size)) * size != len(columns):
            message = f"{tensor.name} would lose parts of its {tensor.format.name} blocks of {size}"
            raise UsageError(message, "prune the F16 or BF16 model, and quantize the result")
        lengths = enumerate(tensor.shape)
        return tuple(length - len(removed.get(axis, ())) for axis, length in lengths)

    def _list_keys(self) -> list[str]:
        """The keys that hold a number for each block, if some blocks leave."""
        keys = Keys(self.file.metadata)
        blocks = keys.integer("block_count")
        return [
            key
            for key, value in self.file.metadata.items()
            if self.edit.layers and isinstance(value, np.ndarray) and len(value) == blocks
            if not key.startswith(("tokenizer.", "general.", keys.name("rope.")))
        ]

    def _of_kept(self, values: NDArray[np.generic]) -> NDArray[np.generic]:
        return np.delete(values, sorted(self.edit.layers))

    def _counts(self) -> dict[str, bytes]:
        """The keys that say how many layers, channels, heads and experts there are."""
        keys = Keys(self.file.metadata)
        counts = {}
        if self.edit.layers:
            blocks = keys.integer("block_count")
            counts[keys.name("block_count")] = number(blocks - len(self.edit.layers))
        for key, value in self._new_numbers(keys).items():
            counts[keys.name(key)] = self._stored(keys, key, value)
        return counts

    def _stored(self, keys: Keys, key: str, by_layer: Mapping[int, int]) -> bytes:
        """One number if all blocks agree, else a list."""
        blocks = keys.integer("block_count")
        values = [by_layer.get(n, keys.at(key, n, 0)) for n in range(blocks)]
        kept = self._of_kept(np.array(values, np.int32))
        touched = {by_layer[n] for n in by_layer if n not in self.edit.layers}
        listed = isinstance(self.file.metadata.get(keys.name(key)), np.ndarray)
        listed = listed or len(touched) > 1
        return numbers(kept) if listed else number(touched.pop())

    def _new_numbers(self, keys: Keys) -> dict[str, dict[int, int]]:
        found = dict[str, dict[int, int]]()
        for cut, units in self.edit.units.items():
            left = cut.units - len(units)
            for key, old in cut.numbers.items():
                found.setdefault(key, {})[cut.layer] = old // cut.units * left
        fewer_heads = any(cut.kind == "heads" for cut in self.edit.units)
        for op in self.program.operations if fewer_heads else ():
            if isinstance(op, Attention):
                defaults = {
                    "attention.key_length": op.heads.head_width,
                    "attention.value_length": op.heads.values,
                    "rope.dimension_count": op.heads.head_width,
                }
                for key, value in defaults.items():
                    if key not in keys and op.layer is not None:
                        found.setdefault(key, {})[op.layer] = value
        return found


def cut_out(tensor: Tensor, removed: Removed) -> NDArray[np.uint8]:
    """The bytes of a tensor without what is removed, which are rows or whole blocks of them."""
    last = len(tensor.shape) - 1
    data = tensor.data.reshape(*tensor.shape[:-1], -1)
    for axis, indices in removed.items():
        if axis != last:
            data = np.delete(data, indices, axis)
    if last not in removed:
        return data
    blocks = np.unique(removed[last] // tensor.format.block_size)
    whole = data.reshape(*data.shape[:-1], -1, tensor.format.block_bytes)
    return np.delete(whole, blocks, -2).reshape(*data.shape[:-1], -1)


def silenced(tensor: Tensor, columns: Indices) -> NDArray[np.uint8]:  # (rows, row bytes)
    """The rows of a tensor with zeros in some columns, which are whole blocks of its rows."""
    size = tensor.format.block_size
    data = tensor.data.reshape(len(tensor.data), -1, tensor.format.block_bytes).copy()
    data[:, np.unique(columns // size)] = 0  # every format's zero bytes are zero weights
    return data.reshape(tensor.data.shape)
