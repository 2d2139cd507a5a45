"""Files that are made of results, such as text lines from a template with columns of a record."""

import os
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from lepton_cli.engine.jobs.columns import ColumnText, missing
from lepton_cli.engine.jobs.records import read_record
from lepton_cli.engine.library.json_values import Plain
from ops.files.own_files import named_file, open_file
from ops.files.whole_files import replace_file

COLUMNS = ("text", "reasoning", "row", "id", "finish_reason", "seed", "error")


class MadeOutput(Protocol):
    """A file that is made of results, beside the results themselves."""

    def is_made_of(self, path: Path, results: Iterable[bytes]) -> bool:
        """Whether the file consists of these results, or of the first of them.

        Raises UsageError for a pipe, a device or a folder; OSError.
        """

    def writing(self, path: Path, results: Iterable[bytes]) -> AbstractContextManager[None]:
        """Writes a draft that replaces the file when the block succeeds.

        Raises UsageError for a pipe, a device or a folder; OSError.
        """


class LineOutput(ABC):
    """A file of lines."""

    @abstractmethod
    def line(self, record: Mapping[str, Any]) -> bytes:
        """What is made of a record."""

    def is_made_of(self, path: Path, results: Iterable[bytes]) -> bool:
        """See MadeOutput."""
        with open(open_file(named_file(path)), "rb") as file:
            rest = os.fstat(file.fileno()).st_size
            for line in map(self.line, map(read_record, results)):
                if not rest:
                    break
                if file.read(len(line)) != line:
                    return False
                rest -= len(line)
            return not rest

    @contextmanager
    def writing(self, path: Path, results: Iterable[bytes]) -> Iterator[None]:
        """See MadeOutput."""
        with replace_file(path) as file:
            file.writelines(map(self.line, map(read_record, results)))
            yield


@dataclass(frozen=True, slots=True)
class TextOutput(LineOutput):
    """A template for result lines. Raises UsageError for a column that records do not have."""

    text: ColumnText

    def __post_init__(self) -> None:
        for name in self.text.columns:
            if name not in COLUMNS:
                raise missing(name, COLUMNS)

    def line(self, record: Mapping[str, Plain]) -> bytes:
        """The line of a record; missing columns are empty, so a failed row keeps its line."""
        columns = {name: "" if record.get(name) is None else record[name] for name in COLUMNS}
        error = columns["error"]
        if isinstance(error, dict):
            columns["error"] = error["message"]
        return self.text.fill(columns).encode() + b"\n"
