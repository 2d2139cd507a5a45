"""The commands about this machine: cache, warmup, doctor."""

from typing import Annotated, Literal

import typer

from lepton_cli.ui.arguments.completing import complete_model
from lepton_cli.ui.arguments.options.groups import JsonFlag
from lepton_cli.ui.declarations.declaring import NO_CONFIG_EPILOG, command, option


@command("cache", epilog=NO_CONFIG_EPILOG)
def cache(
    action: Annotated[
        Literal["ls", "clear"],
        typer.Argument(metavar="[ls|clear]", help="ls shows the cache, clear empties it."),
    ] = "ls",
    json: JsonFlag = False,
) -> None:
    """Show or clear what is cached on disk: prompts and packed weights."""
    from lepton_cli.ui.commands import cache as view

    if action == "clear":
        view.clear()
    elif json:
        view.show_json()
    else:
        view.show()


@command("warmup", epilog=NO_CONFIG_EPILOG)
def warmup(
    models: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[MODEL]...",
            help="Compile only what these models need.",
            autocompletion=complete_model,
        ),
    ] = None,
    verbose: Annotated[
        bool, option("--verbose", "-v", help="Show the name of each kernel.")
    ] = False,
) -> None:
    """Compile all kernels now, so that later runs start faster.

    Compiles the kernels of all formats, for the CPU and for a GPU if there is one. They are
    stored for this machine and this version of Lepton; kernels that are stored already, or came
    with the package, are not compiled again. Where a kernel has two shapes, the one that is
    faster here is found by measurement, once; both give the same results.
    """
    from lepton_cli.ui.commands.warmup import prepare

    prepare(models or [], verbose=verbose)


@command("doctor", epilog=NO_CONFIG_EPILOG)
def doctor(json: JsonFlag = False) -> None:
    """Show this machine's hardware, what Lepton uses of it, and why."""
    from lepton_cli.ui.commands import doctor as view

    view.show_json() if json else view.show()
