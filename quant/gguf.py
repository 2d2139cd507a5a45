"""The GGUF container, versions 2 and 3: memory-mapped; string arrays are split on first use.

header   'GGUF' | u32 version | u64 tensors | u64 pairs
pairs    key string | u32 value type | value            (string = u64 length, bytes)
infos    name string | u32 n | n x u64 dimensions, fastest first | u32 format | u64 offset
data     from the next multiple of `general.alignment`; a tensor's offset counts from here
"""

import errno
import mmap
import os
import re
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from quant.errors import ModelFileError, OutOfMemoryError, UsageError
from quant.format import DAMAGED, Format, format_by_id, row_bytes
from quant.other_formats import GET_MODEL, HEAD_BYTES, describe
from quant.strings import LENGTH_BYTES, Strings, find_starts

MAGIC = b"GGUF"
STRING, ARRAY = 8, 9
SCALARS: Mapping[int, np.dtype[Any]] = {
    0: np.dtype("u1"),
    1: np.dtype("i1"),
    2: np.dtype("<u2"),
    3: np.dtype("<i2"),
    4: np.dtype("<u4"),
    5: np.dtype("<i4"),
    6: np.dtype("<f4"),
    7: np.dtype("?"),
    10: np.dtype("<u8"),
    11: np.dtype("<i8"),
    12: np.dtype("<f8"),
}
# Limits well above all real files, so that a malicious one cannot cost much. The largest have 0.8
# million strings in arrays, 10 MB of other text (a whole tokenizer.json), a few thousand tensors.
MAX_PAIRS, MAX_TENSORS, MAX_DIMENSIONS = 1 << 16, 1 << 16, 4
MAX_STRINGS = 1 << 22  # in all arrays together
MAX_TEXT = 1 << 26  # bytes, all names and string values together
MAX_NAME = (1 << 16) - 1  # bytes, as the format's specification says
MAX_INTEGERS = 1 << 16  # in an array that is converted to Python integers
CUT_SHORT = f"the download was cut short: fetch it again; {GET_MODEL}"
SHARD = re.compile(r"(?P<prefix>.*)-(?P<number>\d{5})-of-(?P<count>\d{5})\.gguf")


Value = int | float | bool | str | NDArray[np.generic] | Strings


class Metadata(Mapping[str, Value]):
    """A file's key-value pairs. The typed getters raise ModelFileError naming file and key."""

    def __init__(
        self, path: Path, pairs: Mapping[str, Value], stored: Mapping[str, memoryview] | None = None
    ) -> None:
        """`stored`: each value's bytes in the file, its type first."""
        self.path, self._pairs, self._stored = path, pairs, stored or {}

    def __getitem__(self, key: str) -> Value:
        return self._pairs[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._pairs)

    def __len__(self) -> int:
        return len(self._pairs)

    def stored(self, key: str) -> bytes:
        """The value's bytes in the file, its type (u32) first: what a copy of the key holds."""
        return bytes(self._stored[key])

    def integer(self, key: str, default: int | None = None) -> int:
        value = self._required(key, default)
        if isinstance(value, bool) or not isinstance(value, int):
            raise self._wrong(key, "an integer", value)
        return value

    def number(self, key: str, default: float | None = None) -> float:
        value = self._required(key, default)
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise self._wrong(key, "a number", value)
        return float(value)

    def boolean(self, key: str, default: bool | None = None) -> bool:
        value = self._required(key, default)
        if not isinstance(value, bool):
            raise self._wrong(key, "true or false", value)
        return value

    def string(self, key: str, default: str | None = None) -> str:
        value = self._required(key, default)
        if not isinstance(value, str):
            raise self._wrong(key, "a string", value)
        return value

    def integers(self, key: str) -> list[int]:
        """The key's integers; a scalar counts as an array of one."""
        value = self._required(key, None)
        if isinstance(value, np.ndarray) and value.dtype.kind in "biu":
            self.check_length(key, MAX_INTEGERS)
            return [int(item) for item in value]
        return [self.integer(key)]

    def check_length(self, key: str, most: int) -> None:
        """Raises ModelFileError for an array of more than `most` items."""
        value = self._pairs[key]
        if not isinstance(value, str | int | float) and len(value) > most:
            message = f"{self.path}: the key {key} holds {len(value)} items"
            raise ModelFileError(f"{message}; the limit is {most}", DAMAGED)

    def _required(self, key: str, default: Value | None) -> Value:
        value = self._pairs.get(key, default)
        if value is None:
            raise ModelFileError(f"{self.path}: the key {key} is missing", "the file is incomplete")
        return value

    def _wrong(self, key: str, wanted: str, value: Value) -> ModelFileError:
        shown = repr(value) if isinstance(value, str | int | float) else "an array"
        return ModelFileError(f"{self.path}: the key {key} should be {wanted}, not {shown:.60}")


