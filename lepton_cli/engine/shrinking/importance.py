"""Importance of columns, from a file of `lepton imatrix` or llama-imatrix: GGUF, or the older .dat.

GGUF   per weight <name>.in_sum2 f32 (experts, columns) and <name>.counts f32 (experts, 1)
.dat   i32 entries | per entry: i32 n | name n | i32 calls | i32 m | f32 (m,) |
       i32 chunks | i32 n | name of the text n       (the last line may be missing)
"""

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from quant.bits import Floats
from quant.errors import ModelFileError, UsageError
from quant.gguf import GGUF, MAGIC
from quant.strings import Strings

SUMS, COUNTS = ".in_sum2", ".counts"
HINT = "give a file that lepton imatrix or llama-imatrix wrote"
MAX_NAME = 1 << 10  # bytes; GGUF allows 64


@dataclass(frozen=True, slots=True)
class Importance:
    """The mean square of each weight's inputs, (experts, columns) f32 by the weight's name."""

    path: str
    entries: Mapping[str, Floats]
    dataset: str = ""
    chunks: int = 0

    def of(self, name: str, experts: int, columns: int) -> Floats | None:
        """None if the weight has none. Raises UsageError for one of another size."""
        found = self.entries.get(name)
        if found is None or found.size == experts * columns:
            return None if found is None else found.reshape(experts, columns)
        if name == "token_embd.weight":  # older tools collected something else under this name
            return None
        message = f"{self.path}: {name} has {found.size} columns, the model {experts * columns}"
        raise UsageError(message, "this importance matrix is of another model: make one of this")


def read_importance(path: Path) -> Importance:
    """Raises UsageError for a file that cannot be read, ModelFileError for a damaged one."""
    try:
        with path.open("rb") as file:
            is_gguf = file.read(len(MAGIC)) == MAGIC
            found = None if is_gguf else _read_dat(path, file.read())
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}", HINT) from error
    found = found or _read_gguf(path)
    for name, values in found.entries.items():
        if not np.isfinite(values).all():
            raise ModelFileError(f"{path}: {name} holds values that are not finite", HINT)
    return found


def _read_gguf(path: Path) -> Importance:
    file = GGUF.open(path)
    if file.metadata.get("general.type") != "imatrix":
        raise UsageError(f"{path}: not an importance matrix", HINT)
    entries = {}
    for name, sums in file.tensors.items():
        counts = file.tensors.get(name.removesuffix(SUMS) + COUNTS)
        if name.endswith(SUMS) and counts is not None:
            count = counts.data.view("<f4").reshape(-1, 1)
            values = sums.data.view("<f4").reshape(len(count), -1)
            entries[name.removesuffix(SUMS)] = _means(values, count)
    datasets = file.metadata.get("imatrix.datasets")
    names = list(datasets) if isinstance(datasets, Strings) else []
    dataset = names[0].decode("utf-8", "replace") if names else ""
    return Importance(str(path), entries, dataset, file.metadata.integer("imatrix.chunk_count", 0))


def _means(sums: Floats, counts: Floats) -> Floats:
    """An expert that no token chose counts alike in all columns."""
    used = counts > 0
    return np.where(used, sums / np.where(used, counts, 1), np.float32(1)).astype(np.float32)


class _Dat:
    """Reads numbers and names one after the other."""

    def __init__(self, path: Path, raw: bytes) -> None:
        self.path, self._raw, self._at = path, raw, 0

    @property
    def at_end(self) -> bool:
        return self._at >= len(self._raw)

    def take(self, size: int) -> bytes:
        if not 0 <= size <= len(self._raw) - self._at:
            raise UsageError(f"{self.path}: not an importance matrix, or cut short", HINT)
        self._at += size
        return self._raw[self._at - size : self._at]

    def integer(self) -> int:
        return int(struct.unpack("<i", self.take(4))[0])

    def text(self) -> str:
        return self.take(min(self.integer(), MAX_NAME)).decode("utf-8", "replace")


def _read_dat(path: Path, rest: bytes) -> Importance:
    with path.open("rb") as file:
        dat = _Dat(path, file.read(len(MAGIC)) + rest)
    entries = dict[str, Floats]()
    for _ in range(dat.integer()):
        name, calls, size = dat.text(), dat.integer(), dat.integer()
        values = np.frombuffer(dat.take(4 * size), "<f4")
        entries[name] = np.divide(values, np.float32(max(calls, 1)), dtype=np.float32)[None]
    if dat.at_end:
        return Importance(str(path), entries)
    chunks = dat.integer()
    return Importance(str(path), entries, dat.text(), chunks)
