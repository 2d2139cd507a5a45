"""An importance matrix as it guides the encoding of a model's tensors."""

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from lepton_cli.engine.imatrix.files import read_matrix
from lepton_cli.engine.imatrix.matrix import OTHER_MODEL, ImportanceMatrix
from lepton_cli.engine.library.sizes import counted
from quant.bits import Floats
from quant.errors import UsageError
from quant.gguf import GGUF, Tensor
from quant.gguf_writer import number, text


@dataclass(frozen=True, slots=True)
class Importance:
    """`path`: as it was named, which the file that is written repeats."""

    path: str
    matrix: ImportanceMatrix

    @classmethod
    def read(cls, path: str) -> "Importance":
        """Raises UsageError for another file, ModelFileError for a damaged one."""
        return cls(path, read_matrix(Path(path)))

    def of(self, tensor: Tensor) -> Floats | None:
        """(experts, columns); None if it has none. Raises UsageError for one of another size."""
        entry = self.matrix.entries.get(tensor.name)
        if entry is None:
            return None
        experts, columns = int(np.prod(tensor.shape[:-2], dtype=np.int64)), tensor.shape[-1]
        found = entry.of_experts(experts).means
        if found.shape == (experts, columns):
            return found
        if tensor.name == "token_embd.weight":  # older tools collected something else for it
            return None
        message = f"{self.path}: {tensor.name} has {found.size} columns"
        raise UsageError(f"{message}, the model {experts * columns}", OTHER_MODEL)

    def check_model(self, file: GGUF, encoded: Collection[str]) -> None:
        """Raises UsageError if it is of another model, of whose tensors these are to be encoded.

        One that has most of them may have others, too: of another conversion of the model.
        """
        entries = self.matrix.entries.keys()
        has = sum(name in entries for name in encoded)
        if entries.isdisjoint(file.tensors):
            raise UsageError(f"{self.path} has no tensor of {file.path}", OTHER_MODEL)
        if 2 * has < len(encoded) and not entries <= file.tensors.keys():
            message = f"{self.path} has {has} of the {counted(len(encoded), 'tensor')}"
            raise UsageError(f"{message} of {file.path}, and others", OTHER_MODEL)

    def pairs(self) -> dict[str, bytes]:
        """The keys that tell of it, as stored."""
        matrix = self.matrix
        pairs = {"quantize.imatrix.file": text(self.path)}
        if matrix.datasets:
            pairs["quantize.imatrix.dataset"] = text(matrix.datasets[0])
        pairs["quantize.imatrix.entries_count"] = number(len(matrix.entries))
        if matrix.chunks > 0:
            pairs["quantize.imatrix.chunks_count"] = number(matrix.chunks)
        return pairs
