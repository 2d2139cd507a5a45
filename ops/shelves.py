"""Where compiled kernels are kept: a folder for each target and version of the sources.

The folders' names hold a digest, so a new Lepton, another processor on the same home directory, or
an edited kernel never meets old code.
"""

import contextlib
import hashlib
import os
import shutil
import struct
import tempfile
from dataclasses import dataclass
from pathlib import Path

from quant.errors import LeptonError

DAY = 86400.0  # seconds
KEPT_DAYS, KEPT_FOLDERS, KEPT_ANYWAY = 30, 16, 2
PROBE = bytes(1 << 16)  # as large as a kernel: a full disk may still take an empty file
CURE = "set XDG_CACHE_HOME to a folder that can be written"


@dataclass(frozen=True, slots=True)
class Compiling:
    """How far the compiling of missing kernels has come; `kernel` is the one that is ready.

    `lost` says why what is compiled cannot be kept.
    """

    done: int
    total: int
    kernel: str = ""
    lost: LeptonError | None = None


class Shelf:
    """One folder. What cannot be read or written costs time only: compiling is the cure."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def read(self, name: str) -> tuple[bytes, str] | None:
        """Object code and the name of its entry; None where it is missing or damaged."""
        try:
            return unpack((self.folder / f"{name}.kernel").read_bytes())
        except OSError:
            return None

    def write(self, name: str, packed: bytes) -> LeptonError | None:
        """Whole or not at all: two processes that write the same kernel both succeed.

        Returns why it could not be kept, if so.
        """
        path = self.folder / f"{name}.kernel"
        draft = path.with_name(f"{path.name}.{os.getpid()}")
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            draft.write_bytes(packed)
            draft.replace(path)
        except OSError as error:
            with contextlib.suppress(OSError):
                draft.unlink()
            return self._lost(error)
        return None

    def probe(self) -> LeptonError | None:
        """What `write` would return, tried before anything is compiled for nothing."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=self.folder) as file:
                file.write(PROBE)
                file.flush()
        except OSError as error:
            return self._lost(error)
        return None

    def sizes(self) -> dict[str, int]:
        """Bytes of each kernel that lies here."""
        return {path.stem: path.stat().st_size for path in self.folder.glob("*.kernel")}

    def _lost(self, error: OSError) -> LeptonError:
        return LeptonError(f"kernels cannot be kept in {self.folder}: {error.strerror}", CURE)


def no_folder() -> LeptonError:
    """Why nothing is kept where there is not even a name for the folder."""
    return LeptonError("kernels cannot be kept: there is no home folder", CURE)


def tidy(used: Path, now: float) -> None:
    """Once a day: marks a folder as used, and removes its neighbours that nobody uses any more."""
    with contextlib.suppress(OSError):
        if used.exists():
            if now - used.stat().st_mtime < DAY:
                return
            os.utime(used, (now, now))
        for folder in _unused(used.parent, now):
            shutil.rmtree(folder, ignore_errors=True)


def _unused(root: Path, now: float) -> list[Path]:
    """After a month, or after two days where there are many: then someone edits kernels."""
    ages = sorted((now - folder.stat().st_mtime, folder) for folder in root.iterdir())
    return [
        folder
        for rank, (age, folder) in enumerate(ages)
        if age > (KEPT_DAYS if rank < KEPT_FOLDERS else KEPT_ANYWAY) * DAY
    ]


def pack(data: bytes, entry: str) -> bytes:
    """Layout: sha256 of the rest (32) | u32 length of the entry's name | name | object code."""
    body = struct.pack("<I", len(entry)) + entry.encode() + data
    return hashlib.sha256(body).digest() + body


def unpack(packed: bytes) -> tuple[bytes, str] | None:
    """None for a damaged file."""
    body = packed[32:]
    if hashlib.sha256(body).digest() != packed[:32]:
        return None
    length = struct.unpack_from("<I", body)[0]
    return body[4 + length :], body[4 : 4 + length].decode()
