"""The options of the commands that measure how well models predict a text."""

from dataclasses import dataclass
from typing import Annotated

import typer

from lepton_cli.ui.arguments.completing import complete_model
from lepton_cli.ui.arguments.options.groups import section
from lepton_cli.ui.arguments.options.model import (
    BackendFlag,
    CacheTypeKFlag,
    CacheTypeVFlag,
    GpuLayersFlag,
    ModelFlag,
    ThreadsFlag,
    VerboseFlag,
    WeightCacheFlag,
)
from lepton_cli.ui.arguments.options.prompt import MODEL_HELP, ONE_WORD, PositionalArguments

_model = section("Model")
_text = section("Text")
_output = section("Output")

FileFlag = Annotated[
    str | None,
    _text("--file", "-f", metavar="FILE", help="The text, instead of the argument; -: stdin."),
]


@dataclass(frozen=True, slots=True)
class TextFileArguments(PositionalArguments):
    """A model, and a file with a text."""

    rest: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[FILE]",
            help=f"The file with the text; -: stdin. {ONE_WORD.format('file')}",
        ),
    ] = None


@dataclass(frozen=True, slots=True)
class WindowOptions:
    """Where a text comes from, and how it is cut into windows."""

    file: FileFlag = None
    ctx_size: Annotated[
        int,
        _text("--ctx-size", "-c", metavar="N", min=0, help="Tokens in a window; 0: as trained."),
    ] = 512
    chunks: Annotated[
        int,
        _text("--chunks", metavar="N", min=-1, help="Read only the first N windows; -1: all."),
    ] = -1


@dataclass(frozen=True, slots=True)
class StrideOptions:
    """Windows that overlap."""

    ppl_stride: Annotated[
        int,
        _text(
            "--ppl-stride",
            metavar="N",
            min=0,
            help="Begin a window every N tokens, and score its last N; 0: windows side by side.",
        ),
    ] = 0


@dataclass(frozen=True, slots=True)
class RunningOptions:
    """Where and how models are computed."""

    backend: BackendFlag = None
    gpu_layers: GpuLayersFlag = "auto"
    threads: ThreadsFlag = -1
    cache_type_k: CacheTypeKFlag = "f16"
    cache_type_v: CacheTypeVFlag = "f16"
    ubatch_size: Annotated[
        int, _model("--ubatch-size", "-ub", metavar="N", min=1, help="Tokens per pass.")
    ] = 512
    weight_cache: WeightCacheFlag = 8.0
    verbose: VerboseFlag = False


@dataclass(frozen=True, slots=True)
class PerplexityModelOptions(RunningOptions):
    """The model whose perplexity is measured."""

    model: ModelFlag = None


@dataclass(frozen=True, slots=True)
class ComparisonArguments:
    """Two models, and a file with a text."""

    reference: Annotated[
        str,
        typer.Argument(
            metavar="A", help=f"The reference model. {MODEL_HELP}", autocompletion=complete_model
        ),
    ]
    other: Annotated[
        str,
        typer.Argument(
            metavar="B", help="The model to compare with it.", autocompletion=complete_model
        ),
    ]
    text: Annotated[
        str | None, typer.Argument(metavar="[FILE]", help="The file with the text; -: stdin.")
    ] = None


@dataclass(frozen=True, slots=True)
class PerplexityOutputOptions:
    """What is printed."""

    plot: Annotated[
        bool,
        _output("--plot", help="Draw the loss by the place in a window, and along the text."),
    ] = False
    json: Annotated[
        bool, _output("--json", help="Print all figures and both curves as one JSON object.")
    ] = False
