"""The options of `lepton quantize`."""

from dataclasses import dataclass
from typing import Annotated

from lepton_cli.ui.arguments.options.groups import section
from lepton_cli.ui.arguments.options.model import ThreadsFlag, VerboseFlag

_types = section("Types of tensors")
_model = section("Model")


@dataclass(frozen=True, slots=True)
class TensorTypeOptions:
    """Which tensor gets which type."""

    imatrix: Annotated[
        str | None,
        _types(
            "--imatrix",
            metavar="FILE",
            help="Importance matrix of lepton imatrix or llama-imatrix (GGUF or .dat).",
        ),
    ] = None
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
