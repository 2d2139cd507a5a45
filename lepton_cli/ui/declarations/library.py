"""The commands about the model files of this disk: inspect, verify, diff, models."""

from pathlib import Path
from typing import Annotated

import typer

from lepton_cli.ui.arguments.completing import complete_model
from lepton_cli.ui.arguments.options.prompt import MODEL_HELP
from lepton_cli.ui.arguments.words import only_model
from lepton_cli.ui.declarations.declaring import (
    NO_CONFIG_EPILOG,
    AsJson,
    ModelFile,
    ModelName,
    command,
    option,
)


@command("inspect", epilog=NO_CONFIG_EPILOG)
def inspect(
    context: typer.Context,
    file: ModelFile = None,
    model: ModelName = None,
    metadata: Annotated[bool, option("--metadata", help="Also list all metadata keys.")] = False,
    tensors: Annotated[bool, option("--tensors", help="Also list all tensors.")] = False,
    template: Annotated[bool, option("--template", help="Print only the chat template.")] = False,
    json: AsJson = False,
) -> None:
    """Show what a model file contains."""
    name = only_model(context, file, model)
    from lepton_cli.engine.library.catalogue import resolve
    from lepton_cli.engine.loading.inspection import inspect as read
    from lepton_cli.ui.commands import inspect as view
    from quant.gguf import GGUF

    opened = read(GGUF.open(resolve(name)))
    if template:
        view.show_template(opened)
    elif json:
        view.show_json(opened, tensors=tensors)
    else:
        view.show(opened, metadata=metadata, tensors=tensors)


@command("verify", epilog=NO_CONFIG_EPILOG)
def verify(
    context: typer.Context,
    file: ModelFile = None,
    model: ModelName = None,
    manifest: Annotated[
        Path | None,
        option("--manifest", metavar="FILE", help="Compare with the hashes of this manifest."),
    ] = None,
    write_manifest: Annotated[
        Path | None,
        option("--write-manifest", metavar="FILE", help="Write the hash of each tensor there."),
    ] = None,
    json: AsJson = False,
) -> None:
    """Check that a model file is whole: structure, values, hashes.

    Reads the whole file: no tensor may overlap another, leave a gap or hold NaN or Inf; the
    parts of a split model must belong together. The sha256 is compared with the one in the
    name of a downloaded file, or in models.toml. Exit code 3 for a faulty file.
    """
    name = only_model(context, file, model)
    from lepton_cli.ui.commands.library.verify import check

    check(name, manifest, write_manifest, json=json)


@command("diff", epilog=NO_CONFIG_EPILOG)
def diff(
    first: Annotated[
        str, typer.Argument(metavar="MODEL", help=MODEL_HELP, autocompletion=complete_model)
    ],
    second: Annotated[
        str, typer.Argument(metavar="OTHER", help="Another.", autocompletion=complete_model)
    ],
    top: Annotated[
        int, option("--top", min=0, help="How many of the largest changes of values to show.")
    ] = 10,
    json: AsJson = False,
) -> None:
    """Show what differs between two models: keys, tensors, types, values.

    Marks what is removed (-), added (+) and changed (!) from the first to the second. A
    relative change is that of all of a tensor's values, dequantized: |B - A| / |A|. How the
    files are split is not compared. Exit code 0 if they are equal, 1 if not.
    """
    from lepton_cli.ui.commands.library.diff import show

    show(first, second, top, json=json)


@command("models", epilog=NO_CONFIG_EPILOG)
def models(
    architectures: Annotated[
        bool, option("--architectures", help="List the supported model architectures instead.")
    ] = False,
    json: AsJson = False,
) -> None:
    """List the models on this disk, and those that can be downloaded by name."""
    if architectures:
        from lepton_cli.ui.commands import architectures as table

        table.show_json() if json else table.show()
        return
    from lepton_cli.ui.commands import models as view

    view.show_json() if json else view.show()
