"""Results as text: what a template makes of each record."""

import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from lepton_cli.engine.jobs.columns import ColumnText, missing
from lepton_cli.engine.jobs.records import read_record
from lepton_cli.engine.library.json_values import Plain
from ops.files.own_files import named_file, open_file
from ops.files.whole_files import replace_file

COLUMNS = ("text", "reasoning", "row", "id", "finish_reason", "seed", "error")


@dataclass(frozen=True, slots=True)
class Prose:
    """A text with a record's columns in it. Raises UsageError for a column that none has."""

    text: ColumnText

    def __post_init__(self) -> None:
        for name in self.text.columns:
            if name not in COLUMNS:
                raise missing(name, COLUMNS)

    def line(self, record: Mapping[str, Plain]) -> bytes:
        """What a record lacks is empty: a row that failed has no text, and keeps its line."""
        columns = {name: "" if record.get(name) is None else record[name] for name in COLUMNS}
        error = columns["error"]
        if isinstance(error, dict):
            columns["error"] = error["message"]
        return self.text.fill(columns).encode() + b"\n"

    def is_text_of(self, path: Path, results: Iterable[bytes]) -> bool:
        """Whether the file is made of these results, or of the first of them: more may have come.

        Raises UsageError for a pipe, a device or a folder; OSError.
        """
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
    def written(self, path: Path, results: Iterable[bytes]) -> Iterator[None]:
        """Writes the text of results; it takes its place when the block ends well.

        Raises UsageError for a pipe, a device or a folder; OSError.
        """
        with replace_file(path) as file:
            file.writelines(map(self.line, map(read_record, results)))
            yield