@dataclass(frozen=True, slots=True, eq=False)
class Tensor:
    """A tensor's view of the mapped file. `shape` is in NumPy's order, slowest dimension first."""

    name: str
    format: Format
    shape: tuple[int, ...]
    data: NDArray[np.uint8]  # (rows, bytes per row), read-only
    start: int = 0  # of the data, in bytes from the beginning of its file
    shard: int = 0  # which of the model's files that is

    @property
    def size(self) -> int:
        """The number of weights."""
        return int(np.prod(self.shape, dtype=np.int64))

    @property
    def experts(self) -> int:
        """How many matrices it holds: one for each expert."""
        return self.shape[0] if len(self.shape) == 3 else 1


class CutShortError(ModelFileError):
    """The file ends before its header or its last tensor does."""


class Stamp(NamedTuple):
    """What the file system tells of a version of a file; times in nanoseconds since 1970."""

    inode: int
    bytes: int
    modified: int
    changed: int  # of the inode, too: no program can set it


class GGUF:
    """An open model file: its metadata, and the tensors of all its shards."""

    def __init__(self, path: Path, version: int, metadata: Metadata) -> None:
        self.path, self.version, self.metadata = path, version, metadata
        self.stamps: list[Stamp] = []  # of each shard, when it was mapped
        self.maps: list[mmap.mmap] = []  # of each shard
        self.paths: list[Path] = []  # of each shard
        self.alignments: list[int] = []  # of the tensors of each shard, in bytes
        self.tensors: dict[str, Tensor] = {}

    @property
    def file_bytes(self) -> int:
        """Of all shards together."""
        return sum(stamp.bytes for stamp in self.stamps)

    @classmethod
    def open(cls, path: str | Path) -> "GGUF":
        """Maps the file and, if it is the first of several shards, the others.

        Raises UsageError when it cannot be read, ModelFileError when it is damaged or unsupported.
        """
        path = Path(path)
        reader = _Reader(path)
        file = cls(path, reader.version, reader.metadata)
        file._add(reader)
        for other in _other_shards(path, reader.metadata):
            shard = _Reader(other)
            _check_shard(shard.metadata, len(file.maps), reader.metadata)
            file._add(shard)
        expected = file.metadata.integer("split.tensors.count", len(file.tensors))
        if expected != len(file.tensors):
            message = f"{path}: the shards hold {len(file.tensors)} tensors, not {expected}"
            raise ModelFileError(message, "a shard belongs to another model")
        return file

    @staticmethod
    def check_header(path: Path) -> None:
        """Raises CutShortError for the beginning of a file that has not all of its header.

        Raises ModelFileError when it is damaged or unsupported.
        """
        _Reader(path).infos()

    @staticmethod
    def check_end(path: Path) -> None:
        """Raises CutShortError for a file, or a shard, that ends before its last tensor does.

        Raises ModelFileError when it is damaged or unsupported.
        """
        for _ in _Reader(path).tensors(0):
            pass

    def _add(self, reader: "_Reader") -> None:
        for tensor in reader.tensors(len(self.maps)):
            if tensor.name in self.tensors:
                raise ModelFileError(f"{reader.path}: the tensor {tensor.name} occurs twice")
            self.tensors[tensor.name] = tensor
        self.stamps.append(reader.stamp)
        self.maps.append(reader.buffer)
        self.paths.append(reader.path)
        self.alignments.append(reader.alignment)


def _other_shards(path: Path, metadata: Metadata) -> list[Path]:
    count = metadata.integer("split.count", 1)
    if count <= 1:
        return []
    match = SHARD.fullmatch(path.name)
    if match is None or int(match["count"]) != count:
        message = f"{path}: one of {count} shards, but not named like NAME-00001-of-{count:05}.gguf"
        raise ModelFileError(message, "give the shards their original names")
    names = [f"{match['prefix']}-{n:05}-of-{count:05}.gguf" for n in range(1, count + 1)]
    if metadata.integer("split.no", 0) != 0:
        raise ModelFileError(f"{path}: not the first shard", f"open {names[0]}")
    return [path.with_name(name) for name in names[1:]]


