"""Where compiled kernels are kept: a folder for each target and version of the sources.

The folders' names hold a digest, so a new Lepton, another processor on the same home directory, or
an edited kernel never meets old code. Kernels are code: a folder or a file that others could have
written is not loaded (see ops.files.own_files), nor is one kernel under another's name or in
another folder, as both are in the checksum.
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
KEPT_DAYS, KEPT_FOLDERS, KEPT_ANYWAY = 30, 16, 2
PROBE = bytes(1 << 16)  # as large as a kernel: a full disk may still take an empty file
SEAL = hashlib.sha256().digest_size
LENGTH = struct.Struct("<I")
LARGEST = 1 << 24  # bytes of a kernel's file
CURE = "set XDG_CACHE_HOME to a folder that can be written"


@dataclass(frozen=True, slots=True)
class Compiling:
    """How far the compiling of missing kernels has come; `kernel` is the one that is ready.

    `lost` says why what is compiled cannot be kept, `ignored` why one that is there is not loaded.
    """

    done: int
    total: int
    kernel: str = ""
    lost: LeptonError | None = None
    ignored: LeptonError | None = None


class KernelFolder:
    """One folder. What cannot be read or written costs time only: compiling is the cure."""

    def __init__(self, folder: Path, code: Path | None = None) -> None:
        """`code`: the kernels came with this module, and are believed as far as it is."""
        self.folder, self._code = folder, code
        self.ignored: ForeignFileError | None = None  # of files that others could have written

    def read(self, name: str) -> tuple[bytes, str] | None:
        """Object code and the name of its entry; None where it is missing, damaged or not ours."""
        path = self.folder / f"{name}.kernel"
        try:
            if self._code:
                return self._unsealed(name, read_beside(path, LARGEST, self._code))
            return self._unsealed(name, read_own(self._own_folder / path.name, LARGEST))
        except ForeignFileError as error:
            self.ignored = self.ignored or error
        except (OSError, UsageError):
            pass
        return None

    @cached_property
    def _own_folder(self) -> Path:
        return own_folder(self.folder)  # once, not for each kernel: it looks at every folder above

    def write(self, name: str, packed: bytes) -> LeptonError | None:
        """Whole or not at all: two processes that write the same kernel both succeed.

        Returns why it could not be kept, if so.
        """
        try:
            path = private_folder(self.folder) / f"{name}.kernel"
            write_cached(path, [self.sealed(name, packed)])
        except (OSError, ForeignFileError) as error:
            return self._lost(error)
        return None

    def sealed(self, name: str, packed: bytes) -> bytes:
        """As it lies here: sha256 of folder, name and what follows (32) | what `pack` gives."""
        return self._seal(name, packed) + packed

    def _unsealed(self, name: str, data: bytes) -> tuple[bytes, str] | None:
        seal, packed = data[:SEAL], data[SEAL:]
        try:
            return unpack(packed) if seal == self._seal(name, packed) else None
        except (struct.error, UnicodeDecodeError):  # too short, or no name in it
            return None

    def _seal(self, name: str, packed: bytes) -> bytes:
        """The folder's name has the target and the digest of the sources."""
        return hashlib.sha256(f"{self.folder.name}/{name}\0".encode() + packed).digest()

    def probe(self) -> LeptonError | None:
        """What `write` would return, tried before anything is compiled for nothing."""
        try:
            with tempfile.TemporaryFile(dir=private_folder(self.folder)) as file:
                file.write(PROBE)
                file.flush()
        except (OSError, ForeignFileError) as error:
            return self._lost(error)
        return None

    def sizes(self) -> dict[str, int]:
        """Bytes of each kernel that lies here."""
        paths = [path for path in self.folder.glob("*.kernel") if path.is_file()]
        return {path.stem: path.stat().st_size for path in paths}

    def _lost(self, error: OSError | ForeignFileError) -> LeptonError:
        if isinstance(error, ForeignFileError):
            return LeptonError(f"kernels cannot be kept: {error.message}", error.hint)
        place = error.filename2 or self.folder  # what a draft could not replace, a folder say
        return LeptonError(f"kernels cannot be kept in {place}: {error.strerror}", CURE)


def tidy(used: Path, now: float) -> None:
    """Once a day: marks a folder as used, and removes its neighbours that nobody uses any more.

    Drafts that a killed process has left there go, too.
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
    """After a month, or after two days where there are many: then someone edits kernels."""
    ages = sorted((now - folder.lstat().st_mtime, folder) for folder in root.iterdir())
    return [
        folder
        for rank, (age, folder) in enumerate(ages)
        if age > (KEPT_DAYS if rank < KEPT_FOLDERS else KEPT_ANYWAY) * DAY
    ]


def pack(data: bytes, entry: str) -> bytes:
    """Layout: u32 length of the entry's name | name | object code."""
    return LENGTH.pack(len(entry)) + entry.encode() + data


def unpack(packed: bytes) -> tuple[bytes, str]:
    """The object code, and the name of its entry."""
    end = LENGTH.size + LENGTH.unpack_from(packed)[0]
    return packed[end:], packed[LENGTH.size : end].decode()
