"""Templates with columns in braces: `Translate: {text}`; `{{` and `}}` are literal braces."""

import json
import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from lepton_cli.engine.library.json_values import Plain
from lepton_cli.engine.library.suggestions import did_you_mean
from quant.errors import UsageError

BRACES = re.compile(r"(?P<double>\{\{|\}\})|\{(?P<column>[^{}]*)\}|(?P<stray>[{}])")


@dataclass(frozen=True, slots=True)
class ColumnText:
    """A parsed template: even `parts` are literal text, odd ones are column names.

    The value of a column is never parsed as a template.
    """

    parts: tuple[str, ...]

    @classmethod
    def parse(cls, source: str, flag: str) -> "ColumnText":
        """Raises UsageError, naming the flag, for a brace without its partner."""
        parts, end = [""], 0
        for match in BRACES.finditer(source):
            parts[-1] += source[end : match.start()]
            end = match.end()
            if match["stray"]:
                raise UsageError(
                    f"{flag}: a single {match[0]} in {source!r}", "double it: {{ or }}"
                )
            if match["double"]:
                parts[-1] += match[0][0]
            else:
                parts += [match["column"].strip(), ""]
        parts[-1] += source[end:]
        return cls(tuple(parts))

    @property
    def columns(self) -> tuple[str, ...]:
        return self.parts[1::2]

    def fill(self, row: Mapping[str, Plain]) -> str:
        """The text for a row. Raises UsageError for a missing or null column."""
        parts = list(self.parts)
        parts[1::2] = [_value(name, row) for name in self.columns]
        return "".join(parts)


def check_columns(
    prompt: ColumnText | None,
    others: Iterable[ColumnText | None],
    rows: Iterable[Mapping[str, Plain]],
    example: str,
) -> None:
    """Raises UsageError for a -p without columns, and for a column that no row has."""
    if prompt is not None and not prompt.columns:
        raise UsageError("-p has no column", f"write it like -p {example!r}")
    known = set[str]().union(*rows)
    texts = [text for text in (prompt, *others) if text is not None]
    for name in sorted({name for text in texts for name in text.columns}) if known else ():
        if name not in known:
            raise missing(name, known)


def text_column(
    columns: Collection[str], names: Iterable[str], never: Collection[str] = ()
) -> str | None:
    """The column that is a row's text: one of these names, or else its only one, but for some."""
    named = next((name for name in names if name in columns), None)
    if named is not None or len(columns) != 1:
        return named
    [only] = columns
    return None if only in never else only


def missing(name: str, known: Iterable[str]) -> UsageError:
    names = sorted(known)
    hint = did_you_mean(name, names) or f"there are: {', '.join(names[:20]) or 'none'}"
    return UsageError(f"there is no column {name!r}", hint)


def _value(name: str, row: Mapping[str, Plain]) -> str:
    value = row.get(name)
    if name not in row:
        raise missing(name, row)
    if value is None:
        raise UsageError(f"the column {name!r} of the row is empty")
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
