"""The safetensors container, memory-mapped.

u64 length | header: JSON {name: {"dtype", "shape", "data_offsets": [begin, end]}} | data

Offsets count from the first byte of the data. The tensors' bytes fill it without gaps or overlaps.
"""

import json
import mmap
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from math import prod
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

from quant.bits import Bytes, Floats
from quant.errors import ModelFileError, UsageError
from quant.format import FORMATS, dequantize
from quant.other_formats import HEAD_BYTES, describe

MAX_HEADER = 100_000_000  # bytes, as the format's specification says
MAX_DIMENSIONS = 8
AGAIN = "the file is damaged or incomplete: download it again"
FLOATS = ("F32", "F16", "BF16")  # which GGUF has under the same names
OTHERS: Mapping[str, np.dtype[Any]] = MappingProxyType(
    {
        "F64": np.dtype("<f8"),
        "I64": np.dtype("<i8"),
        "I32": np.dtype("<i4"),
        "I16": np.dtype("<i2"),
        "I8": np.dtype("i1"),
        "U8": np.dtype("u1"),
        "BOOL": np.dtype("?"),
    }
)


@dataclass(frozen=True, slots=True, eq=False)
class RawTensor:
    """A tensor as stored. `data`: a row for each of the first dimension."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    data: Bytes  # (rows, bytes per row)

    def floats(self, start: int = 0, stop: int | None = None) -> Floats:  # (rows, ...)
        """The values of some rows."""
        rows = self.data[start:stop]
        shape = len(rows), *self.shape[1:]
        if self.dtype in FLOATS:
            return dequantize(FORMATS[self.dtype], rows).reshape(shape)
        return rows.view(OTHERS[self.dtype]).astype(np.float32).reshape(shape)

    def columns(self, start: int, stop: int) -> Floats:  # (rows, stop - start)
        """The values of some columns of a matrix."""
        rows, width = self.shape
        size = self.data.shape[1] // width
        data = np.ascontiguousarray(self.data[:, start * size : stop * size])
        return RawTensor(self.name, self.dtype, (rows, stop - start), data).floats()


def read(path: Path) -> dict[str, RawTensor]:
    """Maps a file. Raises UsageError, ModelFileError."""
    buffer = _map(path)
    length = int.from_bytes(buffer[:8], "little")
    if len(buffer) < 8 or buffer[8:9] != b"{":
        what, hint = describe(path, buffer[:HEAD_BYTES])
        raise ModelFileError(f"{path}: {what.replace('GGUF', 'safetensors')}", hint)
    if length > min(MAX_HEADER, len(buffer) - 8):
        message = f"{path}: its header has {length} bytes, the file {len(buffer)}"
        raise ModelFileError(message, AGAIN)
    try:
        header = json.loads(buffer[8 : 8 + length])
        entries = dict(_entries(header))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ModelFileError(f"{path}: its header cannot be read ({error})", AGAIN) from error
    _check_places(path, entries, len(buffer) - 8 - length)
    return {name: _tensor(path, buffer, 8 + length, name, entries[name]) for name in entries}


@dataclass(frozen=True, slots=True)
class _Entry:
    dtype: str
    shape: tuple[int, ...]
    begin: int
    end: int


def _entries(header: Any) -> Iterator[tuple[str, _Entry]]:
    """Raises ValueError, KeyError, TypeError, AttributeError for what is no header."""
    for name, entry in header.items():
        if name == "__metadata__":
            continue
        shape, (begin, end) = tuple(entry["shape"]), entry["data_offsets"]
        numbers = (*shape, begin, end)
        if not all(type(number) is int and number >= 0 for number in numbers):
            raise ValueError(f"{name} has the numbers {numbers}")
        if len(shape) > MAX_DIMENSIONS:
            raise ValueError(f"{name} has {len(shape)} dimensions")
        yield name, _Entry(str(entry["dtype"]), shape, begin, end)


def _check_places(path: Path, entries: Mapping[str, _Entry], size: int) -> None:
    places = sorted((each.begin, each.end, name) for name, each in entries.items())
    for begin, end, name in places:
        if not begin <= end <= size:
            message = f"{path}: the tensor {name} ends at byte {end} of the data, which has {size}"
            raise ModelFileError(message, AGAIN)
    for (_, end, before), (begin, _, name) in pairwise(places):
        if begin < end:
            raise ModelFileError(f"{path}: the tensors {before} and {name} overlap", AGAIN)


def _tensor(path: Path, buffer: mmap.mmap, base: int, name: str, entry: _Entry) -> RawTensor:
    width = 4 if entry.dtype == "F32" else 2
    if entry.dtype not in FLOATS:
        if entry.dtype not in OTHERS:
            known = ", ".join((*FLOATS, *OTHERS))
            message = f"{path}: the tensor {name} has the type {entry.dtype}"
            raise ModelFileError(message, f"convert the unquantized model; known types: {known}")
        width = OTHERS[entry.dtype].itemsize
    size = prod(entry.shape) * width
    if not size or size != entry.end - entry.begin:
        message = f"{path}: the tensor {name} has {entry.end - entry.begin} bytes"
        raise ModelFileError(f"{message}; its shape {entry.shape} needs {size}", AGAIN)
    data = np.frombuffer(buffer, np.uint8, size, base + entry.begin)
    rows = entry.shape[0] if entry.shape else 1
    return RawTensor(name, entry.dtype, entry.shape, data.reshape(rows, -1))


def _map(path: Path) -> mmap.mmap:
    try:
        with path.open("rb") as file:
            return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    except ValueError as error:  # mmap raises this for an empty file
        raise ModelFileError(f"{path}: the file is empty", AGAIN) from error
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}", "check the path and its rights") from error
