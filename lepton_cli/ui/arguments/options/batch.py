"""The options that only `lepton batch` has."""

from dataclasses import dataclass
from typing import Annotated, Literal

import typer

from lepton_cli.ui.arguments.options.groups import section
from lepton_cli.ui.arguments.options.prompt import ONE_WORD, PositionalArguments

InputFormat = Literal["auto", "lines", "jsonl", "json", "csv", "tsv"]

_rows = section("Rows")
_results = section("Results")


@dataclass(frozen=True, slots=True)
class BatchArguments(PositionalArguments):
    """The positional arguments."""

    rest: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[INPUT]",
            help=f"The input file with the rows; -: stdin. {ONE_WORD.format('input')}",
        ),
    ] = None


EscapeFlag = Annotated[
    bool,
    _rows(
        "--escape/--no-escape",
        "-e",
        help=r"Expand escapes (\n, \t, \\, \xHH) in option texts.",
    ),
]
InputFormatFlag = Annotated[
    InputFormat, _rows("--input-format", help="Format of the input; auto: by its suffix.")
]
DelimiterFlag = Annotated[
    str | None,
    _rows(
        "--delimiter",
        metavar="C",
        help=r"Delimiter of CSV, such as ; or \t. [default: by the first line]",
    ),
]
JobsFlag = Annotated[
    str,
    _rows(
        *("--jobs", "--parallel", "-np"),
        metavar="N|auto",
        help="Rows that run at the same time; changes only the speed.",
    ),
]


@dataclass(frozen=True, slots=True)
class RowOptions:
    """How rows become prompts."""

    prompt: Annotated[
        str | None,
        _rows(
            "--prompt",
            "-p",
            metavar="TEXT",
            help="The prompt for each row; {NAME} is the row's column NAME.",
        ),
    ] = None
    escape: EscapeFlag = True
    input_format: InputFormatFlag = "auto"
    delimiter: DelimiterFlag = None
    raw: Annotated[
        bool,
        _rows(
            *("--raw", "-no-cnv", "--no-conversation"),
            help="Complete the prompts as they are, without the chat template.",
        ),
    ] = False
    parse_special: Annotated[
        bool,
        _rows(
            "--parse-special",
            help="With --raw: read <|...|> in prompts and cells as special tokens.",
        ),
    ] = False
    jobs: JobsFlag = "auto"
    cluster: Annotated[
        str | None,
        _rows(
            "--cluster",
            metavar="ADDRESS",
            help="Let the workers of a Dask cluster answer the rows.",
        ),
    ] = None


@dataclass(frozen=True, slots=True)
class OutputOptions:
    """Where results are written, and what happens to existing ones."""

    output: Annotated[
        str,
        _results(
            "--output",
            "-o",
            metavar="OUT",
            help="Output file; an existing one is continued; -: stdout.",
        ),
    ] = "-"
    retry_errors: Annotated[
        bool, _results("--retry-errors", help="Run rows again that failed in an earlier run.")
    ] = False
    overwrite: Annotated[
        bool,
        _results(
            "--overwrite", help="Discard results in OUT that belong to other rows or settings."
        ),
    ] = False


@dataclass(frozen=True, slots=True)
class ResultOptions(OutputOptions):
    """The results of `lepton batch`."""

    output_template: Annotated[
        str | None,
        _results(
            "--output-template",
            metavar="TEXT",
            help="Write text lines instead of JSON, with {id} {row} {text} {reasoning} {error} ...",
        ),
    ] = None
