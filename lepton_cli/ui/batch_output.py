"""Where the results of a batch go: to a stream, or to a file that the next run goes on with."""

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TextIO

from lepton_cli.engine.batch.ledger import Ledger, write_whole
from lepton_cli.engine.batch.planning import Fingerprint, Job
from lepton_cli.engine.batch.prose import Prose
from lepton_cli.engine.batch.records import Label, Record, line_of, read_record
from lepton_cli.ui.batch_options import ResultOptions
from lepton_cli.ui.output import emit
from quant.errors import UsageError

BESIDE = ".jsonl"  # a text's records stand in a file of its name and this


class Results(Protocol):
    """Takes records as rows end, and tells those that former runs have taken."""

    def resumed(self, fingerprint: Fingerprint) -> Fingerprint:
        """With the day of what is gone on with."""

    def known(self, fingerprint: Fingerprint, keys: Sequence[str]) -> dict[str, Label]:
        """By key. Raises UsageError where results of something else are in the place."""

    def take(self, job: Job, record: Record) -> None: ...

    def safe(self) -> int:
        """How many of those taken are where nothing loses them."""

    def complete(self, keys: Sequence[str]) -> None:
        """All rows have been taken, now or before; `keys` in the order of the rows."""


@contextmanager
def open_results(options: ResultOptions, prose: Prose | None) -> Iterator[Results]:
    """By -o and --output-template. Raises UsageError for a place that cannot be written."""
    path = Path(options.output)
    if options.output == "-" and (options.retry_errors or options.overwrite):
        flag = "--retry-errors" if options.retry_errors else "--overwrite"
        raise UsageError(f"{flag} is for results in a file", "name it with -o")
    if options.output == "-":
        yield from _streamed(sys.stdout, prose)
    elif path.exists() and not path.is_file() and not path.is_dir():  # a pipe, a device
        with _device(path) as stream:
            yield from _streamed(stream, prose)
    else:
        with _file(path, options, prose) as file:
            yield file


def _device(path: Path) -> TextIO:
    try:
        return path.open("w", encoding="utf-8")
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}", "choose another -o") from error


def _streamed(stream: TextIO, prose: Prose | None) -> Iterator[Results]:
    results = Stream(stream, prose.line if prose else line_of)
    try:
        yield results
    finally:
        results.flush()


class Stream:
    """Says each line when it is its turn; at the end also those whose turn did not come."""

    def __init__(self, stream: TextIO, line: Callable[[Record], bytes]) -> None:
        self._stream, self._line = stream, line
        self._waiting: dict[int, str] = {}
        self._turn, self._taken = 1, 0

    def resumed(self, fingerprint: Fingerprint) -> Fingerprint:
        return fingerprint

    def known(self, fingerprint: Fingerprint, keys: Sequence[str]) -> dict[str, Label]:
        return {}

    def take(self, job: Job, record: Record) -> None:
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
class File:
    """A ledger; and the text that is made of it in the end, where one is wanted."""

    path: Path
    ledger: Ledger
    options: ResultOptions
    prose: Prose | None

    def resumed(self, fingerprint: Fingerprint) -> Fingerprint:
        return fingerprint.resuming(
            place.label.fingerprint for place in self.ledger.places.values()
        )

    def known(self, fingerprint: Fingerprint, keys: Sequence[str]) -> dict[str, Label]:
        if not self.options.overwrite:
            self.ledger.check(fingerprint, keys)
        labels = {key: place.label for key, place in self.ledger.places.items()}
        return {key: labels[key] for key in keys if key in labels}

    def take(self, job: Job, record: Record) -> None:
        self.ledger.append(record)

    def safe(self) -> int:
        return self.ledger.safe

    def complete(self, keys: Sequence[str]) -> None:
        if self.prose is not None:
            lines = map(self.prose.line, map(read_record, self.ledger.lines(keys)))
            write_whole(self.path, lines)
        self.ledger.arrange(keys)


@contextmanager
def _file(path: Path, options: ResultOptions, prose: Prose | None) -> Iterator[File]:
    beside = path if prose is None else path.with_name(path.name + BESIDE)
    if prose is not None and path.exists() and not beside.exists() and not options.overwrite:
        message = f"{path} is there, but not {beside}, of which it would have been made"
        raise UsageError(message, "choose another -o; --overwrite replaces the file")
    with Ledger(beside) as ledger:
        yield File(path, ledger, options, prose)
