"""The options of `lepton embed`, `rerank` and `similar`."""

from dataclasses import dataclass
from typing import Annotated, Literal

import typer

from lepton_cli.ui.arguments.options.adapters import LoraFlag, LoraScaledFlag
from lepton_cli.ui.arguments.options.batch import (
    DelimiterFlag,
    EscapeFlag,
    InputFormatFlag,
    JobsFlag,
    OutputOptions,
)
from lepton_cli.ui.arguments.options.groups import section
from lepton_cli.ui.arguments.options.model import (
    BackendFlag,
    ContextFlag,
    GpuLayersFlag,
    ModelFlag,
    ThreadsFlag,
    VerboseFlag,
    WeightCacheFlag,
)
from lepton_cli.ui.arguments.options.prompt import ONE_WORD, PositionalArguments

PoolingChoice = Literal["none", "mean", "cls", "last", "rank"]
VectorFormat = Literal["auto", "jsonl", "numbers", "npy"]
TextRole = Literal["query", "document"]

_model = section("Model")
_texts = section("Texts")
_results = section("Results")


@dataclass(frozen=True, slots=True)
class TextArguments(PositionalArguments):
    """The positional arguments of `lepton embed`."""

    rest: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[TEXT]...",
            help=f"Texts; without any, the lines of -f or of stdin. {ONE_WORD.format('text')}",
        ),
    ] = None


@dataclass(frozen=True, slots=True)
class QueryArguments(PositionalArguments):
    """The positional arguments of `lepton rerank` and `lepton similar`."""

    rest: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[QUERY]",
            help=f"What the texts are compared with. {ONE_WORD.format('query')}",
        ),
    ] = None


@dataclass(frozen=True, slots=True)
class TextModelOptions:
    """Which model reads the texts, and how it is run."""

    model: ModelFlag = None
    backend: BackendFlag = None
    gpu_layers: GpuLayersFlag = "auto"
    threads: ThreadsFlag = -1
    ctx_size: ContextFlag = 0
    ubatch_size: Annotated[
        int,
        _model(
            "--ubatch-size",
            "-ub",
            metavar="N",
            min=1,
            help="Tokens with which a pass over several texts is full; changes only the speed.",
        ),
    ] = 512
    truncate: Annotated[
        bool,
        _model("--truncate", help="Cut texts that are longer than the context, and say so."),
    ] = False
    weight_cache: WeightCacheFlag = 8.0
    lora: LoraFlag = None
    lora_scaled: LoraScaledFlag = None
    verbose: VerboseFlag = False


@dataclass(frozen=True, slots=True)
class InputOptions:
    """Where the texts come from."""

    file: Annotated[
        list[str] | None,
        _texts(
            "--file",
            "-f",
            metavar="FILE",
            help="A file of texts: lines, JSONL, JSON or CSV; -: stdin. Repeatable.",
        ),
    ] = None
    prompt: Annotated[
        str | None,
        _texts(
            "--prompt",
            "-p",
            metavar="TEXT",
            help="The text of each row; {NAME} is the row's column NAME. [default: {text}]",
        ),
    ] = None
    escape: EscapeFlag = True
    input_format: InputFormatFlag = "auto"
    delimiter: DelimiterFlag = None
    jobs: JobsFlag = "auto"


@dataclass(frozen=True, slots=True)
class PrefixOptions:
    """What stands before each text."""

    prefix: Annotated[
        str | None,
        _texts("--prefix", metavar="TEXT", help="Text that the model wants before each text."),
    ] = None
    role: Annotated[
        TextRole | None,
        _texts("--role", help="Put the model's own prefix for queries or documents before them."),
    ] = None
    prefixes: Annotated[
        str | None,
        _texts(
            "--prefixes",
            metavar="NAME",
            help="Whose prefixes --role means: e5, nomic, bge, ... [default: by the model's name]",
        ),
    ] = None


@dataclass(frozen=True, slots=True)
class VectorOptions(OutputOptions):
    """What is made of the texts, and where it is written."""

    pooling: Annotated[
        PoolingChoice | None,
        _model(
            "--pooling", help="How a text's rows become its vector. [default: as the file says]"
        ),
    ] = None
    normalize: Annotated[
        bool, _model("--normalize/--no-normalize", help="Give every vector the length 1.")
    ] = True
    dimensions: Annotated[
        int | None,
        _model(
            "--dimensions",
            metavar="N",
            min=1,
            help="Keep the first N numbers of each vector, for models trained for it. "
            "[default: all]",
        ),
    ] = None
    format: Annotated[
        VectorFormat,
        _results(
            "--format",
            help="JSONL, lines of numbers, or a NumPy array; auto: by the suffix of OUT "
            "(.npy, .txt, .jsonl).",
        ),
    ] = "auto"


@dataclass(frozen=True, slots=True)
class RankingOptions:
    """What is printed of a ranking."""

    top: Annotated[
        int | None,
        _results(
            "--top",
            metavar="N",
            min=0,
            help="Print the N best texts; 0: all. [default: similar 10, rerank all]",
        ),
    ] = None
    jsonl: Annotated[
        bool, _results("--jsonl", help="Print a JSON object for each text, with its row.")
    ] = False


@dataclass(frozen=True, slots=True)
class IndexOptions:
    """The vectors of the texts that are searched."""

    index: Annotated[
        str | None,
        _texts(
            "--index",
            metavar="FILE.npy",
            help="Their vectors, by lepton embed -o FILE.npy. [default: they are computed]",
        ),
    ] = None
    prefix: Annotated[
        str | None,
        _texts(
            "--prefix",
            metavar="TEXT",
            help="Text before the query. [default: for an index by --role, the model's own]",
        ),
    ] = None
