"""Questions with the answer yes or no, on a terminal."""

import sys

from lepton_cli.ui.terminal.terminal import is_terminal, sanitize


def can_ask() -> bool:
    return is_terminal(sys.stdin) and is_terminal(sys.stderr)


def agrees(question: str) -> bool:
    """Whether the answer is yes; anything else is no."""
    print(f"{sanitize(question)} [y/N] ", end="", file=sys.stderr, flush=True)
    return sys.stdin.readline().strip().lower() in ("y", "yes")
