"""An importance matrix: sums of squares of what enters each weight, over the tokens of a text."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lepton_cli.engine.library.sizes import counted
from quant.errors import UsageError
from quant.gguf import GGUF

Sums = NDArray[np.float64]
OTHER_MODEL = "it was made of another model: make one of this, with lepton imatrix"


@dataclass(frozen=True, slots=True)
class Entry:
    """Of one weight: `sums` (experts, columns), and of how many rows each, `counts` (experts,)."""

    sums: Sums
    counts: Sums

    def of_experts(self, experts: int) -> "Entry":
        """The same, of a .dat file, which holds the columns of all experts in one row."""
        if len(self.counts) > 1 or self.sums.size % experts:
            return self
        return Entry(self.sums.reshape(experts, -1), np.repeat(self.counts, experts))

    @property
    def means(self) -> NDArray[np.float32]:  # (experts, columns)
        """The importance of each column. All columns of an expert that was never chosen count 1."""
        used = self.counts[:, None] > 0
        means = np.where(used, self.sums / np.where(used, self.counts[:, None], 1), 1)
        return means.astype(np.float32)


@dataclass(frozen=True, slots=True)
class Progress:
    """Which run goes on with a matrix, and how many of its windows are in it."""

    run: str
    done: int

    def __str__(self) -> str:
        return f"{self.run}:{self.done}"

    @classmethod
    def parsed(cls, text: str) -> "Progress | None":
        run, _, done = text.rpartition(":")
        return cls(run, int(done)) if run and done.isascii() and done.isdigit() else None


@dataclass(frozen=True, slots=True)
class ImportanceMatrix:
    """Entries by the weight's name; of `chunks` windows of `chunk_size` tokens of some texts."""

    entries: Mapping[str, Entry]
    datasets: tuple[str, ...] = ()
    chunks: int = 0
    chunk_size: int = 0
    progress: Progress | None = None

    def check_model(self, file: GGUF, path: str) -> None:
        """Raises UsageError, naming the file at `path`, if this is of another model."""
        for name, entry in self.entries.items():
            tensor = file.tensors.get(name)
            if tensor is None:
                raise UsageError(f"{path}: {file.path} has no weight {name}", OTHER_MODEL)
            wanted = tensor.experts, tensor.shape[-1]
            if entry.of_experts(wanted[0]).sums.shape != wanted:
                found = _described(*entry.sums.shape)
                message = f"{path}: {name} has {found}, in {file.path} {_described(*wanted)}"
                raise UsageError(message, OTHER_MODEL)


def merged(matrices: Sequence[tuple[str, ImportanceMatrix]]) -> ImportanceMatrix:
    """Several, with the names of their files. Raises UsageError if their entries differ in size."""
    entries = dict[str, Entry]()
    for path, matrix in matrices:
        for name, entry in matrix.entries.items():
            entries[name] = _sum(path, name, entries[name], entry) if name in entries else entry
    found = [matrix for _, matrix in matrices]
    names = dict.fromkeys(name for matrix in found for name in matrix.datasets)
    sizes = [matrix.chunk_size for matrix in found if matrix.chunk_size]
    return ImportanceMatrix(
        entries, tuple(names), sum(matrix.chunks for matrix in found), sizes[-1] if sizes else 0
    )


def _sum(path: str, name: str, before: Entry, entry: Entry) -> Entry:
    """Of an entry and of the same in the file at `path`."""
    experts = max(len(before.counts), len(entry.counts))
    one, other = before.of_experts(experts), entry.of_experts(experts)
    if one.sums.shape != other.sums.shape:
        here, there = _described(*entry.sums.shape), _described(*before.sums.shape)
        message = f"{path}: {name} has {here}, in the files before it {there}"
        raise UsageError(message, "merge matrices of one model")
    return Entry(one.sums + other.sums, one.counts + other.counts)


def _described(experts: int, columns: int) -> str:
    of = f"{counted(experts, 'expert')} of " if experts > 1 else ""
    return f"{of}{counted(columns, 'column')}"
