"""The commands and their words; what each does is a module of its own, imported when it is needed.

Nothing here imports NumPy, Numba, rich or prompt-toolkit: `--help` must take a tenth of a second.
"""

from collections.abc import Callable, Sequence
from typing import Annotated

import typer

from lepton_cli.ui.command import Command
from lepton_cli.ui.config import PREFIX, default_map, known_settings
from lepton_cli.ui.options import (
    AnswerOptions,
    ConversationOptions,
    ModelOptions,
    PromptOptions,
    RunOptions,
    SamplingOptions,
    grouped,
)
from quant.errors import UsageError

HELP = {"help_option_names": ["-h", "--help"]}
EPILOG = (
    f"Each option has a variable ({PREFIX}_TOP_K for --top-k) and a place in the config file, "
    "config.toml. A flag beats the variable, that the file, that the model's own advice."
)

app = typer.Typer(
    name="lepton", rich_markup_mode=None, pretty_exceptions_enable=False, context_settings=HELP
)

Words = Annotated[list[str] | None, typer.Argument(metavar="[MODEL] [PROMPT]", show_default=False)]


def command(name: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Registers a command whose groups of options are spelled out."""
    settings = {**HELP, "auto_envvar_prefix": PREFIX}
    return lambda function: app.command(
        name, cls=Command, context_settings=settings, epilog=EPILOG
    )(grouped(function))


@app.callback(invoke_without_command=True)
def lepton(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
) -> None:
    """Chat with GGUF models and generate from them, on this machine."""
    if version:
        from lepton_cli import __version__

        typer.echo(f"lepton {__version__}")
    elif context.invoked_subcommand is None:
        typer.echo(context.get_help())
    else:
        commands = typer.main.get_group(app).commands
        context.default_map = default_map(known_settings(commands))


@command("run")
def run(
    context: typer.Context,
    words: Words = None,
    *,
    model: ModelOptions,
    prompt: PromptOptions,
    chat: ConversationOptions,
    answer: AnswerOptions,
    sampling: SamplingOptions,
    run: RunOptions,
) -> None:
    """Answer one prompt; stdout is the answer and nothing else.

    The prompt is stdin (a pipe or a file), then -f, then the words; a blank line between them.
    """
    from lepton_cli.ui.run import Request
    from lepton_cli.ui.run import run as perform

    name, text = _model_and_text(context, words, model)
    perform(Request(name, text, model, prompt, chat, answer, sampling, run))


def _model_and_text(
    context: typer.Context, words: Sequence[str] | None, options: ModelOptions
) -> tuple[str, str | None]:
    """MODEL [TEXT], or [TEXT] alone after -m.

    A variable or the config file names the model only where no word does: the first word is never
    guessed to be the text.
    """
    rest = list(words or ())
    source = context.get_parameter_source("model")
    by_flag = source is not None and source.name == "COMMANDLINE"
    name = rest.pop(0) if rest and not by_flag else options.model
    if name is None:
        raise UsageError("no model is named", "`lepton models` lists what is here")
    if len(rest) > 1:
        raise UsageError(f"{len(rest)} words after the model", "put the text in quotes")
    return name, rest[0] if rest else None