def _check_shard(metadata: Metadata, number: int, first: Metadata) -> None:
    """Raises ModelFileError if a file's keys say that it is another shard, or of another model."""
    for key, wanted in (
        ("split.no", number),
        ("split.count", first.integer("split.count")),
        ("split.tensors.count", first.get("split.tensors.count")),
    ):
        if metadata.get(key, wanted) != wanted:
            message = f"{metadata.path}: its {key} is {metadata[key]}, not {wanted}"
            raise ModelFileError(message, "a shard belongs to another model, or was renamed")


def _map(path: Path) -> tuple[mmap.mmap, Stamp]:
    try:
        if path.is_dir():
            raise UsageError(f"{path}: is a directory", "give the path of a .gguf file in it")
        with path.open("rb") as file:
            mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
            status = os.fstat(file.fileno())
            times = status.st_mtime_ns, status.st_ctime_ns
            return mapped, Stamp(status.st_ino, len(mapped), *times)
    except ValueError as error:  # mmap raises this for an empty file
        raise ModelFileError(
            f"{path}: the file is empty", f"fetch it again; {GET_MODEL}"
        ) from error
    except OSError as error:
        if error.errno == errno.ENOMEM:
            message = f"{path}: no memory to map its {path.stat().st_size / 1e6:.1f} MB"
            raise OutOfMemoryError(message, "use a smaller model, or raise ulimit -v") from error
        raise UsageError(
            f"{path}: {error.strerror}", "check the path and its permissions"
        ) from error


class _Info(NamedTuple):
    """A tensor's entry in the header; `offset` counts from the start of the data section."""

    name: str
    format: Format
    shape: tuple[int, ...]
    offset: int


