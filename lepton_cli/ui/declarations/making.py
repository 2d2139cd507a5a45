"""The commands that make model files of others: prune."""

from pathlib import Path
from typing import Annotated

import typer

from lepton_cli.ui.arguments.completing import complete_model
from lepton_cli.ui.arguments.options.measuring import RunningOptions, WindowOptions
from lepton_cli.ui.arguments.options.prompt import MODEL_HELP
from lepton_cli.ui.arguments.options.pruning import PruneResultOptions, PruningOptions
from lepton_cli.ui.declarations.declaring import NO_CONFIG_EPILOG, command

Source = Annotated[
    str, typer.Argument(metavar="MODEL", help=MODEL_HELP, autocompletion=complete_model)
]


@command("prune", epilog=NO_CONFIG_EPILOG)
def prune(
    model: Source,
    what: PruningOptions,
    text: WindowOptions,
    running: RunningOptions,
    result: PruneResultOptions,
    out: Annotated[
        Path | None,
        typer.Argument(metavar="[OUT]", help="The file to write; without it, only a report."),
    ] = None,
) -> None:
    """Make a model smaller by leaving out layers, channels, heads or experts.

    The least important leave: layers that change least what enters them, over a text (-f);
    units that the matrix behind them makes least of, by the size of its columns. The result is
    an ordinary GGUF file.
    """
    from lepton_cli.ui.commands.making.prune import PruneRequest, prune_model

    prune_model(PruneRequest(model, out, what, text, running, result))
