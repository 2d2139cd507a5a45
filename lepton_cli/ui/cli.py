"""The commands and their words; what each does is a module of its own, imported when it is asked for.

Nothing here imports NumPy, Numba, rich or prompt-toolkit: `--help` takes a tenth of a second.
"""

from collections.abc import Callable
from typing import Annotated

import typer

import lepton_cli
from lepton_cli.ui.command import Command
from lepton_cli.ui.options import (
    AnswerOptions,
    ChatOptions,
    ModelOptions,
    OutputOptions,
    PromptOptions,
    SamplingOptions,
    grouped,
)

SETTINGS = {"help_option_names": ["-h", "--help"], "auto_envvar_prefix": "LEPTON"}
EPILOG = (
    "Every option has a variable, LEPTON_TOP_K for --top-k, and a place in the config file. "
    "A flag beats a variable, that the config file, that the model's own advice."
)

app = typer.Typer(
    name="lepton",
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    add_completion=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def command(name: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    def register(function: Callable[..., None]) -> Callable[..., None]:
        app.command(name, cls=Command, context_settings=SETTINGS, epilog=EPILOG)(grouped(function))
        return function

    return register


def _print_version(asked: bool) -> None:
    if asked:
        typer.echo(f"lepton {lepton_cli.__version__}")
        raise typer.Exit


@app.callback(invoke_without_command=True)
def lepton(
    context: typer.Context,
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Show it.")
    ] = False,
) -> None:
    """Chat with GGUF models, and generate from them, on this machine."""
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())
