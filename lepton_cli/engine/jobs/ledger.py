"""The results file: one line per finished row, safe against anything that may stop the program.

A line is written at once, so that it survives a killed process; a thread syncs it to disk
(fdatasync) while the model goes on, and only then is its row counted. During the run lines are in
the order in which rows finished; `arrange` writes a new file in row order and atomically replaces
the old one. So the only thing that ever needs repair is one incomplete last line, of a row that was
not counted. It is repaired with the first write: a file that is refused stays unchanged.
"""

import os
import sys
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from io import FileIO
from pathlib import Path
from typing import Self

from lepton_cli.engine.jobs.planning import Fingerprint
from lepton_cli.engine.jobs.records import (
    Label,
    Record,
    label_of,
    line_of,
    read_record,
    renumber,
)
from lepton_cli.engine.library.sizes import counted
from ops.files.own_files import named_file, open_file
from ops.files.whole_files import replace_file
from quant.errors import LeptonError, UsageError

if sys.platform != "win32":
    import fcntl

SYNC = getattr(os, "fdatasync", os.fsync)
AGAIN = "free some disk space; the same command continues from there"


@dataclass(frozen=True, slots=True)
class LineSpan:
    """The position and label of a line in the file."""

    start: int
    end: int
    label: Label


class Ledger:
    """The results by key; of several lines with one key the last counts. A context manager."""

    def __init__(self, path: Path) -> None:
        """Opens or creates the file. Raises UsageError."""
        self.places: dict[str, LineSpan] = {}
        self.safe = 0  # number of appended lines that are synced to disk
        self._lines, self._end, self._written = 0, 0, 0
        self._foreign: str | None = None  # the beginning of a line that is not a result
        try:
            self.path = named_file(path)
            self._file, self._new = _open_locked(self.path)
            self._read()
        except OSError as error:
            raise UsageError(f"{path}: {error.strerror}", "choose another -o") from error
        self._thread = ThreadPoolExecutor(1, "lepton-sync")
        self._sync: Future[None] | None = None

    def check(self, fingerprint: Fingerprint, keys: Collection[str]) -> None:
        """Raises UsageError if the file has lines that do not belong to this batch."""
        counts = Counter(each.label.fingerprint for each in self.places.values())
        hint = "choose another -o; --overwrite drops lines that do not belong to these rows"
        if self._foreign is not None:
            message = (
                f"{self.path} is not an output of lepton batch or embed: it has {self._foreign!r}"
            )
            raise UsageError(message, hint)
        for other, count in counts.items():
            if other != str(fingerprint):
                what = fingerprint.difference(other)
                raise UsageError(f"{self.path} holds {counted(count, 'result')} of {what}", hint)
        unknown = len(self.places.keys() - set(keys))
        if unknown:
            held = counted(unknown, "result")
            message = f"{self.path} holds {held} of rows that are not in the input"
            raise UsageError(message, "choose another -o; --overwrite drops only these")

    def append(self, record: Record) -> None:
        """Adds a line. Raises LeptonError if the disk is full; earlier lines stay intact."""
        label, line = label_of(record), line_of(record)
        assert label is not None, "our records have a label"
        try:
            self._repair()
            start = self._end
            self._write(line)
        except OSError as error:
            self._file.truncate(min(self._end, self._size()))
            raise self._failed(error) from error
        self.places[label.key] = LineSpan(start, self._end, label)
        self._lines += 1
        self._written += 1
        self._start_sync()

    def lines(self, keys: Sequence[str]) -> Iterator[bytes]:
        """The results of these rows, renumber in this order."""
        self._repair()
        for row, place in enumerate((self.places[key] for key in keys), 1):
            line = self._line(place)
            yield line if place.label.row == row else renumber(line, row)

    def all_lines(self) -> Iterator[bytes]:
        """Every line in file order, without an incomplete last one."""
        self._file.seek(0)
        with open(self._file.fileno(), "rb", closefd=False) as file:
            for line in file:
                if file.tell() <= self._end:
                    yield line

    def arrange(self, keys: Sequence[str]) -> None:
        """Sorts the lines by row, drops all others, and closes the file."""
        self._start_sync(wait=True)
        places = [self.places[key] for key in keys]
        starts, rows = [each.start for each in places], [each.label.row for each in places]
        only_these = self._lines == len(keys) and self._foreign is None
        complete = self._size() == self._end
        in_order = starts == sorted(starts) and rows == list(range(1, len(keys) + 1))
        if only_these and complete and in_order:
            return
        try:
            with replace_file(self.path) as file:
                file.writelines(self.lines(keys))
                self._file.close()  # Windows cannot replace an open file
        except OSError as error:
            message = f"{self.path} is complete, but cannot be sorted: {error.strerror}"
            raise LeptonError(message, "free disk space, and run the same command again") from error

    def close(self) -> None:
        """Closes the file. Raises LeptonError if lines cannot be synced to disk."""
        try:
            self._start_sync(wait=True)
        finally:
            self._thread.shutdown()
            self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self.close()
        if kind is not None and self._new and not self._end:
            self.path.unlink(missing_ok=True)

    def _read(self) -> None:
        """Indexes all lines, and finds where the next one goes.

        A last line without a newline is dropped only if it follows results and is not a result.
        """
        with open(self._file.fileno(), "rb", closefd=False) as file:
            for line in file:
                ours = self.places and self._foreign is None
                if line.endswith(b"\n"):
                    self._index(line)
                elif not ours or label_of(read_record(line)) is not None:
                    self._index(line + b"\n")

    def _repair(self) -> None:
        """Completes the last line, or drops it if it is cut off. Raises OSError."""
        size = self._size()
        if size > self._end:
            self._file.truncate(self._end)
        elif size < self._end:
            self._file.seek(size)
            self._file.write(b"\n")

    def _size(self) -> int:
        return os.fstat(self._file.fileno()).st_size

    def _index(self, line: bytes) -> None:
        label, start = label_of(read_record(line)), self._end
        self._lines += 1
        self._end += len(line)
        if label is not None:
            self.places[label.key] = LineSpan(start, self._end, label)
        elif self._foreign is None:
            self._foreign = line.removesuffix(b"\n")[:40].decode("utf-8", "replace")

    def _write(self, line: bytes) -> None:
        rest = memoryview(line)
        self._file.seek(self._end)
        while rest:
            rest = rest[self._file.write(rest) :]
        self._end += len(line)

    def _start_sync(self, *, wait: bool = False) -> None:
        """Syncs written lines in the background; `wait`: until done. Raises LeptonError."""
        while self._sync is None or wait or self._sync.done():
            try:
                if self._sync is not None:
                    self._sync.result()
            except OSError as error:
                raise self._failed(error) from error
            if self.safe == self._written:
                return
            self._sync = self._thread.submit(self._sync_file, self._written)

    def _sync_file(self, written: int) -> None:
        SYNC(self._file.fileno())
        self.safe = written

    def _line(self, place: LineSpan) -> bytes:
        self._file.seek(place.start)
        return self._file.read(place.end - place.start)

    def _failed(self, error: OSError) -> LeptonError:
        message = f"{self.path}: {error.strerror}; it holds {counted(len(self.places), 'result')}"
        return LeptonError(message, AGAIN)


def _open_locked(path: Path) -> tuple[FileIO, bool]:
    """Opens and locks the file; also says whether it is new.

    A file that another process has just replaced counts as locked by that process.
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
    message = f"{path}: another lepton batch (or embed) is writing it"
    raise UsageError(message, "wait for it, or choose another -o")
