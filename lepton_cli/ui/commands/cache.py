"""`lepton cache`: shows and clears the prompt cache."""

import sys
import time

from lepton_cli.engine.library.json_values import Plain
from lepton_cli.engine.prefixes.recall import prefix_folder
from lepton_cli.engine.prefixes.store import clear as clear_store
from lepton_cli.engine.prefixes.store import holdings
from lepton_cli.ui.reports.numbers import columns, size
from lepton_cli.ui.terminal.notes import note
from lepton_cli.ui.terminal.output import emit, emit_json

SCHEMA = "lepton.cache.v1"


def show() -> None:
    rows = [("model", "tokens", "size", "last used")]
    folder = prefix_folder()
    found = holdings(folder)
    for held in found:
        when = time.strftime("%Y-%m-%d %H:%M", time.localtime(held.used))
        rows.append((held.model, str(held.tokens), size(held.bytes), when))
    if found:
        emit(sys.stdout, columns(rows, right=(1, 2)))
    total = size(sum(held.bytes for held in found))
    note(
        f"{total} in {folder}; `lepton cache clear` frees it"
        if found
        else "the prompt cache is empty"
    )


def show_json() -> None:
    folder = prefix_folder()
    models: list[Plain] = [
        {"model": held.model, "tokens": held.tokens, "bytes": held.bytes, "used": held.used}
        for held in holdings(folder)
    ]
    emit_json(sys.stdout, {"schema": SCHEMA, "folder": str(folder), "models": models})


def clear() -> None:
    emit(sys.stdout, f"{size(clear_store(prefix_folder()))} freed\n")
