"""The file of results: a line a finished row, safe against anything that may stop the program.

A line is handed to the system at once, so that it outlives a killed process; a thread has it put
on the disk (fdatasync) while the model goes on, and only then is its row counted. While the work is
under way lines stand in the order in which rows ended; `arrange` writes the file anew in the rows'
order, beside the old one, and takes its place when it is whole. So all there ever is to repair is
one torn last line, which is of a row that nobody was told of. It is repaired with the first change:
a file that is looked at and refused stays as it is.
"""

import os
import sys
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from io import FileIO
from pathlib import Path
from types import TracebackType
from typing import Self

from lepton_cli.engine.jobs.planning import Fingerprint
from lepton_cli.engine.jobs.records import (
    Label,
    Record,
    label_of,
    line_of,
    read_record,
    renumbered,
)
from lepton_cli.engine.library.sizes import counted
from ops.files.own_files import named_file, open_file
from ops.files.whole_files import replace_file
from quant.errors import LeptonError, UsageError

if sys.platform != "win32":
    import fcntl

SYNC = getattr(os, "fdatasync", os.fsync)
AGAIN = "make room; the same command goes on from there"


@dataclass(frozen=True, slots=True)
class Place:
    """A line in the file."""

    start: int
    end: int
    label: Label


class Ledger:
    """Results by key; of several lines with one key the last counts. A context manager."""

    def __init__(self, path: Path) -> None:
        """Opens or makes the file. Raises UsageError."""
        self.places: dict[str, Place] = {}
        self.safe = 0  # how many of the lines that were appended are on the disk
        self._lines, self._end, self._written = 0, 0, 0
        self._foreign: str | None = None  # the beginning of a line that is no result
        try:
            self.path = named_file(path)
            self._file, self._new = _opened(self.path)
            self._read()
        except OSError as error:
            raise UsageError(f"{path}: {error.strerror}", "choose another -o") from error
        self._thread = ThreadPoolExecutor(1, "lepton-sync")
        self._sync: Future[None] | None = None

    def check(self, fingerprint: Fingerprint, keys: Collection[str]) -> None:
        """Raises UsageError where the file holds what would not be in it at the end."""
        told = Counter(each.label.fingerprint for each in self.places.values())
        hint = "choose another -o; --overwrite drops what is not of these rows"
        if self._foreign is not None:
            message = f"{self.path} is no output of lepton batch: it has {self._foreign!r}"
            raise UsageError(message, hint)
        for other, count in told.items():
            if other != str(fingerprint):
                what = fingerprint.difference(other)
                raise UsageError(f"{self.path} holds {counted(count, 'result')} of {what}", hint)
        strange = len(self.places.keys() - set(keys))
        if strange:
            held = counted(strange, "result")
            message = f"{self.path} holds {held} of rows that are not in the input"
            raise UsageError(message, "choose another -o; --overwrite drops them, and no others")

    def append(self, record: Record) -> None:
        """Raises LeptonError where the disk is full; what is there stays whole."""
        label, line = label_of(record), line_of(record)
        assert label is not None, "a record of ours"
        try:
            self._mend()
            start = self._end
            self._write(line)
        except OSError as error:
            self._file.truncate(min(self._end, self._size()))
            raise self._failed(error) from error
        self.places[label.key] = Place(start, self._end, label)
        self._lines += 1
        self._written += 1
        self._settle()

    def lines(self, keys: Sequence[str]) -> Iterator[bytes]:
        """The results of these rows, numbered as they stand here."""
        self._mend()
        for row, place in enumerate((self.places[key] for key in keys), 1):
            line = self._line(place)
            yield line if place.label.row == row else renumbered(line, row)

    def all_lines(self) -> Iterator[bytes]:
        """Every line in the order of the file, but for a torn one."""
        self._file.seek(0)
        with open(self._file.fileno(), "rb", closefd=False) as file:
            for line in file:
                if file.tell() <= self._end:
                    yield line

    def arrange(self, keys: Sequence[str]) -> None:
        """Puts the lines into the order of their rows, drops all others, and closes the file."""
        self._settle(wait=True)
        places = [self.places[key] for key in keys]
        starts, rows = [each.start for each in places], [each.label.row for each in places]
        alone = self._lines == len(keys) and self._foreign is None
        whole = self._size() == self._end
        if alone and whole and starts == sorted(starts) and rows == list(range(1, len(keys) + 1)):
            return
        try:
            with replace_file(self.path) as file:
                file.writelines(self.lines(keys))
                self._file.close()  # Windows replaces no open file
        except OSError as error:
            message = f"{self.path} is complete, but cannot be put in order: {error.strerror}"
            raise LeptonError(message, "make room beside it, and run the same command") from error

    def close(self) -> None:
        """Raises LeptonError where the disk does not take what was written."""
        try:
            self._settle(wait=True)
        finally:
            self._thread.shutdown()
            self._file.close()

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

    def _read(self) -> None:
        """Notes all lines, and where the next one goes.

        A last line without its end is torn only behind results; it may also be whole but for that,
        or another program's.
        """
        with open(self._file.fileno(), "rb", closefd=False) as file:
            for line in file:
                ours = self.places and self._foreign is None
                if line.endswith(b"\n"):
                    self._note(line)
                elif not ours or label_of(read_record(line)) is not None:
                    self._note(line + b"\n")

    def _mend(self) -> None:
        """Ends the last line, or drops it where it is torn. Raises OSError."""
        size = self._size()
        if size > self._end:
            self._file.truncate(self._end)
        elif size < self._end:
            self._file.seek(size)
            self._file.write(b"\n")

    def _size(self) -> int:
        return os.fstat(self._file.fileno()).st_size

    def _note(self, line: bytes) -> None:
        label, start = label_of(read_record(line)), self._end
        self._lines += 1
        self._end += len(line)
        if label is not None:
            self.places[label.key] = Place(start, self._end, label)
        elif self._foreign is None:
            self._foreign = line.removesuffix(b"\n")[:40].decode("utf-8", "replace")

    def _write(self, line: bytes) -> None:
        rest = memoryview(line)
        self._file.seek(self._end)
        while rest:
            rest = rest[self._file.write(rest) :]
        self._end += len(line)

    def _settle(self, *, wait: bool = False) -> None:
        """Has what was written put on the disk, after what is under way. Raises LeptonError."""
        while self._sync is None or wait or self._sync.done():
            try:
                if self._sync is not None:
                    self._sync.result()
            except OSError as error:
                raise self._failed(error) from error
            if self.safe == self._written:
                return
            self._sync = self._thread.submit(self._put, self._written)

    def _put(self, written: int) -> None:
        SYNC(self._file.fileno())
        self.safe = written

    def _line(self, place: Place) -> bytes:
        self._file.seek(place.start)
        return self._file.read(place.end - place.start)

    def _failed(self, error: OSError) -> LeptonError:
        message = f"{self.path}: {error.strerror}; it holds {counted(len(self.places), 'result')}"
        return LeptonError(message, AGAIN)


def _opened(path: Path) -> tuple[FileIO, bool]:
    """For this process alone, and whether it is new.

    A file that another process has just replaced is that one's, too.
    """
    try:
        handle, new = open_file(path, os.O_RDWR), False
    except FileNotFoundError:
        handle, new = open_file(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o666), True
    file = FileIO(handle, "r+b")
    if sys.platform == "win32":
        return file, new
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.fstat(handle).st_ino == path.stat().st_ino:
            return file, new
    except BlockingIOError:
        pass
    file.close()
    message = f"{path}: another lepton batch is writing it"
    raise UsageError(message, "wait for it, or choose another -o")
