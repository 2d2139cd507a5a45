r"""Reads input files: lines, JSON or CSV, one row each; an unreadable row becomes a failed row.

lines   one prompt per line, in the column `text`
jsonl   one object per line, its fields are the columns; or a string, for the column `text`
json    an array of such objects and strings; or one object, a single row
csv     a first line with the column names; "" is a quote within quotes, fields may contain \n
tsv     the same, with tabs

Blank lines are skipped. Text is UTF-8, with or without a byte order mark; lines end in \n or \r\n.
"""

import csv
import io
import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import takewhile
from pathlib import Path
from typing import Literal

from lepton_cli.engine.library.json_values import Plain, refuse_constant
from lepton_cli.engine.library.sizes import counted
from lepton_cli.engine.text.reading import refuse_other_encoding
from quant.errors import LeptonError, UsageError

Form = Literal["lines", "jsonl", "json", "csv", "tsv"]
SUFFIXES: dict[str, Form] = {
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "json",
    ".csv": "csv",
    ".tsv": "tsv",
    ".txt": "lines",
}
STDIN = "stdin"
TEXT = "text"  # the column of a row that is only a text
BYTE_ORDER_MARK = "\ufeff"
LARGEST_FIELD = 1 << 30  # of a CSV; Python's default is too small for long documents
SEPARATOR = re.compile(r'"?sep=(.)"?', re.IGNORECASE)  # Excel's line before the first
QUOTED = re.compile(r'"[^"]*"')


@dataclass(frozen=True, slots=True)
class Row:
    """The columns of a row; for an unreadable one its `source` and the error."""

    number: int  # from 1
    columns: dict[str, Plain] = field(default_factory=dict)
    source: str = ""
    error: LeptonError | None = None


def form_of(suffix: str, data: bytes) -> Form:
    """The input format, by suffix; otherwise JSON and JSONL are recognised by their beginning.

    A .json file whose first line is a complete object is read as JSONL: many programs name it so.
    """
    known = SUFFIXES.get(suffix.lower())
    if known not in (None, "json"):
        return known
    text = data.removeprefix(BYTE_ORDER_MARK.encode()).lstrip()
    if isinstance(_value_of(text.split(b"\n", 1)[0]), dict):
        return "jsonl"
    if known or re.match(rb"\[\s*\{", text):
        return "json"
    whole = _value_of(text) if text[:1] in (b"[", b"{") else None
    rows = whole if isinstance(whole, list) else [whole]
    return "json" if all(isinstance(row, dict | str) for row in rows) else "lines"


def id_of(columns: Mapping[str, Plain], *, is_request: bool) -> Plain:
    """An OpenAI request's custom_id; of other rows the id, or else their custom_id."""
    first, other = ("custom_id", "id") if is_request else ("id", "custom_id")
    return columns.get(first, columns.get(other))


def read_rows(
    data: bytes, form: Form, delimiter: str | None = None, name: str = STDIN
) -> list[Row]:
    """Parses the rows. Raises UsageError, with the file's `name`, if the whole file is invalid."""
    refuse_other_encoding(data, name, None if name == STDIN else Path(name))
    text = data.decode("utf-8", "surrogateescape").removeprefix(BYTE_ORDER_MARK)
    if form in ("csv", "tsv"):
        return list(_csv_rows(text, delimiter or ("\t" if form == "tsv" else None)))
    if form == "json":
        return _array_rows(text, name)
    lines = (line.removesuffix("\r") for line in text.split("\n"))
    read = _json_row if form == "jsonl" else _line_row
    return [read(i, line) for i, line in enumerate(filter(str.strip, lines), 1)]