class _Reader:
    """Parses one file's header; every read is checked against the file's size."""

    def __init__(self, path: Path) -> None:
        self.path, self._at = path, 0
        self.buffer, self.stamp = _map(path)
        self._text_bytes = self._string_count = 0
        self.version = self._version()
        self._tensor_count = self._count("tensors", MAX_TENSORS)
        pairs = self._count("key-value pairs", MAX_PAIRS)
        self._stored: dict[str, memoryview] = {}
        self.metadata = Metadata(path, self._pairs(pairs), self._stored)
        self.alignment = self.metadata.integer("general.alignment", 32)
        if self.alignment <= 0 or self.alignment & (self.alignment - 1):
            raise self._damaged(f"general.alignment is {self.alignment}, not a power of two")

    def infos(self) -> list["_Info"]:
        """The rest of the header. Raises ModelFileError."""
        return [self._info() for _ in range(self._tensor_count)]

    def tensors(self, shard: int) -> Iterator[Tensor]:
        infos = self.infos()
        start = -(-self._at // self.alignment) * self.alignment
        ends: list[tuple[int, int, str]] = []
        for name, kind, shape, offset in infos:
            tensor = self._tensor(name, kind, shape, start + offset, shard)
            ends.append((offset, offset + tensor.data.nbytes, name))
            yield tensor
        for (_, end, before), (begin, _, name) in pairwise(sorted(ends)):
            if begin < end:  # else a tiny file could claim many large layers over the same bytes
                raise self._damaged(f"the tensors {before} and {name} overlap", DAMAGED)

    def _version(self) -> int:
        magic = self.buffer[:4]
        if magic != MAGIC:
            what, hint = describe(self.path, self.buffer[:HEAD_BYTES])
            raise ModelFileError(f"{self.path}: {what}", hint)
        self._at = 4
        version = self._integer("<I", "the version")
        if version & 0xFFFF == 0:
            raise ModelFileError(f"{self.path}: a big-endian file", "convert it to little-endian")
        if version not in (2, 3):
            raise ModelFileError(
                f"{self.path}: GGUF version {version}; versions 2 and 3 are supported"
            )
        return version

    def _pairs(self, count: int) -> dict[str, Value]:
        pairs: dict[str, Value] = {}
        for _ in range(count):
            key = self._name("a key")
            if key in pairs:
                raise self._damaged(f"the key {key} occurs twice")
            start = self._at
            pairs[key] = self._value(key, self._integer("<I", f"the type of {key}"))
            self._stored[key] = memoryview(self.buffer)[start : self._at]
        return pairs

    def _value(self, key: str, kind: int) -> Value:
        if kind == STRING:
            return self._string(f"the key {key}").decode("utf-8", "replace")
        if kind == ARRAY:
            return self._array(key)
        if kind not in SCALARS:
            raise self._damaged(f"the key {key} has the unknown value type {kind}")
        dtype = SCALARS[kind]
        at = self._skip(dtype.itemsize, f"the key {key}")
        value: int | float | bool = np.frombuffer(self.buffer, dtype, 1, at)[0].item()
        return value

    def _array(self, key: str) -> NDArray[np.generic] | Strings:
        kind = self._integer("<I", f"the key {key}")
        count = self._integer("<Q", f"the key {key}")
        if kind == STRING:
            return self._strings(key, count)
        if kind not in SCALARS:
            raise self._damaged(f"the key {key} is an array of the unsupported value type {kind}")
        at = self._skip(count * SCALARS[kind].itemsize, f"the key {key}")
        return np.frombuffer(self.buffer, SCALARS[kind], count, at)

    def _strings(self, key: str, count: int) -> Strings:
        if count * LENGTH_BYTES > len(self.buffer) - self._at:
            raise self._truncated(f"the key {key}")
        self._string_count += count
        if self._string_count > MAX_STRINGS:
            message = f"it holds {self._string_count} strings up to the key {key}"
            raise self._damaged(f"{message}; the limit is {MAX_STRINGS}", DAMAGED)
        starts = find_starts(self.buffer, self._at, count)
        if starts is None:
            raise self._truncated(f"the key {key}")
        self._at = int(starts[-1])
        return Strings(self.buffer, starts)

    def _info(self) -> "_Info":
        name = self._name("a tensor's name")
        dimensions = self._integer("<I", f"the tensor {name}")
        if not 1 <= dimensions <= MAX_DIMENSIONS:
            raise self._damaged(f"the tensor {name} has {dimensions} dimensions")
        shape = tuple(self._integer("<Q", f"the tensor {name}") for _ in range(dimensions))[::-1]
        try:
            kind = format_by_id(self._integer("<I", f"the tensor {name}"))
        except ModelFileError as error:
            raise self._damaged(f"the tensor {name}: {error.message}", error.hint) from error
        return _Info(name, kind, shape, self._integer("<Q", f"the tensor {name}"))

    def _tensor(
        self, name: str, kind: Format, shape: tuple[int, ...], start: int, shard: int
    ) -> Tensor:
        try:
            width = row_bytes(kind, shape[-1])
        except ModelFileError as error:
            raise self._damaged(f"the tensor {name}: {error.message}", error.hint) from error
        rows = 1
        for dimension in shape[:-1]:
            rows *= dimension
        if not rows * width:
            raise self._damaged(f"the tensor {name} is empty: its shape is {shape}")
        if start + rows * width > len(self.buffer):
            message = f"the tensor {name} ends at byte {start + rows * width}"
            message += f", the file at {len(self.buffer)}"
            raise CutShortError(f"{self.path}: {message}", CUT_SHORT)
        if start % self.alignment:
            raise self._damaged(f"the tensor {name} is not aligned to {self.alignment} bytes")
        data = np.frombuffer(self.buffer, np.uint8, rows * width, start).reshape(rows, width)
        return Tensor(name, kind, shape, data, start, shard)

    def _name(self, what: str) -> str:
        raw = self._string(what)
        if len(raw) > MAX_NAME:
            raise self._damaged(f"{what} has {len(raw)} bytes; the limit is {MAX_NAME}")
        try:
            return raw.decode("utf-8")
        except UnicodeDecodeError as error:
            raise self._damaged(f"{what} is not UTF-8: {raw[:40]!r}") from error

    def _string(self, what: str) -> bytes:
        length = self._integer("<Q", what)
        at = self._skip(length, what)
        self._text_bytes += length
        if self._text_bytes > MAX_TEXT:
            message = f"it holds {self._text_bytes} bytes of text up to {what}"
            raise self._damaged(f"{message}; the limit is {MAX_TEXT}", DAMAGED)
        return self.buffer[at : at + length]

    def _count(self, what: str, limit: int) -> int:
        count = self._integer("<Q", f"the number of {what}")
        if count > limit:
            raise self._damaged(f"it claims {count} {what}; the limit is {limit}")
        return count

    def _integer(self, layout: str, what: str) -> int:
        at = self._skip(struct.calcsize(layout), what)
        value: int = struct.unpack_from(layout, self.buffer, at)[0]
        return value

    def _skip(self, size: int, what: str) -> int:
        at = self._at
        if at + size > len(self.buffer):
            raise self._truncated(what)
        self._at = at + size
        return at

    def _truncated(self, what: str) -> ModelFileError:
        return CutShortError(f"{self.path}: it ends inside {what}", CUT_SHORT)

    def _damaged(self, message: str, hint: str | None = None) -> ModelFileError:
        return ModelFileError(f"{self.path}: {message}", hint)
