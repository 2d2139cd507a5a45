"""The options of the commands that measure how well models predict a text."""

from dataclasses import dataclass
from typing import Annotated, Literal

import typer

from lepton_cli.ui.arguments.completing import complete_model
from lepton_cli.ui.arguments.options.answer import DraftMaxFlag, DraftPMinFlag
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
_drafting = section("Drafting")


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


ChunksFlag = Annotated[
    int, _text("--chunks", metavar="N", min=-1, help="Use only the first N windows; -1: all.")
]


@dataclass(frozen=True, slots=True)
class WindowOptions:
    """Where a text comes from, and how it is cut into windows."""

    file: Annotated[
        str | None,
        _text("--file", "-f", metavar="FILE", help="The file with the text; -: stdin."),
    ] = None
    ctx_size: Annotated[
        int,
        _text("--ctx-size", "-c", metavar="N", min=0, help="Tokens in a window; 0: as trained."),
    ] = 512
    chunks: ChunksFlag = -1


@dataclass(frozen=True, slots=True)
class ScoringOptions:
    """What is scored: windows side by side, windows that overlap, or endings of questions."""

    choices: Annotated[
        str | None,
        _text(
            "--choices",
            metavar="FILE",
            help='Instead of a text: rows {"prompt": ..., "choices": [...], "answer": N} (JSONL), '
            "whose most likely choice should be the answer; also context, endings, label.",
        ),
    ] = None

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
class MeasuredModelOptions(RunningOptions):
    """The model that is measured."""

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


@dataclass(frozen=True, slots=True)
class ImatrixOptions:
    """What is collected, and where it is written."""

    output: Annotated[
        str, _output("--output", "-o", metavar="OUT", help="The file; of the same run: continued.")
    ] = "imatrix.gguf"
    output_format: Annotated[
        Literal["auto", "gguf", "dat"],
        _output("--output-format", help="Layout of OUT; auto: by its suffix, .dat is the old one."),
    ] = "auto"
    output_frequency: Annotated[
        int,
        _output("--output-frequency", "-ofreq", metavar="N", min=1, help="Save every N windows."),
    ] = 10
    save_frequency: Annotated[
        int,
        _output(
            "--save-frequency", metavar="N", min=0, help="Keep a copy every N windows; 0: none."
        ),
    ] = 0
    overwrite: Annotated[
        bool, _output("--overwrite", help="Replace OUT, even if it is of another run.")
    ] = False
    in_file: Annotated[
        list[str] | None,
        _text(
            "--in-file",
            metavar="FILE",
            help="Add what this importance matrix holds; without a text only merge. Repeatable.",
        ),
    ] = None
    chunk: Annotated[
        int, _text("--chunk", "--from-chunk", metavar="N", min=0, help="Skip the first N windows.")
    ] = 0
    process_output: Annotated[
        bool, _model("--process-output", help="Also collect for output.weight.")
    ] = False
    show_statistics: Annotated[
        bool, _output("--show-statistics", help="Show what the matrix of --in-file says instead.")
    ] = False


@dataclass(frozen=True, slots=True)
class DraftTextOptions(WindowOptions):
    """The text that prompts are cut from."""

    ctx_size: Annotated[
        int,
        _text(
            "--ctx-size",
            "-c",
            metavar="N",
            min=0,
            help="Tokens in a window of the text, whose first half is a prompt; 0: as trained.",
        ),
    ] = 512
    chunks: ChunksFlag = 4


@dataclass(frozen=True, slots=True)
class DraftingOptions:
    """What is tried, and how it is measured."""

    candidates: Annotated[
        list[str] | None,
        _drafting(
            "--candidates",
            metavar="NAME,...",
            help="Try only these: models, ngram-simple, draft-mtp, pruned. [default: all]",
        ),
    ] = None
    predict: Annotated[
        int,
        _drafting(
            *("--predict", "-n", "--n-predict"),
            metavar="N",
            min=2,
            help="Generate at most N tokens for each prompt.",
        ),
    ] = 64
    rounds: Annotated[
        int,
        _drafting(
            "--rounds", metavar="N", min=2, help="Answer all prompts N times, with and without."
        ),
    ] = 3
    draft_max: DraftMaxFlag = 15
    draft_p_min: DraftPMinFlag = 0.75
    temp: Annotated[
        float,
        _drafting(
            *("--temp", "--temperature"),
            metavar="T",
            min=0,
            help="Draw tokens at this temperature, with the model's other settings of sampling; "
            "0: the most likely ones.",
        ),
    ] = 0.0
    seed: Annotated[
        int, _drafting("--seed", "-s", metavar="N", min=0, help="Of tokens that are drawn.")
    ] = 0


@dataclass(frozen=True, slots=True)
class DraftOutputOptions:
    """What is done instead, and what is printed."""

    list: Annotated[bool, _output("--list", help="Print the drafts that are remembered.")] = False
    forget: Annotated[
        bool, _output("--forget", help="Forget the draft that is remembered for MODEL.")
    ] = False
