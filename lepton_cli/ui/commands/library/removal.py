"""`lepton models --remove`: deletes a downloaded model, after asking."""

import sys

from lepton_cli.engine.hub.removal import plan_removal, remove
from lepton_cli.ui.reports.numbers import size
from lepton_cli.ui.terminal.asking import agrees, can_ask
from lepton_cli.ui.terminal.output import emit
from quant.errors import UsageError


def remove_model(name: str, *, yes: bool) -> None:
    """Says how much room it freed. Raises UsageError, also without a terminal to ask on."""
    removal = plan_removal(name)
    if not yes and not can_ask():
        message = f"cannot ask whether to remove {name}: no terminal"
        raise UsageError(message, f"--yes removes without asking: {removal.path}")
    if yes or agrees(f"remove {name} ({size(removal.size)}, {removal.path})?"):
        remove(removal)
        shared = f"; {size(removal.kept)} stay, as another snapshot has them"
        freed = f"{size(removal.size)} freed{shared if removal.kept else ''}"
        emit(sys.stdout, f"removed {name}: {freed}\n")