def is_text(text: str) -> bool:
    """Whether it is valid text, without lone surrogates (from invalid UTF-8, or from JSON)."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _line_row(number: int, line: str) -> Row:
    return Row(number, {TEXT: line}) if is_text(line) else _broken(number, line)


def _json_row(number: int, line: str) -> Row:
    try:
        value = json.loads(line, parse_constant=refuse_constant, object_pairs_hook=_object)
    except json.JSONDecodeError as error:
        message = f"the row is not JSON: {error.msg} at column {error.colno}"
        return _broken(number, line, UsageError(message))
    except (ValueError, RecursionError) as error:
        return _broken(number, line, UsageError(f"the row is not JSON: {error}"))
    return _value_row(number, value, line)


def _array_rows(text: str, name: str) -> list[Row]:
    if not is_text(text):
        raise UsageError(f"{name} is not UTF-8", "convert it, e.g. with iconv")
    try:
        value = json.loads(text, object_pairs_hook=_object)
    except json.JSONDecodeError as error:
        where = f"{error.msg} at line {error.lineno}, column {error.colno}"
        cure = "write an array like [{...}, {...}], or --input-format jsonl for one object per line"
        raise UsageError(f"{name} is not JSON: {where}", cure) from error
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{name} is not JSON: {error}") from error
    values = value if isinstance(value, list) else [value]
    return [_value_row(i, each) for i, each in enumerate(values, 1)]


def _value_row(number: int, value: Plain, source: str = "") -> Row:
    """A row from a JSON value; `source` is its line, if it has one."""
    if isinstance(value, str):
        value = {TEXT: value}
    try:
        source = source or json.dumps(value, allow_nan=False)
        whole = is_text(source) and is_text(json.dumps(value, ensure_ascii=False, allow_nan=False))
    except (ValueError, RecursionError) as error:
        return _broken(number, source, UsageError(f"the row is not JSON: {error}"))
    if not whole:
        return _broken(number, source)
    if not isinstance(value, dict):
        cure = "for an array of rows use --input-format json" if isinstance(value, list) else None
        message = "the row is neither a JSON object nor a string"
        return _broken(number, source, UsageError(message, cure))
    return Row(number, value)


def _object(pairs: list[tuple[str, Plain]]) -> dict[str, Plain]:
    """Raises ValueError for a duplicate key, since one of the values would be lost."""
    found = dict(pairs)
    if len(found) < len(pairs):
        name = _twice([name for name, _ in pairs])
        raise ValueError(f"the key {name!r} occurs twice")
    return found


def _twice(names: list[str]) -> str | None:
    return next((name for name, count in Counter(names).items() if count > 1), None)


def _value_of(data: bytes) -> Plain:
    """The parsed value; None if it is not JSON."""
    try:
        value: Plain = json.loads(data)
    except (ValueError, RecursionError):
        return None
    return value


def _broken(number: int, source: str, error: LeptonError | None = None) -> Row:
    return Row(number, {}, source, error or _not_utf8(source.encode(errors="surrogateescape")))


def _not_utf8(raw: bytes) -> UsageError:
    try:
        raw.decode()
    except UnicodeDecodeError as error:
        byte = f"byte {raw[error.start]:#04x} at {error.start}"
        return UsageError(f"the row is not UTF-8: {byte}", "convert it, e.g. with iconv")
    return UsageError("the row has a lone surrogate (half a character)")


def _csv_rows(text: str, delimiter: str | None) -> Iterator[Row]:
    csv.field_size_limit(LARGEST_FIELD)
    text = text.lstrip("\r\n")
    first, _, rest = text.partition("\n")
    named = SEPARATOR.fullmatch(first.rstrip("\r"))
    if named:
        delimiter, text = delimiter or named[1], rest
        first = rest.lstrip("\r\n").partition("\n")[0]
    chosen = delimiter or _delimiter(first)
    lines = csv.reader(io.StringIO(text, newline=""), delimiter=chosen, strict=True)
    records = _csv_records(lines)
    header = next(records, [])
    if isinstance(header, UsageError):
        raise header
    names = _column_names(header)
    for number, record in enumerate(records, 1):
        yield _csv_row(number, names, record)


def _column_names(header: list[str]) -> list[str]:
    """The column names, empty for unnamed columns. Raises UsageError."""
    names = [name.strip() for name in header]
    if not all(map(is_text, names)):
        raise UsageError("the CSV's first line is not UTF-8", "convert it, e.g. with iconv")
    twice = _twice(list(filter(None, names)))
    if twice is not None:
        raise UsageError(f"the CSV's first line has the column {twice!r} twice", "rename one")
    if header and not any(names):
        raise UsageError("the CSV's first line must name its columns, and is empty")
    return names


def _delimiter(header: str) -> str:
    """The delimiter that is most frequent in the first line outside quotes; else the comma."""
    bare = QUOTED.sub("", header)
    return max(",\t;", key=bare.count)


def _csv_records(lines: Iterator[list[str]]) -> Iterator[list[str] | UsageError]:
    """Parses lines; skips those with only delimiters, which spreadsheets write below a table."""
    while True:
        try:
            record = next(lines)
        except StopIteration:
            return
        except csv.Error as error:
            yield UsageError(f"the row is not CSV: {error}", "is a quote left open?")
            continue
        if record and (len(record) == 1 or any(record)):
            yield record


def _csv_row(number: int, names: list[str], record: list[str] | UsageError) -> Row:
    """A row; missing fields at the end are null, since spreadsheets omit empty ones."""
    if isinstance(record, UsageError):
        return Row(number, {}, str(number), record)
    source = "\x1f".join(record)
    if not is_text(source):
        return _broken(number, source)
    lost = _unnamed(names, record)
    if lost:
        message = f"the row has {counted(len(record), 'field')}, and no name for {lost!r:.40}: "
        message += f"the first line has {counted(sum(map(bool, names)), 'name')}"
        cure = "quote fields that hold the delimiter, or name the column"
        return Row(number, {}, source, UsageError(message, cure))
    fields: list[str | None] = [*record, *[None] * (len(names) - len(record))]
    columns = zip(names, fields, strict=False)
    return Row(number, {name: value for name, value in columns if name})


def _unnamed(names: list[str], record: list[str]) -> str | None:
    """A value in a column without a name, not counting unnamed index columns at the left."""
    index = len(list(takewhile(lambda name: not name, names)))
    padded = [*names, *[""] * (len(record) - len(names))]
    pairs = list(zip(padded, record, strict=False))[index:]
    return next((value for name, value in pairs if value and not name), None)
