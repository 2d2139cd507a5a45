"""The program's own options, and the table of its commands."""

import importlib
import os
from collections.abc import Iterator, Mapping
from typing import Annotated, Any

import typer

from lepton_cli.ui.arguments.config import KnownSettings, default_map
from lepton_cli.ui.arguments.setting_names import names_of, note_unknown
from lepton_cli.ui.arguments.usage.guesses import LeptonGroup
from lepton_cli.ui.declarations.declaring import HELP
from lepton_cli.version import __version__

COMMANDS = {  # in the order of --help; the module of `declarations` that declares each
    name: module
    for module, names in (
        ("answers", "run chat batch"),
        ("vectors", "embed rerank similar"),
        ("prompts", "tokenize template"),
        ("library", "inspect verify diff plan models pull"),
        ("measuring", "bench perplexity compare imatrix draft"),
        ("making", "quantize prune split merge merge-lora convert"),
        ("machine", "cache"),
        ("sessions", "sessions"),
        ("machine", "warmup doctor"),
    )
    for name in names.split()
}
# commands that must work even if the config file is invalid
WITHOUT_CONFIG = (
    *("cache", "convert", "diff", "doctor", "inspect", "merge", "merge-lora", "models", "prune"),
    *("pull", "quantize", "sessions", "split", "verify", "warmup"),
)
# results that no other setting changes
MODEL_ALONE = ("bench", "plan", "perplexity", "compare", "imatrix", "draft")


class Commands(Mapping[str, Any]):
    """The Click commands by name, each built when it is first asked for."""

    def __init__(self) -> None:
        self._built: dict[str, Any] = {}

    def __getitem__(self, name: str) -> Any:
        if name not in self._built:
            module = importlib.import_module(f"lepton_cli.ui.declarations.{COMMANDS[name]}")
            self._built[name] = getattr(module, name.replace("-", "_")).built()
        return self._built[name]

    def __contains__(self, name: object) -> bool:
        return name in COMMANDS

    def __iter__(self) -> Iterator[str]:
        return iter(COMMANDS)

    def __len__(self) -> int:
        return len(COMMANDS)


class Program(LeptonGroup):
    """The group of all commands."""

    def __init__(self, *args: Any, **settings: Any) -> None:
        super().__init__(*args, **settings)
        self.commands = Commands()  # type: ignore[assignment]  # nobody adds to it


app = typer.Typer(
    name="lepton",
    cls=Program,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings=HELP,
)


@app.callback(invoke_without_command=True)
def lepton(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", "-V", help="Print the version.")] = False,
    install_man: Annotated[
        bool, typer.Option("--install-man", help="Install the manual page for `man lepton`.")
    ] = False,
) -> None:
    """Chat with GGUF models and generate text from them, on this machine."""
    if version:
        typer.echo(f"lepton {__version__}")
    elif install_man:
        from lepton_cli.ui.commands.manual import install_manual

        path = install_manual(context, __version__)
        typer.echo(f"installed {path}: read it with man lepton, or man {path}")
    elif context.invoked_subcommand is None:
        typer.echo(context.get_help())
    else:
        assert isinstance(context.command, LeptonGroup)
        commands = context.command.commands
        note_unknown(names_of(commands), os.environ)
        command = context.invoked_subcommand
        if command not in WITHOUT_CONFIG:
            settings = default_map(KnownSettings(commands))[command]
            chosen = {"model": settings.get("model")} if command in MODEL_ALONE else settings
            context.default_map = {command: chosen}
