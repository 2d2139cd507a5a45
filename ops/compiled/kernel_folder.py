"""The folders of compiled kernels: one for each target and version of the sources.

Each folder's name has a digest, so a new Lepton, another processor with the same home directory, or
an edited kernel never loads old code. Kernels are code: a folder or file that others could have
written is not loaded (see ops.files.own_files), nor is a kernel that was renamed or moved to
another folder, as name and folder are part of the checksum.
"""

import contextlib
import hashlib
import os
import shutil
import struct
import tempfile
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from ops.files.own_files import ForeignFileError, own_folder, private_folder, read_beside, read_own
from ops.files.whole_files import DRAFT, write_cached
from quant.errors import LeptonError, UsageError

DAY = 86400.0  # seconds
KEEP_DAYS, MANY_FOLDERS, KEEP_DAYS_OF_MANY = 30, 16, 2
PROBE = bytes(1 << 16)  # as large as a kernel: even a full disk takes an empty file
CHECKSUM_BYTES = hashlib.sha256().digest_size
LENGTH = struct.Struct("<I")
MAX_BYTES = 1 << 24  # of a kernel's file
HINT = "set XDG_CACHE_HOME to a folder that can be written"


@dataclass(frozen=True, slots=True)
class Compiling:
    """Progress of compiling missing kernels; `kernel` is the latest one.

    `lost` says why compiled kernels cannot be stored, `ignored` why a stored one is not loaded.
    """

    done: int
    total: int
    kernel: str = ""
    lost: LeptonError | None = None
    ignored: LeptonError | None = None


class KernelFolder:
    """One folder of kernels. A kernel that cannot be read or written is compiled again."""

    def __init__(self, folder: Path, code: Path | None = None) -> None:
        """`code`: a module that the kernels were installed with; they are trusted as far as it."""
        self.folder, self._code = folder, code
        self.ignored: ForeignFileError | None = None  # of files that others could have written

    def read(self, name: str) -> tuple[bytes, str] | None:
        """Object code and the name of its entry point; None if missing, damaged or not trusted."""
        path = self.folder / f"{name}.kernel"
        try:
            if self._code:
                return self._verify(name, read_beside(path, MAX_BYTES, self._code))
            return self._verify(name, read_own(self._own_folder / path.name, MAX_BYTES))
        except ForeignFileError as error:
            self.ignored = self.ignored or error
        except (OSError, UsageError):
            pass
        return None

    @cached_property
    def _own_folder(self) -> Path:
        return own_folder(self.folder)  # once, not for each kernel: it checks every parent folder

    def write(self, name: str, packed: bytes) -> LeptonError | None:
        """Stores a kernel atomically: two processes may write the same one.

        Returns why it could not be stored, or None.
        """
        return self._store(f"{name}.kernel", self.with_checksum(name, packed))

    def _store(self, file: str, data: bytes) -> LeptonError | None:
        try:
            write_cached(private_folder(self.folder) / file, [data])
        except (OSError, ForeignFileError) as error:
            return self._not_stored(error)
        return None

    def read_note(self, name: str) -> str:
        """What is noted about the kernels under a name; nothing if it is missing or not trusted."""
        try:
            return read_own(self._own_folder / name, MAX_BYTES).decode(errors="replace")
        except (ForeignFileError, OSError, UsageError):
            return ""

    def write_note(self, name: str, text: str) -> LeptonError | None:
        """As `write`."""
        return self._store(name, text.encode())

    def with_checksum(self, name: str, packed: bytes) -> bytes:
        """A kernel file: sha256 of folder, name and what follows (32) | the output of `pack`."""
        return self._checksum(name, packed) + packed

    def _verify(self, name: str, data: bytes) -> tuple[bytes, str] | None:
        checksum, packed = data[:CHECKSUM_BYTES], data[CHECKSUM_BYTES:]
        try:
            return unpack(packed) if checksum == self._checksum(name, packed) else None
        except (struct.error, UnicodeDecodeError):  # too short, or without a name
            return None

    def _checksum(self, name: str, packed: bytes) -> bytes:
        """Covers the folder's name, which has the target and the digest of the sources."""
        return hashlib.sha256(f"{self.folder.name}/{name}\0".encode() + packed).digest()

    def probe(self) -> LeptonError | None:
        """What `write` would return, tried before anything is compiled in vain."""
        try:
            with tempfile.TemporaryFile(dir=private_folder(self.folder)) as file:
                file.write(PROBE)
                file.flush()
        except (OSError, ForeignFileError) as error:
            return self._not_stored(error)
        return None

    def sizes(self) -> dict[str, int]:
        """Bytes of each kernel in the folder."""
        paths = [path for path in self.folder.glob("*.kernel") if path.is_file()]
        return {path.stem: path.stat().st_size for path in paths}

    def _not_stored(self, error: OSError | ForeignFileError) -> LeptonError:
        if isinstance(error, ForeignFileError):
            return LeptonError(f"kernels cannot be stored: {error.message}", error.hint)
        place = error.filename2 or self.folder  # filename2: what a draft could not replace
        return LeptonError(f"kernels cannot be stored in {place}: {error.strerror}", HINT)


def tidy(used: Path, now: float) -> None:
    """Once a day: marks a folder as used, and removes the folders beside it that are out of use.

    Drafts of killed processes are removed as well.
    """
    with contextlib.suppress(OSError, ForeignFileError):
        root = own_folder(used.parent)
        if used.exists():
            if now - used.stat().st_mtime < DAY:
                return
            os.utime(used, (now, now))
        for draft in used.glob(f".*{DRAFT}"):
            if now - draft.lstat().st_mtime > DAY:
                draft.unlink()
        for folder in _unused(root, now):
            shutil.rmtree(folder, ignore_errors=True)


def _unused(root: Path, now: float) -> list[Path]:
    """Folders unused for a month; for two days if there are many (someone edits kernels)."""
    ages = sorted((now - folder.lstat().st_mtime, folder) for folder in root.iterdir())
    return [
        folder
        for rank, (age, folder) in enumerate(ages)
        if age > (KEEP_DAYS if rank < MANY_FOLDERS else KEEP_DAYS_OF_MANY) * DAY
    ]


def pack(data: bytes, entry: str) -> bytes:
    """Layout: u32 length of the entry point's name | name | object code."""
    return LENGTH.pack(len(entry)) + entry.encode() + data


def unpack(packed: bytes) -> tuple[bytes, str]:
    """The object code, and the name of its entry point."""
    end = LENGTH.size + LENGTH.unpack_from(packed)[0]
    return packed[end:], packed[LENGTH.size : end].decode()
