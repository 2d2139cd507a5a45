"""The commands about the model files of this disk: inspect, models."""

from typing import Annotated

import typer

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
