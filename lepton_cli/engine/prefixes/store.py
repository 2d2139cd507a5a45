"""The prompt cache on disk: K and V in blocks of 256 tokens, found by their token ids.

The blocks form a tree: a file's name has digests of all tokens before the block and of the block's
own, so prompts with a common prefix share files, and of a block that differs later the common part
is used. The folder is named after the key: a digest of everything else that the bytes depend on.

    <root>/<key>/<before>-<own>.kv       digests of 16 bytes in hexadecimal
    <root>/<key>/<before>-<own>.state    of recurrent layers, after these very tokens

A prefix of a model with recurrent layers ends where there is a state, and takes K and V from any
block that begins with its tokens. Both kinds of files look alike.

A file never changes: it is created atomically and removed as a whole. Files that others could have
written are ignored (see ops.files.own_files). A header page comes first, so that the block can be
mapped; it is padded with zeros:

    | LEPTONKV | crc32 of the page's rest | crc32 of the block | u32 tokens | u64 block's bytes |
    | key 16 | digest of what is before 16 | 256 ids, i32 | u16 length | name of the model, UTF-8 |
"""

import contextlib
import errno
import functools
import hashlib
import mmap
import os
import shutil
import struct
import time
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ops.compiled.kernel_folder import HINT
from ops.files.cache_files import make_room, remove, used_and_size
from ops.files.own_files import (
    ForeignFileError,
    check_own_folder,
    open_own,
    own_folder,
    private_folder,
)
from ops.files.whole_files import DRAFT, write_cached
from ops.interface import BLOCK
from ops.state.sequence import SavedState
from quant.errors import UsageError

Ids = NDArray[np.int32]
Memory = NDArray[np.uint8]

MAGIC = b"LEPTONKV"
PAGE = 4096
CHECKED = struct.Struct("<8sI")  # the magic, and the checksum of the rest of the page
FIELDS = struct.Struct("<IIQ16s16s")
IDS_AT = CHECKED.size + FIELDS.size
NAME_AT = IDS_AT + 4 * BLOCK
MAX_NAME = 255  # bytes
ROOT = bytes(16)  # the digest before a first block
SUFFIX, STATE_SUFFIX = ".kv", ".state"
NOTHING = np.empty(0, np.uint8)  # the blocks of a model without K and V
FREE_SHARE = 2  # at most 1/FREE_SHARE of the free disk space is used


@dataclass(frozen=True, slots=True)
class Head:
    """The header page of a file."""

    key: bytes
    before: bytes
    ids: Ids  # (1 .. 256,)
    block_bytes: int
    checksum: int
    model: str

    @property
    def own(self) -> bytes:
        return _digest(self.before, self.ids)


@dataclass(frozen=True, slots=True)
class Found:
    """The files of a stored prefix, and how many tokens can be reused.

    `common` tokens match: more, where no state of recurrent layers was stored.
    """

    count: int
    paths: tuple[Path, ...] = ()
    state: Path | None = None  # of recurrent layers
    common: int = 0

    @property
    def files(self) -> tuple[Path, ...]:
        return self.paths if self.state is None else (*self.paths, self.state)


@dataclass(frozen=True, slots=True)
class Holding:
    """The total stored under one key. `used`: seconds since 1970."""

    model: str
    tokens: int
    bytes: int
    used: float


