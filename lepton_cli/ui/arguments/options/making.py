"""The options of the commands that write model files."""

from dataclasses import dataclass
from typing import Annotated, Literal

from lepton_cli.ui.arguments.options.groups import JsonFlag, section
from lepton_cli.ui.arguments.options.model import ThreadsFlag, VerboseFlag

_types = section("Types of tensors")
_model = section("Model")
_what = section("What to leave out")
_option = section("Options")

ImatrixFlag = Annotated[
    str | None,
    _option(
        "--imatrix",
        metavar="FILE",
        help="Importance matrix of lepton imatrix or llama-imatrix (GGUF or .dat).",
    ),
]


@dataclass(frozen=True, slots=True)
class WritingOptions:
    """How files are written."""

    overwrite: Annotated[bool, _option("--overwrite", help="Replace what exists.")] = False
    dry_run: Annotated[bool, _option("--dry-run", help="Only say what would be written.")] = False
    json: JsonFlag = False


@dataclass(frozen=True, slots=True)
class TensorTypeOptions:
    """Which tensor gets which type."""

    imatrix: ImatrixFlag = None
    tensor_type: Annotated[
        list[str] | None,
        _types(
            "--tensor-type",
            metavar="NAME=TYPE",
            help=r"Type of the tensors whose names match: ffn_down=q6_k, or '\.(1|2)\..*=q8_0'. "
            "Repeatable.",
        ),
    ] = None
    output_tensor_type: Annotated[
        str | None, _types("--output-tensor-type", metavar="TYPE", help="Type of output.weight.")
    ] = None
    token_embedding_type: Annotated[
        str | None,
        _types("--token-embedding-type", metavar="TYPE", help="Type of token_embd.weight."),
    ] = None
    pure: Annotated[
        bool, _types("--pure", help="The same type for all tensors, without exceptions.")
    ] = False
    leave_output_tensor: Annotated[
        bool, _types("--leave-output-tensor", help="Leave output.weight as it is.")
    ] = False
    allow_requantize: Annotated[
        bool,
        _types(
            "--allow-requantize", help="Also convert tensors that are quantized already, at a loss."
        ),
    ] = False


@dataclass(frozen=True, slots=True)
class TargetOptions:
    """A size instead of a type."""

    target_size: Annotated[
        str | None,
        _types(
            "--target-size",
            metavar="SIZE",
            help="Choose the types that lose least on a text (-f) in a file of this size: 3.5G, "
            "or bits a weight: 4.5bpw.",
        ),
    ] = None


@dataclass(frozen=True, slots=True)
class QuantizedModelOptions:
    """What else the file has, and how it is made."""

    prune_layers: Annotated[
        str | None,
        _model("--prune-layers", metavar="L,...", help="Leave out these layers: 20,21 or 20-23."),
    ] = None
    override_kv: Annotated[
        list[str] | None,
        _model(
            "--override-kv",
            metavar="KEY=TYPE:VALUE",
            help="Set a key; the type is int, float, bool or str. Repeatable.",
        ),
    ] = None
    keep_split: Annotated[
        bool, _model("--keep-split", help="Write as many files as the source has, not one.")
    ] = False
    threads: ThreadsFlag = -1
    verbose: VerboseFlag = False


@dataclass(frozen=True, slots=True)
class PruningOptions:
    """How much of what is left out."""

    layers: Annotated[
        int, _what("--layers", metavar="N", min=0, help="Leave out the N least important layers.")
    ] = 0
    drop_layers: Annotated[
        str | None,
        _what(
            *("--drop-layers", "--prune-layers"),
            metavar="L,...",
            help="Leave out these layers, counted from 0: 20,21 or 20-23.",
        ),
    ] = None
    rank: Annotated[
        Literal["influence", "kld"],
        _what(
            "--rank",
            help="What makes a layer important: how far it turns what enters it, or how far the "
            "model without it diverges (a trial for each layer that is left).",
        ),
    ] = "influence"
    channels: Annotated[
        float,
        _what(
            "--channels",
            metavar="SHARE",
            help="Leave out this share of the feed-forward channels: 0.25.",
        ),
    ] = 0.0
    heads: Annotated[
        float,
        _what(
            "--heads",
            metavar="SHARE",
            help="Leave out this share of the KV heads, with their query heads.",
        ),
    ] = 0.0
    experts: Annotated[
        float,
        _what(
            "--experts", metavar="SHARE", help="Leave out this share of the experts of each layer."
        ),
    ] = 0.0
    sparsity: Annotated[
        str | None,
        _what(
            "--sparsity",
            metavar="SHARE|N:M",
            help="Set weights to zero instead: a share (0.5), or 2:4 (2 of 4 neighbours stay).",
        ),
    ] = None
    target_size: Annotated[
        str | None,
        _what(
            "--target-size",
            metavar="SIZE",
            help="Leave out so much that the file has at most this size: 3.5G.",
        ),
    ] = None
    by: Annotated[
        Literal["layers", "channels", "heads", "experts"],
        _what("--by", help="What --target-size leaves out."),
    ] = "layers"
    imatrix: ImatrixFlag = None
