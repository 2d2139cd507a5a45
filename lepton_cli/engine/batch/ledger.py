"""The file of results: a line a finished row, safe against anything that may stop the program.

A line is handed to the system at once, so that it outlives a killed process; a thread has it put
on the disk (fdatasync) while the model goes on, and only then is its row counted. While the work is
under way lines stand in the order in which rows ended; `arrange` writes the file anew in the rows'
order, beside the old one, and takes its place when it is whole. So all there ever is to repair is
one torn last line, which is of a row that nobody was told of.
"""

import os
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Self

from lepton_cli.engine.batch.planning import Fingerprint
from lepton_cli.engine.batch.records import BEGINNINGS, Label, label_of, renumbered
from quant.errors import LeptonError, UsageError

if sys.platform != "win32":
    import fcntl

SYNC = getattr(os, "fdatasync", os.fsync)
AGAIN = "the same command goes on from there"


@dataclass(frozen=True, slots=True)
class Place:
    """A line in the file."""

    start: int
    end: int
    label: Label


class Ledger:
    """Results by key; of several lines with one key the last counts. A context manager."""

    def __init__(self, path: Path) -> None:
        """Opens or makes the file, and cuts off a torn last line. Raises UsageError."""
        self.path = Path(os.path.realpath(path))
        self.places: dict[str, Place] = {}
        self.foreign: list[str] = []  # lines that are no results, told by their beginning
        self._lines = 0
        self._new = not self.path.exists()
        try:
            self._file = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o666)
            self._lock()
            self._end = self._read()
        except OSError as error:
            raise UsageError(f"{path}: {error.strerror}", "choose another -o") from error
        self._written = self._safe = 0
        self._thread = ThreadPoolExecutor(1, "lepton-sync")
        self._sync: Future[None] | None = None

    @property
    def safe(self) -> int:
        """How many of the lines that were appended are on the disk."""
        return self._safe

    def check(self, fingerprint: Fingerprint, keys: set[str]) -> None:
        """Raises UsageError where the file holds what would not be in it at the end."""
        told = Counter(each.label.fingerprint for each in self.places.values())
        hint = "choose another -o, or drop what is not of these rows with --overwrite"
        if self.foreign:
            message = f"{self.path} is no output of lepton batch: it has {self.foreign[0]!r}"
            raise UsageError(message, hint)
        for other, count in told.items():
            if other != str(fingerprint):
                what = fingerprint.difference(other)
                message = f"{self.path} holds {count} results made with another {what}"
                raise UsageError(message, hint)
        strange = len(self.places.keys() - keys)
        if strange:
            message = f"{self.path} holds {strange} results of rows that are not in the input"
            raise UsageError(message, hint)

    def append(self, label: Label, line: bytes) -> None:
        """Raises LeptonError where the disk is full; what is there stays whole."""
        start = self._end
        try:
            self._write(line)
            self._settle()
        except OSError as error:
            os.ftruncate(self._file, start)
            raise self._failed(error) from error
        self.places[label.key] = Place(start, self._end, label)
        self._lines += 1

    def arrange(self, keys: Sequence[str]) -> None:
        """Puts the lines into the order of their rows, and drops all others."""
        places = [self.places[key] for key in keys]
        lines = [(each.start, each.label.row) for each in places]
        wanted = list(range(1, len(keys) + 1))
        if self._lines == len(keys) and not self.foreign:
            if [row for _, row in lines] == wanted and sorted(lines) == lines:
                return
        try:
            self._replace(places)
        except OSError as error:
            message = f"{self.path} is complete, but cannot be put in order: {error.strerror}"
            raise LeptonError(message, "make room beside it, and run the same command") from error

    def lines(self, keys: Sequence[str]) -> Iterator[bytes]:
        for key in keys:
            place = self.places[key]
            yield os.pread(self._file, place.end - place.start, place.start)

    def close(self) -> None:
        """Raises LeptonError where the disk does not take what was written."""
        try:
            self._settle(wait=True)
        except OSError as error:
            raise self._failed(error) from error
        finally:
            self._thread.shutdown()
            os.close(self._file)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
        if kind is not None and self._new and not self._end:
            self.path.unlink(missing_ok=True)

    def _lock(self) -> None:
        if sys.platform == "win32":
            return
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            message = f"{self.path}: another lepton batch is writing it"
            raise UsageError(message, "wait for it, or choose another -o") from error

    def _read(self) -> int:
        """Notes all lines; gives where the next one goes."""
        at = 0
        with open(self._file, "rb", closefd=False) as file:
            for line in file:
                if not line.endswith(b"\n"):
                    return self._mend(at, line)
                self._note(at, line)
                at += len(line)
        return at

    def _note(self, at: int, line: bytes) -> None:
        label = label_of(line)
        self._lines += 1
        if label is None:
            self.foreign.append(line[:40].decode("utf-8", "replace"))
        else:
            self.places[label.key] = Place(at, at + len(line), label)

    def _mend(self, at: int, tail: bytes) -> int:
        """A last line without its end: it is whole but for that, or torn, or another program's."""
        if label_of(tail) is not None:
            os.pwrite(self._file, b"\n", at + len(tail))
            self._note(at, tail + b"\n")
            return at + len(tail) + 1
        ours = any(tail.startswith(each) or each.startswith(tail) for each in BEGINNINGS)
        if self.foreign or not (self.places or ours):
            self._note(at, tail)
            return at + len(tail)
        os.ftruncate(self._file, at)
        return at

    def _write(self, line: bytes) -> None:
        rest = memoryview(line)
        while rest:
            count = os.pwrite(self._file, rest, self._end)
            self._end += count
            rest = rest[count:]
        self._written += 1

    def _settle(self, *, wait: bool = False) -> None:
        """Has what was written put on the disk, unless that is under way. Raises OSError."""
        while self._sync is None or wait or self._sync.done():
            if self._sync is not None:
                self._sync.result()
            if self._safe == self._written:
                return
            self._sync = self._thread.submit(self._put, self._written)

    def _put(self, written: int) -> None:
        SYNC(self._file)
        self._safe = written

    def _replace(self, places: Sequence[Place]) -> None:
        handle, name = tempfile.mkstemp(prefix=f".{self.path.name}.", dir=self.path.parent)
        draft = Path(name)
        try:
            with open(handle, "wb") as file:
                os.chmod(name, os.fstat(self._file).st_mode & 0o7777)
                for row, place in enumerate(places, 1):
                    line = os.pread(self._file, place.end - place.start, place.start)
                    file.write(line if place.label.row == row else renumbered(line, row))
                file.flush()
                os.fsync(file.fileno())
            draft.replace(self.path)
        finally:
            draft.unlink(missing_ok=True)

    def _failed(self, error: OSError) -> LeptonError:
        message = f"{self.path}: {error.strerror}; {len(self.places)} results are in it"
        return LeptonError(message, AGAIN)