class PrefixStore:
    """The blocks of one key. Read and write failures never raise; they only cost time."""

    def __init__(
        self, root: Path, key: bytes, model: str, sizes: tuple[int, int], limit: int
    ) -> None:
        """`sizes`: bytes of a block and of a recurrent state, 0 for a model without.

        `limit` is in bytes, for all keys together.
        """
        self._root, self._folder = root, root / key.hex()
        self.key, self._model = key, model
        self._sizes, self._limit = dict(zip((SUFFIX, STATE_SUFFIX), sizes, strict=True)), limit
        self.failure: str | None = None  # why the last tokens could not be stored, and a hint

    def find(self, ids: Sequence[int]) -> Found:
        """The longest stored prefix of these tokens."""
        before, count, paths, found = ROOT, 0, list[Path](), Found(0)
        if not _is_own(self._folder):
            return found
        for part in _parts(ids):
            path = self._path(before, part)
            if self._holds(path, before, part):
                common = len(part)
            else:
                common, path = max(
                    ((_common(head.ids, part), path) for path, head in self._after(before)),
                    default=(0, path),
                )
            if common:
                paths.append(path)
                found = self._extend(found, Found(count + common, tuple(paths)), before, part)
                count += common
            if common < BLOCK:
                break
            before = _digest(before, part)
        return replace(found, common=count)

    def _extend(self, found: Found, longer: Found, before: bytes, part: Ids) -> Found:
        """The longer prefix, or its longest part that ends with a state of recurrent layers."""
        if not self._sizes[STATE_SUFFIX]:
            return longer
        start = (longer.count - 1) // BLOCK * BLOCK
        for path, head in self._after(before, STATE_SUFFIX):
            end = start + len(head.ids)
            if found.count < end <= longer.count and np.array_equal(
                head.ids, part[: len(head.ids)]
            ):
                found = Found(end, longer.paths, path)
        return found

    def load(self, found: Found) -> SavedState:
        """The mapped state; a shorter one if a file is damaged or was removed meanwhile."""
        blocks = []
        for path in found.paths:
            block = self._mapped(path)
            if block is None:
                break
            blocks.append(block)
        _touch(found.files)
        count = min(found.count, BLOCK * len(blocks))
        if not self._sizes[STATE_SUFFIX]:
            return SavedState(count, blocks, None)
        slots = self._mapped(found.state) if found.state and count == found.count else None
        return SavedState(0 if slots is None else count, blocks, slots)

    def add(
        self,
        ids: Sequence[int],
        saved: SavedState,
        least: int,
        earlier: Sequence[SavedState] = (),
    ) -> bool:
        """Stores the first tokens, as many as `saved` is of, if at least `least` of them are new.

        `earlier` are shorter states of recurrent layers, to be found as well. Removes blocks that
        are prefixes of new ones. Returns whether anything was written.
        """
        ids = ids[: saved.position]
        found = self.find(ids)
        if len(ids) - found.count < max(least, 1):
            _touch(found.files)
            return False
        try:
            for folder in (self._root, self._folder):
                private_folder(folder)
            blocks = self._write_all(ids, saved.blocks)
            states = self._write_states(ids[: BLOCK * len(blocks)], (*earlier, saved))
            _touch([*blocks, *states])
            _tidy(self._root, self._limit)
        except ForeignFileError as error:
            self.failure = f"the prompt cache cannot be stored: {error.message}; {error.hint}"
        except OSError as error:  # a full disk, a read-only folder
            why = f"cannot be stored in {self._root}: {error.strerror}"
            self.failure = f"the prompt cache {why}; {HINT}, or --prefix-cache 0"
        else:
            self.failure = None
        return self.failure is None

    def _write_all(self, ids: Sequence[int], blocks: Sequence[Memory]) -> list[Path]:
        """As many blocks as there is room for, from the first on; returns their files."""
        size = PAGE + self._sizes[SUFFIX]
        most, parts = min(self._limit, self._free(size)) // size, _parts(ids)
        before, paths = ROOT, list[Path]()
        for part, block in list(zip(parts, blocks or [NOTHING] * len(parts), strict=True))[:most]:
            path = self._path(before, part)
            if not self._holds(path, before, part):
                self._write(path, before, part, block)
                for other, head in self._after(before):
                    if len(head.ids) < len(part) and _common(head.ids, part) == len(head.ids):
                        remove(other)
            paths.append(path)
            before = _digest(before, part)
        return paths

    def _write_states(self, ids: Sequence[int], states: Sequence[SavedState]) -> Iterator[Path]:
        """Those within the tokens whose blocks are stored, the shortest first."""
        for saved in sorted(states, key=lambda state: state.position):
            if saved.slots is not None and saved.position <= len(ids):
                *whole, part = _parts(ids[: saved.position])
                before = functools.reduce(_digest, whole, ROOT)
                path = self._path(before, part, STATE_SUFFIX)
                if not self._holds(path, before, part) and self._free(PAGE + len(saved.slots)):
                    self._write(path, before, part, saved.slots)
                yield path

    def _free(self, least: int) -> int:
        """Bytes of the disk that may be used. Raises OSError if it is less."""
        free = shutil.disk_usage(self._folder).free // FREE_SHARE
        if free < least:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return free

    def _write(self, path: Path, before: bytes, part: Ids, memory: Memory) -> None:
        write_cached(path, [self._page(before, part, memory), memory.data])

    def _path(self, before: bytes, part: Ids, suffix: str = SUFFIX) -> Path:
        return self._folder / f"{before.hex()}-{_digest(before, part).hex()}{suffix}"

    def _after(self, before: bytes, suffix: str = SUFFIX) -> Iterator[tuple[Path, Head]]:
        """The stored blocks that follow these tokens, or the states."""
        for path in _files(self._folder):
            if path.name.startswith(before.hex()) and path.suffix == suffix:
                head = read_head(path)
                if head is not None and self._fits(path, head):
                    yield path, head

    def _holds(self, path: Path, before: bytes, part: Ids) -> bool:
        head = read_head(path)
        return (
            head is not None
            and self._fits(path, head)
            and head.before == before
            and np.array_equal(head.ids, part)
        )

    def _fits(self, path: Path, head: Head) -> bool:
        """Whether the header matches the file's name and this key."""
        named = f"{head.before.hex()}-{head.own.hex()}{path.suffix}"
        size = self._sizes.get(path.suffix)
        return (head.key, head.block_bytes, named) == (self.key, size, path.name)

    def _mapped(self, path: Path) -> Memory | None:
        head = read_head(path)
        if head is None:
            return None
        try:
            with open(open_own(path), "rb") as file:
                size = PAGE + self._sizes[path.suffix]
                mapped = mmap.mmap(file.fileno(), size, access=mmap.ACCESS_READ)
        except (OSError, ValueError, UsageError):  # removed, too short, or of another user
            return None
        block = np.frombuffer(mapped, np.uint8)[PAGE:]
        if zlib.crc32(block.data) == head.checksum:
            return block
        remove(path)
        return None

    def _page(self, before: bytes, part: Ids, block: Memory) -> bytes:
        name = self._model.encode(errors="replace")[:MAX_NAME]
        fields = FIELDS.pack(zlib.crc32(block.data), len(part), len(block), self.key, before)
        ids = part.astype("<i4").tobytes().ljust(4 * BLOCK, b"\0")
        rest = (fields + ids + struct.pack("<H", len(name)) + name).ljust(
            PAGE - CHECKED.size, b"\0"
        )
        return CHECKED.pack(MAGIC, zlib.crc32(rest)) + rest


