"""The offer to download a model that is not on this disk, on a terminal."""

import sys
from pathlib import Path

from lepton_cli.engine.library.catalogue import MissingModelError, load_aliases, resolve
from lepton_cli.ui.reports.numbers import size
from lepton_cli.ui.terminal.asking import agrees, can_ask
from lepton_cli.ui.terminal.terminal import is_terminal


def resolve_or_pull(name: str) -> Path:
    """As `resolve`; what could be downloaded is, if the user agrees. Never without asking."""
    try:
        return resolve(name)
    except MissingModelError:
        from lepton_cli.engine.hub.wanted import wanted  # for start-up time
        from lepton_cli.ui.commands.library.pull import download, is_offline

        asks = can_ask() and is_terminal(sys.stdout) and not is_offline()
        if not asks or not agrees(_question(name)):
            raise
    return download(wanted(name)).path


def _question(name: str) -> str:
    alias = load_aliases().get(name.lower())
    much = f" {size(alias.size)}" if alias is not None and alias.size else " it"
    return f"{name} is not on this disk: download{much}?"
