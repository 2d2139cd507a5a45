r"""What an input file holds: lines, JSONL or CSV, a row each; what cannot be read is a row, too.

lines   one prompt a line, the column `text`
jsonl   an object a line, its fields are the columns; or a string, the column `text`
csv     a first line with the columns' names; "" is a quote within quotes, a field may hold \n

Blank lines are no rows. Text is UTF-8, with or without a byte order mark; lines end in \n or \r\n.
"""

import csv
import io
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal

from lepton_cli.engine.plain import Plain
from quant.errors import LeptonError, UsageError

Form = Literal["lines", "jsonl", "csv"]
SUFFIXES: dict[str, Form] = {
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".csv": "csv",
    ".tsv": "csv",
    ".txt": "lines",
}
TEXT = "text"  # the column of a row that is nothing but a text
BYTE_ORDER_MARK = "\ufeff"
LARGEST_FIELD = 1 << 30  # of a CSV; Python's own limit is less than a long document


@dataclass(frozen=True, slots=True)
class Row:
    """The columns of a row; of one that cannot be read, its `source` and what is wrong with it."""

    number: int  # from 1
    columns: dict[str, Plain] = field(default_factory=dict)
    source: str = ""
    error: LeptonError | None = None


def form_of(suffix: str, data: bytes) -> Form:
    """By the file's suffix; where it says nothing, JSONL is told by an object in the first line."""
    known = SUFFIXES.get(suffix.lower())
    if known is not None:
        return known
    first = data.removeprefix(BYTE_ORDER_MARK.encode()).lstrip().split(b"\n", 1)[0]
    try:
        return "jsonl" if isinstance(json.loads(first), dict) else "lines"
    except (ValueError, RecursionError):
        return "lines"


def read_rows(data: bytes, form: Form, delimiter: str | None = None) -> list[Row]:
    """Raises UsageError for what is wrong with the file as a whole."""
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise UsageError("the input is UTF-16", "convert it: iconv -f UTF-16 -t UTF-8")
    text = data.decode("utf-8", "surrogateescape").removeprefix(BYTE_ORDER_MARK)
    if form == "csv":
        return list(_csv_rows(text, delimiter))
    lines = (line.removesuffix("\r") for line in text.split("\n"))
    read = _json_row if form == "jsonl" else _line_row
    return [read(i, line) for i, line in enumerate(filter(str.strip, lines), 1)]


def is_text(text: str) -> bool:
    """Whether it is whole: bytes that are not UTF-8, and half characters in JSON, are not."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _line_row(number: int, line: str) -> Row:
    return Row(number, {TEXT: line}) if is_text(line) else _broken(number, line)


def _json_row(number: int, line: str) -> Row:
    try:
        value = json.loads(line, parse_constant=_refuse)
        if isinstance(value, str):
            value = {TEXT: value}
        whole = is_text(line) and is_text(json.dumps(value, ensure_ascii=False, allow_nan=False))
    except json.JSONDecodeError as error:
        message = f"the row is not JSON: {error.msg} at column {error.colno}"
        return _broken(number, line, UsageError(message))
    except (ValueError, RecursionError) as error:
        return _broken(number, line, UsageError(f"the row is not JSON: {error}"))
    if not whole:
        return _broken(number, line)
    if not isinstance(value, dict):
        return _broken(number, line, UsageError("the row is neither a JSON object nor a string"))
    return Row(number, value)


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is no number")


def _broken(number: int, source: str, error: LeptonError | None = None) -> Row:
    return Row(number, {}, source, error or _not_utf8(source.encode(errors="surrogateescape")))


def _not_utf8(raw: bytes) -> UsageError:
    try:
        raw.decode()
    except UnicodeDecodeError as error:
        byte = f"byte {raw[error.start]:#04x} at {error.start}"
        return UsageError(f"the row is not UTF-8: {byte}", "convert it, e.g. with iconv")
    return UsageError("the row has half a character (a single surrogate)")


def _csv_rows(text: str, delimiter: str | None) -> Iterator[Row]:
    csv.field_size_limit(LARGEST_FIELD)
    chosen = delimiter or _delimiter(text.lstrip("\r\n").split("\n", 1)[0])
    lines = csv.reader(io.StringIO(text, newline=""), delimiter=chosen, strict=True)
    records = _csv_records(lines)
    header = next(records, [])
    if isinstance(header, UsageError):
        raise header
    names = [name.strip() for name in header]
    if not all(map(is_text, names)):
        raise UsageError("the CSV's first line is not UTF-8", "convert it, e.g. with iconv")
    if len(set(names)) < len(names) or "" in names:
        message = f"the CSV's first line must name its columns, each once: {', '.join(names)!r}"
        raise UsageError(message)
    for number, record in enumerate(records, 1):
        yield _csv_row(number, names, record)


def _delimiter(header: str) -> str:
    """The comma, unless the first line has none: then what Excel writes in its stead."""
    return next((each for each in ",\t;" if each in header), ",")


def _csv_records(lines: Iterator[list[str]]) -> Iterator[list[str] | UsageError]:
    while True:
        try:
            record = next(lines)
        except StopIteration:
            return
        except csv.Error as error:
            yield UsageError(f"the row is not CSV: {error}", "is a quote left open?")
            continue
        if record:
            yield record


def _csv_row(number: int, names: list[str], record: list[str] | UsageError) -> Row:
    if isinstance(record, UsageError):
        return Row(number, {}, str(number), record)
    source = "\x1f".join(record)
    if not is_text(source):
        return _broken(number, source)
    if len(record) != len(names):
        message = f"the row has {len(record)} fields, the first line {len(names)}"
        return Row(number, {}, source, UsageError(message, "quote fields that hold the delimiter"))
    return Row(number, dict(zip(names, record, strict=True)))
