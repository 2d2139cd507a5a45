"""How a command is declared: a function whose parameters are its options.

Nothing in this folder imports NumPy, Numba, rich or prompt-toolkit: `--help` must take a tenth of
a second. For the same reason a command's options are built only when they are asked for.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any

import typer

from lepton_cli.ui.arguments.command import Command
from lepton_cli.ui.arguments.completing import complete_model
from lepton_cli.ui.arguments.options.groups import expand_groups, section
from lepton_cli.ui.arguments.options.prompt import MODEL_HELP

HELP = {"help_option_names": ["-h", "--help"]}
EPILOG = (
    "Each option can also be set by a variable (LEPTON_TOP_K for --top-k) and in the config file "
    "(top-k = 40). A flag wins over a variable, a variable over the config file, and the config "
    "file over what the model file recommends."
)
NO_CONFIG_EPILOG = "Each option can also be set by a variable (LEPTON_JSON=1 for --json)."

option = section("Options")
ModelName = Annotated[
    str | None,
    option(
        *("--model", "-m"),
        metavar="MODEL",
        help="The model, instead of MODEL.",
        autocompletion=complete_model,
    ),
]
ModelFile = Annotated[
    str | None,
    typer.Argument(metavar="MODEL", help=MODEL_HELP, autocompletion=complete_model),
]


@dataclass(frozen=True, slots=True)
class Declaration:
    """A command as it is written. `function`: what it runs, its docstring the help."""

    name: str
    function: Callable[..., None]
    epilog: str

    def built(self) -> Any:
        """The Click command."""
        app = typer.Typer(rich_markup_mode=None, pretty_exceptions_enable=False)
        expanded = expand_groups(self.function)
        app.command(self.name, cls=Command, context_settings=HELP, epilog=self.epilog)(expanded)
        (info,) = app.registered_commands
        return typer.main.get_command_from_info(
            info, pretty_exceptions_short=False, rich_markup_mode=None
        )


@dataclass(frozen=True, slots=True)
class GroupDeclaration:
    """A command with actions, like `lepton sessions show`."""

    app: typer.Typer

    def built(self) -> Any:
        """The Click group."""
        return typer.main.get_group(self.app)


def command(name: str, epilog: str = EPILOG) -> Callable[[Callable[..., None]], Declaration]:
    """Declares a command; the parameters that are groups of options are expanded."""
    return lambda function: Declaration(name, function, epilog)
