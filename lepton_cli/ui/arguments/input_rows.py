"""Reads the rows of input files, and the options that say how they are used."""

import sys
from dataclasses import replace
from pathlib import Path

from lepton_cli.engine.jobs.columns import ColumnText
from lepton_cli.engine.jobs.rows import STDIN, TEXT, Row, form_of, read_rows
from lepton_cli.engine.text.reading import checked
from lepton_cli.engine.vectors.tasks import Recipe
from lepton_cli.ui.arguments.options.batch import InputFormat
from lepton_cli.ui.arguments.options.texts import InputOptions
from lepton_cli.ui.arguments.prompt import expand_escapes, has_end
from quant.errors import UsageError


def read_input(name: str, input_format: InputFormat, delimiter: str | None) -> list[Row]:
    """The rows of a file, or of stdin: `-`. Raises UsageError."""
    data = _bytes(name)
    form = form_of("" if name == "-" else Path(name).suffix, data)
    form = form if input_format == "auto" else input_format
    delimiter = delimiter and expand_escapes(delimiter, "--delimiter")
    usable = form in ("csv", "tsv") and delimiter not in ('"', "\r", "\n")
    if delimiter is not None and not (usable and len(delimiter) == 1):
        raise UsageError(f"--delimiter {delimiter!r}: it must be one character, for CSV only")
    return read_rows(data, form, delimiter, STDIN if name == "-" else name)


def read_texts(words: list[str], options: InputOptions, *, example: str) -> list[Row]:
    """Rows of the words, or else of the files, or else of stdin. Raises UsageError."""
    files = options.file or []
    if words and files:
        raise UsageError("texts are given twice: as words, and with -f", "give them once")
    if words:
        texts = [checked(word, "the text") for word in words]
        return [Row(number, {TEXT: text}) for number, text in enumerate(texts, 1)]
    if not files and (sys.stdin is None or not has_end(sys.stdin)):
        raise UsageError("there is no text", f"for example: {example}")
    rows = [
        row
        for name in files or ["-"]
        for row in read_input(name, options.input_format, options.delimiter)
    ]
    return [replace(row, number=number) for number, row in enumerate(rows, 1)]


def named_texts(options: InputOptions, *, example: str) -> tuple[list[Row], list[str]]:
    """All rows of files or stdin, and the text of each. Raises UsageError, naming a row."""
    recipe = Recipe(column_text(options.prompt, "-p", escape=options.escape))
    rows = read_texts([], options, example=example)
    recipe.check(rows)
    return rows, [recipe.named_text_of(row) for row in rows]


def column_text(source: str | None, flag: str, *, escape: bool) -> ColumnText | None:
    """A template with columns. Raises UsageError, naming the flag."""
    if source is None:
        return None
    return ColumnText.parse(expand_escapes(source, flag) if escape else checked(source, flag), flag)


def read_jobs(jobs: str) -> int | None:
    """How many rows at once; None: as many as are best. Raises UsageError."""
    if jobs == "auto":
        return None
    if not (jobs.isascii() and jobs.isdigit() and int(jobs) > 0):
        raise UsageError(f"--jobs is {jobs!r}", "a whole number, 1 or more, or auto")
    return int(jobs)


def _bytes(name: str) -> bytes:
    try:
        return sys.stdin.buffer.read() if name == "-" else Path(name).read_bytes()
    except OSError as error:
        raise UsageError(f"{name}: {error.strerror}", "check its path") from error
