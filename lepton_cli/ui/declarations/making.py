"""The commands that make model files: quantize, prune, split, merge, merge-lora, convert."""

from pathlib import Path
from typing import Annotated

import typer

from lepton_cli.ui.arguments.completing import complete_model
from lepton_cli.ui.arguments.options.adapters import LoraOptions
from lepton_cli.ui.arguments.options.making import (
    PruningOptions,
    QuantizedModelOptions,
    TargetOptions,
    TensorTypeOptions,
    WritingOptions,
)
from lepton_cli.ui.arguments.options.measuring import RunningOptions, WindowOptions
from lepton_cli.ui.arguments.options.prompt import MODEL_HELP
from lepton_cli.ui.declarations.declaring import NO_CONFIG_EPILOG, command, option

Source = Annotated[
    str, typer.Argument(metavar="MODEL", help=MODEL_HELP, autocompletion=complete_model)
]
OutFile = Annotated[Path, typer.Argument(metavar="OUT", help="The file to be written.")]


@command("quantize", epilog="Each tensor's bytes are those that llama-quantize writes.")
def quantize(
    model: Source,
    out: OutFile,
    tensors: TensorTypeOptions,
    target: TargetOptions,
    text: WindowOptions,
    file: QuantizedModelOptions,
    how: WritingOptions,
    type: Annotated[  # noqa: A002  (the argument's name)
        str | None,
        typer.Argument(metavar="[TYPE]", help="The type of the file: Q4_K_M, Q8_0, IQ3_M, ..."),
    ] = None,
) -> None:
    """Make a model smaller by storing its weights in fewer bits.

    MODEL is an F16, BF16 or F32 file. TYPE says what most tensors get; the more important ones
    get more bits, as llama-quantize chooses. With --imatrix the loss is smaller, from four bits
    a weight down by much. An unknown TYPE lists all. With --target-size in place of TYPE the
    types are chosen by what their rounding does to the model on a text.
    """
    from lepton_cli.ui.commands.making.quantize import QuantizeRequest, quantize

    asked = QuantizeRequest(model, out, type, tensors, text, file, how)
    if target.target_size is None:
        quantize(asked)
    else:
        from lepton_cli.ui.commands.making.quantize_to_size import quantize_to_size

        quantize_to_size(asked, target.target_size)


@command("prune", epilog=NO_CONFIG_EPILOG)
def prune(
    model: Source,
    what: PruningOptions,
    text: WindowOptions,
    running: RunningOptions,
    how: WritingOptions,
    out: Annotated[
        Path | None,
        typer.Argument(metavar="[OUT]", help="The file to write; without it, only a report."),
    ] = None,
) -> None:
    """Make a model smaller by leaving out layers, channels, heads or experts.

    The least important leave: layers that change least what enters them, over a text (-f);
    units that the matrix behind them makes least of, by the size of its columns and by their
    importance (--imatrix). With a text the report also tells what was lost. The result is an
    ordinary GGUF file.
    """
    from lepton_cli.ui.commands.making.prune import PruneRequest, prune_model

    prune_model(PruneRequest(model, out, what, text, running, how))


@command("split", epilog=NO_CONFIG_EPILOG)
def split(
    model: Source,
    prefix: Annotated[
        Path,
        typer.Argument(metavar="OUT", help="How the names of the files begin."),
    ],
    how: WritingOptions,
    split_max_size: Annotated[
        str | None,
        option("--split-max-size", metavar="N(M|G)", help="Most bytes of tensors in a file."),
    ] = None,
    split_max_tensors: Annotated[
        int | None,
        option(
            "--split-max-tensors",
            metavar="N",
            min=1,
            help="Most tensors in a file. [default: 128]",
        ),
    ] = None,
    no_tensor_first_split: Annotated[
        bool, option("--no-tensor-first-split", help="The first file has the keys alone.")
    ] = False,
) -> None:
    """Split a model into several files, as llama-gguf-split does.

    Every command takes the first file for the whole model. All files appear, or none.
    """
    from lepton_cli.ui.commands.making.shards import SplitRequest, split

    limits = split_max_size, split_max_tensors
    split(SplitRequest(model, prefix, *limits, no_tensor_first_split, how))


@command("merge", epilog=NO_CONFIG_EPILOG)
def merge(
    model: Source,
    out: OutFile,
    how: WritingOptions,
) -> None:
    """Merge a split model into one file. MODEL is its first part."""
    from lepton_cli.ui.commands.making.shards import merge

    merge(model, out, how)


@command("merge-lora", epilog=NO_CONFIG_EPILOG)
def merge_lora(
    model: Source,
    out: OutFile,
    adapters: LoraOptions,
    how: WritingOptions,
    type: Annotated[  # noqa: A002  (the option's name)
        str | None,
        option(
            "--type",
            metavar="TYPE",
            help="Type of the tensors that change, like F16 or Q8_0. [default: the one they have]",
        ),
    ] = None,
) -> None:
    """Merge LoRA adapters into a model: W + scale x B A instead of W.

    The result gives the logits of the model with the adapters, but for the rounding of its
    types. All other tensors and keys are copied.
    """
    from lepton_cli.ui.commands.making.merge_lora import merge_adapters

    merge_adapters(model, out, adapters, type, how)


@command("convert", epilog=NO_CONFIG_EPILOG)
def convert(
    folder: Annotated[
        Path, typer.Argument(metavar="FOLDER", help="With config.json and the .safetensors files.")
    ],
    out: OutFile,
    how: WritingOptions,
    type: Annotated[  # noqa: A002  (the option's name)
        str | None,
        option(
            "--type",
            metavar="TYPE",
            help="F16, BF16, F32, Q8_0, or auto: BF16 if the weights are, else F16. "
            "[default: auto]",
        ),
    ] = None,
) -> None:
    """Convert a model of transformers (safetensors) to GGUF.

    Takes Llama, Mistral, Qwen 2 and 3, Gemma 2 and 3, Phi 3, GPT-2 and BERT. Tokenizer, chat
    template and keys are written as llama.cpp's converter does.
    """
    from lepton_cli.ui.commands.making.convert import convert_folder

    convert_folder(folder, out, type, how)
