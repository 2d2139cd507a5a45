"""The commands about model files: inspect, verify, diff, plan, models, pull."""

from pathlib import Path
from typing import Annotated

import typer

from lepton_cli.ui.arguments.completing import complete_model, complete_pull
from lepton_cli.ui.arguments.options.groups import JsonFlag
from lepton_cli.ui.arguments.options.plan import PlanOptions
from lepton_cli.ui.arguments.options.prompt import MODEL_HELP
from lepton_cli.ui.arguments.words import only_model
from lepton_cli.ui.declarations.declaring import (
    NO_CONFIG_EPILOG,
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
    json: JsonFlag = False,
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
    json: JsonFlag = False,
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
        int,
        option(
            "--top", metavar="N", min=0, help="How many of the largest changes of values to show."
        ),
    ] = 10,
    json: JsonFlag = False,
) -> None:
    """Show what differs between two models: keys, tensors, types, values.

    Marks what is removed (-), added (+) and changed (!) from the first to the second. A
    relative change is that of all of a tensor's values, dequantized: |B - A| / |A|. How the
    files are split is not compared. Exit code 0 if they are equal, 1 if not.
    """
    from lepton_cli.ui.commands.library.diff import show

    show(first, second, top, json=json)


@command("plan", epilog="Several values give several rows: -c 8192,32768 -ctk f16,q8_0")
def plan(
    context: typer.Context,
    options: PlanOptions,
    file: ModelFile = None,
    model: ModelName = None,
    json: JsonFlag = False,
) -> None:
    """Show the memory that a model takes with each context and cache type, and what fits.

    The figures are those that loading uses; the weights are not read. Scratch is what a step
    computes with; other is the tokenizer and a reserve.
    """
    name = only_model(context, file, model)
    from lepton_cli.ui.commands.library.plan import show

    show(name, options, json=json)


@command("models", epilog=NO_CONFIG_EPILOG)
def models(
    architectures: Annotated[
        bool, option("--architectures", help="List the supported model architectures instead.")
    ] = False,
    json: JsonFlag = False,
    remove: Annotated[
        str | None,
        option(
            "--remove",
            metavar="NAME",
            help="Delete a downloaded model from this disk.",
            autocompletion=complete_model,
        ),
    ] = None,
    yes: Annotated[bool, option("--yes", "-y", help="Remove without asking.")] = False,
) -> None:
    """List the models on this disk, and those that can be downloaded by name."""
    if remove is not None:
        from lepton_cli.ui.commands.library.removal import remove_model

        remove_model(remove, yes=yes)
        return
    if architectures:
        from lepton_cli.ui.commands import architectures as table

        table.show_json() if json else table.show()
        return
    from lepton_cli.ui.commands import models as view

    view.show_json() if json else view.show()


@command("pull", epilog=NO_CONFIG_EPILOG)
def pull(
    name: Annotated[
        str | None,
        typer.Argument(
            metavar="[NAME]",
            help="A name that `lepton models` lists, user/repo[:QUANT], or a URL.",
            autocompletion=complete_pull,
        ),
    ] = None,
    hf_repo: Annotated[
        str | None,
        option(
            *("--hf-repo", "-hf", "-hfr"),
            metavar="USER/REPO[:QUANT]",
            help="A repository on Hugging Face. [default QUANT: Q4_K_M, else the first]",
        ),
    ] = None,
    hf_file: Annotated[
        str | None, option("--hf-file", "-hff", metavar="FILE", help="The file in it.")
    ] = None,
    model_url: Annotated[
        str | None,
        option("--model-url", "-mu", metavar="URL", help="The address of a GGUF file."),
    ] = None,
    list: Annotated[  # noqa: A002  (parameters are named like their flags)
        bool, option("--list", help="Only list the models of the repository.")
    ] = False,
    mmproj: Annotated[
        bool, option("--mmproj/--no-mmproj", help="Also take the image projector, if there is one.")
    ] = True,
    offline: Annotated[
        bool, option("--offline", help="Do not use the network: find it on this disk or fail.")
    ] = False,
    quiet: Annotated[bool, option("--quiet", "-q", help="Show no progress.")] = False,
    json: JsonFlag = False,
) -> None:
    """Download a model, and print the path of its file.

    It is checked, stored where Hugging Face's own tools keep it, and found by its name from then
    on. The same command continues a download that was stopped. HF_TOKEN (or `hf auth login`)
    gives access to gated models; HF_HOME and HF_HUB_CACHE choose the folder.
    """
    from lepton_cli.ui.commands.library.pull import PullRequest, pull_model

    pull_model(
        PullRequest(
            *(name, hf_repo, hf_file, model_url),
            list_only=list,
            companion=mmproj,
            offline=offline,
            quiet=quiet,
            json=json,
        )
    )