def read_head(path: Path) -> Head | None:
    """The header; None for a file that is missing, damaged, foreign or writable by others."""
    try:
        with open(open_own(path), "rb") as file:
            page = file.read(PAGE)
            size = os.fstat(file.fileno()).st_size
    except (OSError, UsageError):
        return None
    if len(page) < PAGE or CHECKED.unpack_from(page) != (MAGIC, zlib.crc32(page[CHECKED.size :])):
        return None
    checksum, count, block_bytes, key, before = FIELDS.unpack_from(page, CHECKED.size)
    if not 1 <= count <= BLOCK or size != PAGE + block_bytes:
        return None
    ids = np.frombuffer(page, "<i4", count, IDS_AT).astype(np.int32)
    (length,) = struct.unpack_from("<H", page, NAME_AT)
    name = page[NAME_AT + 2 : NAME_AT + 2 + length].decode(errors="replace")
    return Head(key, before, ids, block_bytes, checksum, name)


def holdings(root: Path) -> list[Holding]:
    """What is stored for each model, the most recently used first.

    Raises ForeignFileError if others could have written it.
    """
    found = []
    check_own_folder(root)
    for folder in _folders(root):
        files = [(path, head) for path in _files(folder) if (head := read_head(path))]
        if files:
            found.append(
                Holding(
                    files[0][1].model,
                    sum(len(head.ids) for path, head in files if path.suffix == SUFFIX),
                    sum(PAGE + head.block_bytes for _, head in files),
                    max(used_and_size(path)[0] for path, _ in files),
                )
            )
    return sorted(found, key=lambda holding: -holding.used)


def clear(root: Path) -> int:
    """Removes everything; returns the number of bytes freed. Raises as `holdings`."""
    check_own_folder(root)
    return _tidy(root, 0)


def _tidy(root: Path, limit: int) -> int:
    """Removes the least recently used files until the rest is within the limit."""
    freed = make_room(
        (
            path
            for folder in _folders(root)
            for path in (*_files(folder), *folder.glob(f"*{DRAFT}"))
        ),
        limit,
    )
    for folder in _folders(root):
        with contextlib.suppress(OSError):  # it is not empty
            folder.rmdir()
    return freed


def _is_own(folder: Path) -> bool:
    try:
        own_folder(folder)
    except (OSError, ForeignFileError):
        return False
    return True


def _folders(root: Path) -> list[Path]:
    """The user's own folders with names like a key; nothing else is touched."""
    with contextlib.suppress(OSError):
        named = [path for path in root.iterdir() if len(path.name) == 32]
        return [path for path in named if path.is_dir() and not path.is_symlink() and _is_own(path)]
    return []


def _files(folder: Path) -> list[Path]:
    with contextlib.suppress(OSError):
        return [path for path in folder.iterdir() if path.suffix in (SUFFIX, STATE_SUFFIX)]
    return []


def _touch(paths: Sequence[Path]) -> None:
    """Marks blocks as just used, earlier blocks later, so that a tail is removed first."""
    now = time.time_ns()
    for number, path in enumerate(paths):
        with contextlib.suppress(OSError):
            os.utime(path, ns=(now, now - 1000 * number))


def _parts(ids: Sequence[int]) -> list[Ids]:
    whole = np.asarray(ids, np.int32)
    return [whole[start : start + BLOCK] for start in range(0, len(whole), BLOCK)]


def _common(a: Ids, b: Ids) -> int:
    """The length of the common prefix of two token sequences."""
    length = min(len(a), len(b))
    differ = np.flatnonzero(a[:length] != b[:length])
    return int(differ[0]) if len(differ) else length


def _digest(before: bytes, part: Ids) -> bytes:
    return hashlib.blake2b(before + part.astype("<i4").tobytes(), digest_size=16).digest()
