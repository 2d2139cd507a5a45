"""The output of a batch: a stream, or a file that the next run continues."""

import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TextIO

from lepton_cli.engine.jobs.ledger import AGAIN, Ledger
from lepton_cli.engine.jobs.planning import Fingerprint
from lepton_cli.engine.jobs.prose import LineOutput, MadeOutput
from lepton_cli.engine.jobs.records import Label, Record, line_of
from lepton_cli.engine.library.outputs import is_stream, open_stream
from lepton_cli.ui.arguments.options.batch import OutputOptions
from lepton_cli.ui.terminal.output import emit
from quant.errors import LeptonError, UsageError

STDOUT = ("-", "/dev/stdout")
RECORDS_SUFFIX = ".jsonl"  # the records of a made output are in a file with this suffix


class Numbered(Protocol):
    """A row that was asked for, by its number."""

    @property
    def row(self) -> int: ...


class BatchOutput(Protocol):
    """Takes records as rows end, and knows those of earlier runs."""

    def resumed(self, fingerprint: Fingerprint) -> Fingerprint:
        """The fingerprint, with the date of the run that is continued."""

    def known(self, fingerprint: Fingerprint, keys: Sequence[str]) -> dict[str, Label]:
        """Earlier results to keep, by key. Raises UsageError if some are of another batch."""

    def take(self, job: Numbered, record: Record) -> None: ...

    def safe(self) -> int:
        """How many of the taken records are safely stored."""

    def complete(self, keys: Sequence[str]) -> None:
        """Called when all rows are done; `keys` are in row order."""


@contextmanager
def open_results(
    options: OutputOptions, made: MadeOutput | None, taken: Mapping[str, str]
) -> Iterator[BatchOutput]:
    """The output for -o and --output-template.

    Raises UsageError if it cannot be written, or is one of the `taken` files (see `check_apart`).
    """
    path, to_stdout = Path(options.output), options.output in STDOUT
    if to_stdout and (options.retry_errors or options.overwrite):
        flag = "--retry-errors" if options.retry_errors else "--overwrite"
        raise UsageError(f"{flag} is for results in a file", "name it with -o")
    if to_stdout:
        yield from _streamed(sys.stdout, made)
    elif is_stream(path):
        with _stream(path) as stream:
            yield from _streamed(stream, made)
    else:
        with _file(path, options, made, taken) as file:
            yield file


def _stream(path: Path) -> TextIO:
    try:
        return open(open_stream(path), "w", encoding="utf-8")
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}", "choose another -o") from error


def _streamed(stream: TextIO, made: MadeOutput | None) -> Iterator[BatchOutput]:
    if made is not None and not isinstance(made, LineOutput):
        raise UsageError("an array cannot be printed", "name a file for it: -o OUT.npy")
    results = StreamOutput(stream, made.line if made else line_of)
    try:
        yield results
    finally:
        results.flush()


class StreamOutput:
    """Prints lines in row order as soon as possible; the rest at the end."""

    def __init__(self, stream: TextIO, line: Callable[[Record], bytes]) -> None:
        self._stream, self._line = stream, line
        self._waiting: dict[int, str] = {}
        self._turn, self._taken = 1, 0

    def resumed(self, fingerprint: Fingerprint) -> Fingerprint:
        return fingerprint

    def known(self, fingerprint: Fingerprint, keys: Sequence[str]) -> dict[str, Label]:
        return {}

    def take(self, job: Numbered, record: Record) -> None:
        self._taken += 1
        self._waiting[job.row] = self._line(record).decode()
        while self._turn in self._waiting:
            emit(self._stream, self._waiting.pop(self._turn))
            self._turn += 1

    def safe(self) -> int:
        return self._taken

    def complete(self, keys: Sequence[str]) -> None:
        self.flush()

    def flush(self) -> None:
        for row in sorted(self._waiting):
            emit(self._stream, self._waiting.pop(row))


@dataclass(frozen=True, slots=True)
class FileOutput:
    """A ledger, and optionally the file that is made from it at the end."""

    path: Path
    ledger: Ledger
    options: OutputOptions
    made: MadeOutput | None

    def resumed(self, fingerprint: Fingerprint) -> Fingerprint:
        return fingerprint.with_day_of(
            place.label.fingerprint for place in self.ledger.places.values()
        )

    def known(self, fingerprint: Fingerprint, keys: Sequence[str]) -> dict[str, Label]:
        if not self.options.overwrite:
            self.ledger.check(fingerprint, keys)
        labels = {key: place.label for key, place in self.ledger.places.items()}
        known = {key: labels[key] for key in keys if key in labels}
        retry = self.options.retry_errors
        return {key: label for key, label in known.items() if not (retry and label.failed)}

    def take(self, job: Numbered, record: Record) -> None:
        self.ledger.append(record)

    def safe(self) -> int:
        return self.ledger.safe

    def complete(self, keys: Sequence[str]) -> None:
        if self.made is None:
            self.ledger.arrange(keys)
            return
        try:
            with self.made.writing(self.path, self.ledger.lines(keys)):
                self.ledger.arrange(keys)  # the made file is replaced last
        except OSError as error:
            raise LeptonError(f"cannot write {self.path}: {error.strerror}", AGAIN) from error

    def check_made(self) -> None:
        """Raises UsageError if the made file was not made from the results beside it."""
        try:
            if self.made is None or not self.path.exists():
                return
            is_made_of_them = self.made.is_made_of(self.path, self.ledger.all_lines())
        except OSError as error:
            raise UsageError(f"{self.path}: {error.strerror}", "choose another -o") from error
        if not is_made_of_them and not self.options.overwrite:
            message = f"{self.path} was not made by this command from {self.ledger.path}"
            raise UsageError(message, "choose another -o; --overwrite replaces the file")


@contextmanager
def _file(
    path: Path, options: OutputOptions, made: MadeOutput | None, taken: Mapping[str, str]
) -> Iterator[FileOutput]:
    beside = path if made is None else path.with_name(path.name + RECORDS_SUFFIX)
    check_apart((path, beside), taken, "choose another -o")
    with Ledger(beside) as ledger:
        file = FileOutput(path, ledger, options, made)
        file.check_made()
        yield file


def check_apart(outputs: Iterable[Path], taken: Mapping[str, str], cure: str) -> None:
    """Raises UsageError for an output that is another file of the command, by whatever name.

    `taken`: what the other files are to the command, by their names; `-` is stdin.
    """
    for path in outputs:
        for name, what in taken.items():
            if _is_same(path, name):
                shown = path if name == "-" else name
                raise UsageError(f"{shown} is both {what} and an output", cure)


def _is_same(path: Path, name: str) -> bool:
    """Of files that do not exist yet, whether the two names would make one file."""
    here, there = _status(str(path)), _status(name)
    if here is None or there is None:
        return here is there and name != "-" and os.path.realpath(path) == os.path.realpath(name)
    return os.path.samestat(here, there)


def _status(name: str) -> os.stat_result | None:
    """None of what does not exist, and of a stdin that is closed."""
    try:
        return os.fstat(sys.stdin.fileno()) if name == "-" else os.stat(name)
    except (OSError, ValueError):
        return None
