"""The options of `lepton batch` alone."""

from dataclasses import dataclass
from typing import Annotated, Literal

import typer

from lepton_cli.ui.options import Words, section

InputFormat = Literal["auto", "lines", "jsonl", "csv"]

_rows = section("Rows")
_results = section("Results")


@dataclass(frozen=True, slots=True)
class BatchWords(Words):
    """What stands on the command line without a flag."""

    rest: Annotated[
        list[str] | None, typer.Argument(metavar="[INPUT]", help="The file of rows; - is stdin.")
    ] = None


@dataclass(frozen=True, slots=True)
class RowOptions:
    """How rows become prompts."""

    prompt: Annotated[
        str | None,
        _rows("--prompt", "-p", metavar="TEXT", help="The prompt of each row, with its {columns}."),
    ] = None
    escape: Annotated[
        bool, _rows("--escape/--no-escape", "-e", help=r"Expand \n, \t ... in texts.")
    ] = True
    input_format: Annotated[
        InputFormat, _rows("--input-format", help="What INPUT holds [by its suffix].")
    ] = "auto"
    delimiter: Annotated[
        str | None, _rows("--delimiter", metavar="C", help=r"Of CSV; \t is a tab [by line 1].")
    ] = None
    raw: Annotated[
        bool,
        _rows(
            *("--raw", "-no-cnv", "--no-conversation"),
            help="Complete the prompts as they are, without the chat template.",
        ),
    ] = False
    jobs: Annotated[
        str,
        _rows(
            *("--jobs", "--parallel", "-np"),
            metavar="N|auto",
            help="Rows that are answered at once: they change the speed alone.",
        ),
    ] = "auto"
    cluster: Annotated[
        str | None,
        _rows("--cluster", metavar="ADDRESS", help="Have a Dask cluster's workers answer them."),
    ] = None


@dataclass(frozen=True, slots=True)
class ResultOptions:
    """Where results go, and what becomes of those that are there."""

    output: Annotated[
        str,
        _results("--output", "-o", metavar="OUT", help="JSONL, gone on with where it ends."),
    ] = "-"
    output_template: Annotated[
        str | None,
        _results(
            "--output-template",
            metavar="TEXT",
            help="Text lines, not JSON, made of {text} {id} {row} {reasoning} {error} ...",
        ),
    ] = None
    retry_errors: Annotated[
        bool, _results("--retry-errors", help="Try rows again that failed before.")
    ] = False
    overwrite: Annotated[
        bool, _results("--overwrite", help="OUT may lose what is not of these rows and settings.")
    ] = False
