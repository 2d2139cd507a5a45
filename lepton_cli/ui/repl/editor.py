"""Editing a text in the user's own editor."""

import os
import shlex
import subprocess
import tempfile
from pathlib import Path

from lepton_cli.engine.text.reading import read_text
from quant.errors import UsageError


def chosen_editor() -> str | None:
    return os.environ.get("VISUAL") or os.environ.get("EDITOR") or None


def edit_text(text: str, editor: str) -> str:
    """The edited text without trailing newlines. Raises UsageError."""
    with tempfile.TemporaryDirectory(prefix="lepton-") as folder:  # private (0700)
        path = Path(folder) / "message.md"
        path.write_text(text + "\n", encoding="utf-8")
        try:
            status = subprocess.call([*shlex.split(editor), str(path)])
        except (OSError, ValueError) as error:
            message = f"the editor {editor!r} does not work: {error}"
            raise UsageError(message, "set EDITOR to another one") from error
        edited = read_text(str(path))
    if status:
        raise UsageError(f"the editor {editor!r} ended with status {status}", "nothing was sent")
    return edited.rstrip("\n")
