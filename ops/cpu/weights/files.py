"""Packed weights on disk, which later starts map in place of packing them again.

A mapped file needs no packing and no new memory: its pages are those of the system's file cache,
and processes share them. A file's name is a digest of all that its bytes depend on. It never
changes: it appears whole (see ops.files.whole_files) and is removed whole. Files that others could
have written are ignored (see ops.files.own_files). A header page comes first, padded with zeros:

    | LEPTONPW | crc32 of the page's rest | u64 bytes of weights | u16 length | model, UTF-8 |
"""

import mmap
import os
import shutil
import struct
import threading
import time
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ops.compiled.kernel_folder import HINT
from ops.files.cache_files import make_room, used_and_size
from ops.files.own_files import check_own_folder, open_own, own_folder, private_folder
from ops.files.whole_files import DRAFT, is_being_written, remove_if_unlocked, replace_file
from quant.errors import UsageError

Memory = NDArray[np.uint8]

MAGIC, SUFFIX = b"LEPTONPW", ".weights"
PAGE = 4096
CHECKED = struct.Struct("<8sI")  # the magic, and the checksum of the rest of the page
FIELDS = struct.Struct("<QH")  # bytes of weights, and of the name
MAX_NAME = 255  # bytes
LEAST = 64 << 20
"""Bytes that are worth a file: as many are packed in 20 ms."""
FREE_SHARE = 4  # at most 1/FREE_SHARE of the free disk space is used
SLICE = 16 << 20  # bytes that are written at once
ONE_AT_A_TIME = threading.Lock()  # for a model, its adapters and its draft model


@dataclass(frozen=True, slots=True)
class KeptFile:
    """The weights of a model. `used`: seconds since 1970."""

    model: str
    bytes: int
    used: float


class WeightFiles:
    """A folder of packed weights. What cannot be read or written only costs time."""

    def __init__(self, folder: Path, limit: int, least: int = LEAST) -> None:
        """`limit` is in bytes, for all files together; fewer bytes than `least` are not kept."""
        self.folder, self._limit, self._least = folder, limit, least
        self._writers: list[threading.Thread] = []
        self._stop = threading.Event()
        self.failure: str | None = None  # why the last weights could not be kept, and a hint

    @classmethod
    def of(cls, folder: Path, limit: int) -> "WeightFiles | None":
        """None where nothing may be kept."""
        return cls(folder, limit) if limit else None

    def find(self, key: str, size: int) -> Memory | None:
        """The weights that were kept under this key, mapped."""
        if not self._may_keep(size):
            return None
        path = self.folder / f"{key}{SUFFIX}"
        try:
            own_folder(self.folder)
            with open(open_own(path), "rb") as file:
                if _read_head(file.read(PAGE), os.fstat(file.fileno()).st_size, size) is None:
                    return None
                mapped = mmap.mmap(file.fileno(), PAGE + size, access=mmap.ACCESS_READ)
                os.utime(file.fileno() if os.utime in os.supports_fd else path)
        except (OSError, ValueError, UsageError):  # not there, or written by others
            return None
        return np.frombuffer(mapped, np.uint8)[PAGE:]

    def keep(self, key: str, model: str, memory: Memory) -> None:
        """Begins to write weights to disk, beside whatever else the process does."""
        if self._may_keep(len(memory)):
            name = "lepton-keeps-weights"
            arguments = self.folder / f"{key}{SUFFIX}", model, memory
            writer = threading.Thread(target=self._write, args=arguments, name=name, daemon=True)
            self._writers.append(writer)
            writer.start()

    def finish(self, seconds: float | None = None) -> bool:
        """Waits until everything is written, for so long at most; returns whether it is.

        An interrupt gives the rest up.
        """
        end = None if seconds is None else time.monotonic() + seconds
        try:
            for writer in self._writers:
                writer.join(None if end is None else max(0.0, end - time.monotonic()))
        except BaseException:
            self._stop.set()
            raise
        return not any(writer.is_alive() for writer in self._writers)

    def stop(self) -> None:
        """Gives up what is not written yet."""
        self._stop.set()
        self.finish()

    def _may_keep(self, size: int) -> bool:
        return self._least <= size <= self._limit - PAGE

    def _write(self, path: Path, model: str, memory: Memory) -> None:
        """One file at a time, so that the next one finds what the limit leaves."""
        with ONE_AT_A_TIME:
            self._write_alone(path, model, memory)

    def _write_alone(self, path: Path, model: str, memory: Memory) -> None:
        try:
            folder = private_folder(self.folder)
            if is_being_written(path):
                return
            make_room(_files(folder), self._limit - PAGE - len(memory))
            if len(memory) > _free(folder):
                return
            path.unlink(missing_ok=True)  # a link, or a file that others can write, is not kept
            with replace_file(path, 0o600) as file:
                file.write(_head(model, len(memory)))
                for start in range(0, len(memory), SLICE):
                    if self._stop.is_set():
                        raise _GivenUpError
                    file.write(memory[start : start + SLICE].data)
        except _GivenUpError:
            return
        except (OSError, UsageError) as error:
            self.failure = _why_not(self.folder, error)


class _GivenUpError(Exception):
    """Ends a draft."""


def kept_files(folder: Path) -> list[KeptFile]:
    """What is kept, the most recently used first.

    Raises ForeignFileError if others could have written it.
    """
    check_own_folder(folder)
    found = []
    for path in _files(folder):
        used, size = used_and_size(path)
        try:
            with open(open_own(path), "rb") as file:
                model = _read_head(file.read(PAGE), size, size - PAGE)
        except (OSError, UsageError):
            continue
        if model is not None:
            found.append(KeptFile(model, size, used))
    return sorted(found, key=lambda kept: -kept.used)


def clear_kept(folder: Path) -> int:
    """Removes everything; returns the number of bytes freed. Raises as `kept_files`."""
    check_own_folder(folder)
    return make_room(_files(folder), 0)


def _files(folder: Path) -> Sequence[Path]:
    """Those of the weights; drafts of killed processes are removed."""
    try:
        paths = list(folder.iterdir())
    except OSError:
        return []
    for path in paths:
        if path.suffix == DRAFT:
            remove_if_unlocked(path)
    return [path for path in paths if path.suffix == SUFFIX]


def _free(folder: Path) -> int:
    return shutil.disk_usage(folder).free // FREE_SHARE


def _head(model: str, size: int) -> bytes:
    name = model.encode(errors="replace")[:MAX_NAME]
    rest = (FIELDS.pack(size, len(name)) + name).ljust(PAGE - CHECKED.size, b"\0")
    return CHECKED.pack(MAGIC, zlib.crc32(rest)) + rest


def _read_head(page: bytes, file_bytes: int, size: int) -> str | None:
    """The model's name; None if the page is damaged, or the file not of this size."""
    if len(page) < PAGE or CHECKED.unpack_from(page) != (MAGIC, zlib.crc32(page[CHECKED.size :])):
        return None
    written, length = FIELDS.unpack_from(page, CHECKED.size)
    if written != size or file_bytes != PAGE + size:
        return None
    start = CHECKED.size + FIELDS.size
    return page[start : start + length].decode(errors="replace")


def _why_not(folder: Path, error: OSError | UsageError) -> str:
    if isinstance(error, UsageError):
        return f"packed weights cannot be kept: {error.message}; {error.hint}"
    off = "--weight-cache 0"
    return f"packed weights cannot be kept in {folder}: {error.strerror}; {HINT}, or {off}"
