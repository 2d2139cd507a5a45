"""Results as text: what a template makes of each record."""

from collections.abc import Mapping
from dataclasses import dataclass

from lepton_cli.engine.batch.columns import ColumnText, missing
from lepton_cli.engine.plain import Plain

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
