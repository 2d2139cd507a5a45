"""An unfinished download on disk: the bytes that came, and a record of which they are.

`NAME.part` has the bytes at their places, `NAME.part.json` says which are missing: the next try
loses at most what came after the last record. What a killed process wrote is on disk; what a
machine wrote that loses power may not be, so a file that no hash will check is synced before each
record. The record is overwritten in place, in the length that it had at first: that needs no room
on a full disk.
"""

import json
import os
import sys
import threading
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ops.files.own_files import open_file

BLOCK_BYTES = 512  # of st_blocks
PART, RECORD = ".part", ".part.json"


def part_path(target: Path) -> Path:
    return target.with_name(target.name + PART)


def room_needed(target: Path, size: int) -> int:
    """Bytes that the disk must have room for, beyond what an unfinished download takes."""
    return max(0, size - room_taken(part_path(target)))


def room_taken(path: Path) -> int:
    """Bytes that a file takes on the disk: a part file is longer than what it holds."""
    try:
        status = path.stat()
    except FileNotFoundError:
        return 0
    return status.st_size if sys.platform == "win32" else status.st_blocks * BLOCK_BYTES


def leftovers(folder: Path, name: str = "*") -> list[Path]:
    """The files of unfinished downloads in a folder; `name`: of the one file."""
    return [path for suffix in (PART, RECORD) for path in sorted(folder.glob(f"{name}{suffix}"))]


@dataclass(slots=True)
class Piece:
    """Bytes that are still missing: from `begin` on, which grows; `end` None: to the file's end."""

    begin: int
    end: int | None

    @property
    def is_whole(self) -> bool:
        return self.begin == self.end


class ClosedError(Exception):
    """The download was given up: nothing may be written any more."""


class PartFile:
    """The part file of `target`. `write` may be called by several threads.

    `size` None: not known before the end. `validator`: what must be equal for bytes of an earlier
    try to be of use. Without `resumable` such bytes are dropped. `checked`: a hash of the whole
    file will be compared. Raises OSError, UsageError.
    """

    def __init__(
        self,
        target: Path,
        size: int | None,
        validator: str | None,
        *,
        resumable: bool,
        checked: bool,
        piece_bytes: int,
    ) -> None:
        self.target, self.size, self.validator = target, size, validator
        self.path = part_path(target)
        self._record_path = target.with_name(target.name + RECORD)
        self._lock, self._closed, self._saved = threading.Lock(), False, -1
        self._record_bytes, self._syncs = 0, not checked
        handle = open_file(self.path, os.O_RDWR | os.O_CREAT, 0o666)
        self._file = os.fdopen(handle, "r+b", buffering=0)
        missing = self._missing(os.fstat(handle).st_size) if resumable and size else None
        if missing is None:
            self._file.truncate(0)
            missing = [(0, size)]
        self.pieces = list(_cut(missing, piece_bytes)) if resumable else [Piece(0, size)]
        self._waiting = list(reversed(self.pieces))
        self.save()

    @property
    def done(self) -> int:
        """Bytes that are here."""
        if self.size is None:
            return self.pieces[0].begin
        return self.size - sum((piece.end or 0) - piece.begin for piece in self.pieces)

    def take(self) -> Piece | None:
        """The next piece to fetch; None if no other is left."""
        with self._lock:
            return self._waiting.pop() if self._waiting else None

    def check_open(self) -> None:
        """Raises ClosedError after `close`."""
        if self._closed:
            raise ClosedError

    def write(self, piece: Piece, data: bytes) -> None:
        """Adds the next bytes of a piece. Raises ClosedError, OSError."""
        with self._lock:
            self.check_open()
            rest = memoryview(data)
            self._file.seek(piece.begin)
            while rest:
                count = self._file.write(rest)
                piece.begin += count
                rest = rest[count:]

    def restart(self, piece: Piece) -> None:
        """Forgets the bytes of the only piece: the server sends them all again."""
        with self._lock:
            piece.begin = 0

    def save(self) -> None:
        """Records which bytes are here, once they are on disk."""
        if self.size is None or self.done == self._saved:
            return
        with self._lock:
            missing = [(piece.begin, piece.end) for piece in self.pieces if not piece.is_whole]
            self._saved = self.done
        if self._syncs:
            os.fsync(self._file.fileno())
        record = {"size": self.size, "validator": self.validator, "missing": missing}
        data = json.dumps(record).encode().ljust(self._record_bytes)
        self._record_bytes = len(data)
        with open(open_file(self._record_path, os.O_WRONLY | os.O_CREAT, 0o666), "wb") as file:
            file.write(data)
            file.truncate()

    def close(self) -> None:
        """Ends all writing. Bytes that came are kept for the next try."""
        with self._lock:
            self._closed = True
        self._file.close()

    def finish(self) -> None:
        """Gives the whole file its name, atomically."""
        if self.size is None:
            self._file.truncate(self.pieces[0].begin)
        os.fsync(self._file.fileno())
        self.close()
        self.path.replace(self.target)
        self._record_path.unlink(missing_ok=True)

    def discard(self) -> None:
        """Drops all bytes."""
        self.close()
        self.path.unlink(missing_ok=True)
        self._record_path.unlink(missing_ok=True)

    def _missing(self, here: int) -> list[tuple[int, int | None]] | None:
        """The record of an earlier try at the same version of the file; None if it is of no use."""
        try:
            record: Any = json.loads(self._record_path.read_bytes())
            same = record["size"] == self.size and record["validator"] == self.validator
            missing = [(int(begin), int(end)) for begin, end in record["missing"]]
        except (OSError, ValueError, KeyError, TypeError):  # none, or damaged
            return None
        edges = [edge for span in missing for edge in span]
        sound = edges == sorted(edges) and all(0 <= edge <= (self.size or 0) for edge in edges)
        written = self.size
        for begin, end in reversed(missing):
            if end == written:
                written = begin
        return [*missing] if same and sound and here >= (written or 0) else None


def _cut(spans: Iterable[tuple[int, int | None]], most: int) -> Iterable[Piece]:
    for begin, end in spans:
        if end is None:
            yield Piece(begin, None)
            continue
        for start in range(begin, end, most):
            yield Piece(start, min(start + most, end))
