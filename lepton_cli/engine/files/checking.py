"""Whether a model file is whole: its structure, the values of its tensors, its hashes.

The file is read once, front to back: while one thread hashes, the others look for values that are
not numbers. A damaged scale makes whole blocks so; in quantized formats nothing else can.
"""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import numpy as np

from lepton_cli.engine.files.manifest import Manifest, metadata_digest
from lepton_cli.engine.files.pieces import (
    Piece,
    Progress,
    no_progress,
    on_all_cores,
    pieces_of,
)
from lepton_cli.engine.library.stores import shard_paths
from quant.bits import Floats
from quant.errors import ModelFileError
from quant.format import dequantize
from quant.gguf import GGUF, Tensor

PLAIN_FLOATS = {"F64": np.dtype("<f8")}  # no weights, but numbers that may be none


@dataclass(frozen=True, slots=True)
class Fault:
    """What is wrong. `position`: a byte of the file `path`, where there is one.

    `cure`: what helps, where it is not to get the file again.
    """

    path: str
    what: str
    tensor: str | None = None
    position: int | None = None
    cure: str | None = None


@dataclass(frozen=True, slots=True)
class CheckedFile:
    """One file of the model; a model of several parts has several."""

    path: str
    bytes: int
    sha256: str
    expected: str | None = None  # the hash by which it is known elsewhere
    source: str | None = None  # what knows that hash


@dataclass(frozen=True, slots=True)
class Verified:
    """What was checked. `manifest`: the hashes found, if they were wanted."""

    files: tuple[CheckedFile, ...]
    tensors: int
    faults: tuple[Fault, ...]
    manifest: Manifest | None = None


class _NonFinite(NamedTuple):
    """Values of a piece that are not finite numbers, and the place of the first."""

    piece: Piece
    nans: int
    infinities: int
    first: int | None  # weight of the tensor


def verify(
    path: Path,
    known: Mapping[Path, tuple[str, str]],
    against: Manifest | None = None,
    *,
    hashes: bool = False,
    progress: Progress = no_progress,
) -> Verified:
    """Checks a file, or all parts of a split one.

    `known`: of a file, the sha256 that it should have, and what says so. `hashes`: whether a
    manifest is wanted in the result; with `against` it always is. Raises UsageError for a file
    that cannot be read; what is wrong with it is in the result.
    """
    missing = [part for part in shard_paths(path) if not part.exists()]
    if missing and missing[0] != path:
        gone = (Fault(str(part), "this part of the model is missing") for part in missing)
        return Verified((), 0, tuple(gone))
    try:
        file = GGUF.open(path)
    except ModelFileError as error:
        what = error.message.removeprefix(f"{path}: ")
        return Verified((), 0, (Fault(str(path), what, cure=error.hint),))
    reading = _Reading(file, known, progress, hashes=hashes or against is not None)
    values = tuple(_value_faults(file, reading))
    manifest = reading.manifest()
    faults = (
        *_layout_faults(file),
        *values,
        *_hash_faults(reading.files),
        *(_differences(path, against, manifest) if against and manifest else ()),
    )
    return Verified(tuple(reading.files), len(file.tensors), faults, manifest)


class _Reading:
    """Gives the pieces of all tensors in the order of the files, and hashes what it passes."""

    def __init__(
        self,
        file: GGUF,
        known: Mapping[Path, tuple[str, str]],
        progress: Progress,
        *,
        hashes: bool,
    ) -> None:
        self._file, self._known, self._progress = file, known, progress
        self._hashes, self._done = hashes, 0
        self.files: list[CheckedFile] = []
        self.tensor_digests: dict[str, str] = {}

    def pieces(self) -> Iterator[Piece]:
        for shard in range(len(self._file.maps)):
            yield from self._of_shard(shard, _in_order(self._file, shard))

    def manifest(self) -> Manifest | None:
        """The hashes of metadata and tensors; None if they were not wanted."""
        if not self._hashes:
            return None
        return Manifest(metadata_digest(self._file.metadata), self.tensor_digests)

    def _of_shard(self, shard: int, tensors: Sequence[Tensor]) -> Iterator[Piece]:
        whole, at = hashlib.sha256(), 0
        view = memoryview(self._file.maps[shard])
        for tensor in tensors:
            alone = hashlib.sha256(f"{tensor.format.name} {tensor.shape}\n".encode())
            for piece in pieces_of(tensor):
                end = tensor.start + piece.start + piece.data.size
                whole.update(view[at:end])
                if self._hashes:
                    alone.update(view[end - piece.data.size : end])
                self._advance(end - at)
                at = end
                yield piece
            if self._hashes:
                self.tensor_digests[tensor.name] = alone.hexdigest()
        whole.update(view[at:])
        self._advance(len(view) - at)
        path = self._file.paths[shard]
        expected, source = self._known.get(path, (None, None))
        self.files.append(CheckedFile(str(path), len(view), whole.hexdigest(), expected, source))

    def _advance(self, count: int) -> None:
        self._done += count
        self._progress(self._done, self._file.file_bytes)


