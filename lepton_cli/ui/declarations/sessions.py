"""The actions of `lepton sessions`, implemented in `commands/sessions.py`."""

from typing import Annotated

import typer

from lepton_cli.ui.arguments.command import Command, CommandGroup
from lepton_cli.ui.arguments.completing import complete_chat
from lepton_cli.ui.arguments.options.groups import JsonFlag
from lepton_cli.ui.declarations.declaring import HELP, GroupDeclaration
from quant.errors import UsageError

app = typer.Typer(name="sessions", cls=CommandGroup, rich_markup_mode=None, context_settings=HELP)
sessions = GroupDeclaration(app)

Name = Annotated[
    str,
    typer.Argument(
        metavar="NAME",
        help="A chat's name, its beginning, or a file.",
        autocompletion=complete_chat,
    ),
]


@app.callback(invoke_without_command=True)
def list_or_act(context: typer.Context, json: JsonFlag = False) -> None:
    """List the chats on this disk; search, show, export and delete them."""
    action = context.invoked_subcommand
    if action is not None and json:
        raise UsageError("--json comes after the action", f"lepton sessions {action} --json")
    if action is None:
        from lepton_cli.ui.commands import sessions as view

        view.show_list(json=json)


@app.command("list", cls=Command)
def list_sessions(json: JsonFlag = False) -> None:
    """List the chats, the most recent first."""
    from lepton_cli.ui.commands import sessions as view

    view.show_list(json=json)


@app.command("search", cls=Command)
def search(
    words: Annotated[
        list[str],
        typer.Argument(metavar="WORDS...", help="Words that must all occur."),
    ],
    json: JsonFlag = False,
) -> None:
    """Find the chats that contain all the words."""
    from lepton_cli.ui.commands import sessions as view

    view.search(words, json=json)


@app.command("show", cls=Command)
def show(name: Name, json: JsonFlag = False) -> None:
    """Print a chat as Markdown."""
    from lepton_cli.ui.commands import sessions as view

    view.show(name, json=json)


@app.command("export", cls=Command)
def export(
    name: Name,
    file: Annotated[
        str | None,
        typer.Argument(
            metavar="[FILE]", help="A .json, .md or .txt file; default: Markdown on stdout."
        ),
    ] = None,
    force: Annotated[bool, typer.Option("--force", "-f", help="Replace FILE.")] = False,
) -> None:
    """Write a chat to a file."""
    from lepton_cli.ui.commands import sessions as view

    view.export(name, file, force=force)


@app.command("rm", cls=Command)
def remove(
    names: Annotated[
        list[str],
        typer.Argument(metavar="NAME...", help="Whole names.", autocompletion=complete_chat),
    ],
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
) -> None:
    """Delete chats; asks first."""
    from lepton_cli.ui.commands import sessions as view

    view.remove(names, yes=yes)
