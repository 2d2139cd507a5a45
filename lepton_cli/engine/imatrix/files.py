"""Files of importance matrices, as llama-imatrix writes them: GGUF, or the older .dat.

GGUF   per weight <name>.in_sum2 f32 (experts, columns) and <name>.counts f32 (experts, 1)
.dat   i32 entries | per entry: i32 n | name n | i32 calls | i32 m | f32 (m,), means times calls
       i32 chunks | i32 n | name of the text n          (the last line may be missing)
"""

import struct
from pathlib import Path
from typing import BinaryIO, Literal

import numpy as np
from numpy.typing import NDArray

from lepton_cli.engine.imatrix.matrix import Entry, ImportanceMatrix, Progress, Sums
from lepton_cli.engine.library.outputs import whole_file
from quant.errors import ModelFileError, UsageError
from quant.format import FORMATS
from quant.gguf import GGUF, MAGIC
from quant.gguf_writer import Header, TensorInfo, number, text, texts, write
from quant.strings import Strings

Layout = Literal["gguf", "dat"]

SUMS, COUNTS = ".in_sum2", ".counts"
PROGRESS = "lepton.imatrix.progress"
HINT = "give a file that lepton imatrix or llama-imatrix wrote"
USUAL_CHUNK = 512  # of a .dat, which does not name it


def layout_of(path: Path) -> Layout:
    """By the suffix."""
    return "dat" if path.suffix == ".dat" else "gguf"


def read_matrix(path: Path) -> ImportanceMatrix:
    """Raises UsageError for another file, ModelFileError for a damaged one."""
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}", HINT) from error
    found = _of_gguf(path) if raw.startswith(MAGIC) else _Dat(path, raw).matrix()
    for name, entry in found.entries.items():
        if not (np.isfinite(entry.sums).all() and np.isfinite(entry.counts).all()):
            raise ModelFileError(f"{path}: {name} holds values that are not finite", HINT)
    return found


def write_matrix(path: Path, matrix: ImportanceMatrix, layout: Layout = "gguf") -> None:
    """Replaces the file as a whole. Raises LeptonError."""
    with whole_file(path) as file:
        if layout == "dat":
            _write_dat(file, matrix)
        else:
            _write_gguf(file, matrix)


def _of_gguf(path: Path) -> ImportanceMatrix:
    file = GGUF.open(path)
    if file.metadata.get("general.type") != "imatrix":
        raise UsageError(f"{path}: not an importance matrix", HINT)
    entries = {}
    for name, sums in file.tensors.items():
        weight = name.removesuffix(SUMS)
        counts = file.tensors.get(weight + COUNTS)
        if weight == name or counts is None:
            continue
        if (
            counts.size == 0
            or sums.size % counts.size
            or {sums.format.name, counts.format.name} != {"F32"}
        ):
            raise ModelFileError(
                f"{path}: {weight} has {sums.size} sums, {counts.size} counts", HINT
            )
        rows = counts.data.view("<f4").ravel().astype(np.float64)
        entries[weight] = Entry(_floats(sums.data).reshape(len(rows), -1), rows)
    datasets = file.metadata.get("imatrix.datasets")
    names = datasets if isinstance(datasets, Strings) else ()
    return ImportanceMatrix(
        entries,
        tuple(name.decode("utf-8", "replace") for name in names),
        file.metadata.integer("imatrix.chunk_count", 0),
        file.metadata.integer("imatrix.chunk_size", 0),
        Progress.parsed(file.metadata.string(PROGRESS, "")),
    )


def _write_gguf(file: BinaryIO, matrix: ImportanceMatrix) -> None:
    pairs = {
        "general.type": text("imatrix"),
        "imatrix.datasets": texts(matrix.datasets),
        "imatrix.chunk_count": number(matrix.chunks),
        "imatrix.chunk_size": number(matrix.chunk_size),
    }
    if matrix.progress is not None:
        pairs[PROGRESS] = text(str(matrix.progress))
    arrays = {}
    for name, entry in sorted(matrix.entries.items()):
        arrays[name + SUMS] = entry.sums
        arrays[name + COUNTS] = entry.counts[:, None]
    infos = [TensorInfo(name, FORMATS["F32"], array.shape) for name, array in arrays.items()]
    write(file, Header(pairs, infos), lambda info: [arrays[info.name].astype("<f4").tobytes()])


def _write_dat(file: BinaryIO, matrix: ImportanceMatrix) -> None:
    """An expert that was never chosen has ones, as there."""
    file.write(struct.pack("<i", len(matrix.entries)))
    for name, entry in sorted(matrix.entries.items()):
        calls = matrix.chunks
        values = entry.means.ravel() * np.float32(max(calls, 1))
        file.write(_name(name) + struct.pack("<ii", calls, values.size))
        file.write(values.astype("<f4").tobytes())
    file.write(struct.pack("<i", matrix.chunks) + _name(", ".join(matrix.datasets)))


def _name(name: str) -> bytes:
    raw = name.encode()
    return struct.pack("<i", len(raw)) + raw


class _Dat:
    """Reads numbers and names one after the other."""

    def __init__(self, path: Path, raw: bytes) -> None:
        self.path, self._raw, self._at = path, raw, 0

    def matrix(self) -> ImportanceMatrix:
        """Its entries are means: each counts as the rows of its chunks."""
        entries = dict[str, Entry]()
        count = self._integer()
        for _ in range(count):
            name, calls, size = self._text(), self._integer(), self._integer()
            means = _floats(self._take(4 * size)) / max(calls, 1)
            rows = float(max(calls, 1) * USUAL_CHUNK)
            entries[name] = Entry(means[None] * rows, np.array([rows]))
        if count < 1:
            raise self._foreign()
        if self._at == len(self._raw):
            return ImportanceMatrix(entries, (), 0, USUAL_CHUNK)
        chunks, dataset = self._integer(), self._text()
        return ImportanceMatrix(entries, (dataset,) if dataset else (), chunks, USUAL_CHUNK)

    def _integer(self) -> int:
        return int(struct.unpack("<i", self._take(4))[0])

    def _text(self) -> str:
        return self._take(self._integer()).decode("utf-8", "replace")

    def _take(self, size: int) -> bytes:
        if not 0 <= size <= len(self._raw) - self._at:
            raise self._foreign()
        self._at += size
        return self._raw[self._at - size : self._at]

    def _foreign(self) -> UsageError:
        return UsageError(f"{self.path}: not an importance matrix, or cut short", HINT)


def _floats(raw: bytes | NDArray[np.uint8]) -> Sums:
    return np.frombuffer(raw, "<f4").astype(np.float64)
