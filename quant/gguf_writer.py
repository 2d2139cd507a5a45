"""Writes GGUF files (layout: see quant.gguf): keys first, then tensors one after the other.

A key's value is kept as the bytes that the file holds, its type first, so that keys of another file
are copied unchanged (`Metadata.stored`). Tensors are written in pieces, so that a file larger than
memory can be written:

    header = Header({"general.architecture": text("llama")}, [TensorInfo("w", F32, (2, 3))])
    with replace_file(path) as file:
        write(file, header, lambda info: [values[info.name].data])
"""

import struct
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from quant.format import Format, row_bytes
from quant.gguf import ARRAY, MAGIC, SCALARS, STRING, Metadata

VERSION = 3
DEFAULT_ALIGNMENT = 32
ALIGNMENT_KEY = "general.alignment"
KINDS: Mapping[str, int] = {dtype.str: kind for kind, dtype in SCALARS.items()}

Piece = bytes | memoryview
"""A stretch of a tensor's bytes."""


@dataclass(frozen=True, slots=True)
class TensorInfo:
    """A tensor of a file to be written. `shape` is in NumPy's order, slowest dimension first."""

    name: str
    format: Format
    shape: tuple[int, ...]

    @property
    def bytes(self) -> int:
        """Raises ModelFileError unless a row fills whole blocks."""
        width = row_bytes(self.format, self.shape[-1])
        return width * int(np.prod(self.shape[:-1], dtype=np.int64))


@dataclass(frozen=True, slots=True)
class Header:
    """All of a file but its tensors' data: `pairs` are keys with values as stored."""

    pairs: Mapping[str, bytes]
    tensors: Sequence[TensorInfo]
    version: int = VERSION

    @property
    def alignment(self) -> int:
        """Bytes; each tensor begins at a multiple."""
        stored = self.pairs.get(ALIGNMENT_KEY)
        return int(struct.unpack("<I", stored[4:])[0]) if stored else DEFAULT_ALIGNMENT

    @property
    def file_bytes(self) -> int:
        head = self._with_padding(sum(map(len, self._parts())))
        return head + sum(self._padded(info.bytes) for info in self.tensors)

    def encode(self) -> bytes:
        """The file up to the first tensor's data."""
        raw = b"".join(self._parts())
        return raw.ljust(self._with_padding(len(raw)), b"\0")

    def _parts(self) -> list[bytes]:
        parts = [MAGIC, struct.pack("<IQQ", self.version, len(self.tensors), len(self.pairs))]
        for key, value in self.pairs.items():
            parts += [_string(key.encode()), value]
        offset = 0
        for info in self.tensors:
            shape = struct.pack(f"<I{len(info.shape)}Q", len(info.shape), *info.shape[::-1])
            parts += [
                _string(info.name.encode()),
                shape,
                struct.pack("<IQ", info.format.id, offset),
            ]
            offset += self._padded(info.bytes)
        return parts

    def _with_padding(self, size: int) -> int:
        """Of the head; without tensors nothing follows it."""
        return self._padded(size) if self.tensors else size

    def padding(self, info: TensorInfo) -> bytes:
        """What follows a tensor's data."""
        return bytes(self._padded(info.bytes) - info.bytes)

    def _padded(self, size: int) -> int:
        return -(-size // self.alignment) * self.alignment


def write(file: BinaryIO, header: Header, data: Callable[[TensorInfo], Iterable[Piece]]) -> None:
    """Writes a whole file. `data` gives the bytes of a tensor, in as many pieces as it likes.

    Only one piece is in memory at a time. Raises OSError.
    """
    file.write(header.encode())
    for info in header.tensors:
        written = 0
        for piece in data(info):
            written += file.write(piece)
        assert written == info.bytes, f"{written} bytes of {info.name}, not {info.bytes}"
        file.write(header.padding(info))


def copied_pairs(metadata: Metadata) -> dict[str, bytes]:
    """All keys of an open file, as stored in it."""
    return {key: metadata.stored(key) for key in metadata}


def text(value: str | bytes) -> bytes:
    """A string as a key's stored value; as are those below."""
    return struct.pack("<I", STRING) + _string(value.encode() if isinstance(value, str) else value)


def number(value: int | float | bool, kind: str = "<u4") -> bytes:
    """A scalar; `kind` is one of NumPy's names in `SCALARS`: "<u4", "<f4", "|b1", ..."""
    return struct.pack("<I", KINDS[kind]) + np.array(value, kind).tobytes()


def texts(values: Sequence[str | bytes]) -> bytes:
    """An array of strings."""
    raw = (value.encode() if isinstance(value, str) else value for value in values)
    return struct.pack("<IIQ", ARRAY, STRING, len(values)) + b"".join(map(_string, raw))


def numbers(values: NDArray[Any]) -> bytes:
    """An array of scalars, of a type in `SCALARS`."""
    little = values.astype(values.dtype.newbyteorder("<"), copy=False)
    return struct.pack("<IIQ", ARRAY, KINDS[little.dtype.str], values.size) + little.tobytes()


def _string(raw: bytes) -> bytes:
    return struct.pack("<Q", len(raw)) + raw