def _in_order(file: GGUF, shard: int) -> list[Tensor]:
    """The tensors of one file as they lie in it."""
    own = (tensor for tensor in file.tensors.values() if tensor.shard == shard)
    return sorted(own, key=lambda tensor: tensor.start)


def _layout_faults(file: GGUF) -> Iterator[Fault]:
    """Gaps, another order than that of the names, and bytes behind the end.

    Readers that map a file, as Lepton's, do not mind; llama.cpp refuses the first two.
    """
    for shard, (path, alignment) in enumerate(zip(file.paths, file.alignments, strict=True)):
        named = [tensor for tensor in file.tensors.values() if tensor.shard == shard]
        for before, after in pairwise(named):
            end = before.start + -(-before.data.nbytes // alignment) * alignment
            if after.start != end:
                what = f"begins at byte {after.start}, not behind {before.name} at {end}"
                yield Fault(str(path), what, after.name, after.start)
        if named:
            last = max(named, key=lambda tensor: tensor.start)
            end = last.start + -(-last.data.nbytes // alignment) * alignment
            extra = file.stamps[shard].bytes - end
            if extra > 0:
                yield Fault(str(path), f"{extra} bytes follow the last tensor", None, end)


def _value_faults(file: GGUF, reading: _Reading) -> Iterator[Fault]:
    """One for each tensor with values that are not finite."""
    found: dict[str, list[_NonFinite]] = {}
    for one in on_all_cores(_non_finite, reading.pieces()):
        if one.first is not None:
            found.setdefault(one.piece.tensor.name, []).append(one)
    for name, several in found.items():
        tensor, first = several[0].piece.tensor, several[0].first
        assert first is not None
        counts = (
            (sum(one.nans for one in several), "NaN"),
            (sum(one.infinities for one in several), "Inf"),
        )
        row, column = divmod(first, tensor.shape[-1])
        bad = " and ".join(f"{count} {kind}" for count, kind in counts if count)
        what = f"holds {bad}"
        what += f" among {tensor.size} values, the first in row {row}, column {column}"
        kind = tensor.format
        position = tensor.start + first // kind.block_size * kind.block_bytes
        yield Fault(str(file.paths[tensor.shard]), what, name, position)


def _non_finite(piece: Piece) -> _NonFinite:
    values = _values(piece)
    bad = None if values is None else ~np.isfinite(values)
    if values is None or bad is None or not bad.any():
        return _NonFinite(piece, 0, 0, None)
    nans = int(np.isnan(values).sum())
    first = piece.first_weight + int(bad.argmax())
    return _NonFinite(piece, nans, int(bad.sum()) - nans, first)


def _values(piece: Piece) -> Floats | None:
    kind = piece.tensor.format
    if kind.name in PLAIN_FLOATS:
        return piece.data.view(PLAIN_FLOATS[kind.name])
    return dequantize(kind, piece.data) if kind.dequantize else None


def _hash_faults(files: Sequence[CheckedFile]) -> Iterator[Fault]:
    for file in files:
        if file.expected is not None and file.expected != file.sha256:
            what = f"its sha256 is {file.sha256}, but {file.expected} by {file.source}"
            yield Fault(file.path, what)


def _differences(path: Path, wanted: Manifest, found: Manifest) -> Iterator[Fault]:
    """What differs from the manifest."""
    if wanted.metadata != found.metadata:
        yield Fault(str(path), "the metadata are not those of the manifest")
    for name, digest in wanted.tensors.items():
        if name not in found.tensors:
            yield Fault(str(path), "is in the manifest, not in the file", name)
        elif digest != found.tensors[name]:
            yield Fault(str(path), "its data are not those of the manifest", name)
    for name in found.tensors:
        if name not in wanted.tensors:
            yield Fault(str(path), "is in the file, not in the manifest", name)
