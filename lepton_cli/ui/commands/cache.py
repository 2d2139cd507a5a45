"""`lepton cache`: shows and clears what Lepton keeps on disk to save time: prompts and weights."""

import sys
import time

from lepton_cli.engine.library.json_values import Plain
from lepton_cli.engine.library.paths import weight_folder
from lepton_cli.engine.loading.kept_weights import clear_weights, kept_weights
from lepton_cli.engine.prefixes.recall import prefix_folder
from lepton_cli.engine.prefixes.store import clear as clear_prompts
from lepton_cli.engine.prefixes.store import holdings
from lepton_cli.ui.reports.numbers import columns, size
from lepton_cli.ui.terminal.notes import note
from lepton_cli.ui.terminal.output import emit, emit_json

SCHEMA = "lepton.cache.v1"


def show() -> None:
    rows = [("model", "kept", "tokens", "size", "last used")]
    prompts, weights = holdings(prefix_folder()), kept_weights()
    for held in prompts:
        rows.append((held.model, "prompts", str(held.tokens), size(held.bytes), _date(held.used)))
    for kept in weights:
        rows.append((kept.model, "packed weights", "", size(kept.bytes), _date(kept.used)))
    if prompts or weights:
        emit(sys.stdout, columns(rows, right=(2, 3)))
    for what, folder, total in (
        ("prompts", prefix_folder(), sum(held.bytes for held in prompts)),
        ("packed weights", weight_folder(), sum(kept.bytes for kept in weights)),
    ):
        if total:
            note(f"{what}: {size(total)} in {folder}")
    note("`lepton cache clear` frees it" if prompts or weights else "the cache is empty")


def _date(seconds: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(seconds))


def show_json() -> None:
    models: list[Plain] = [
        {"model": held.model, "tokens": held.tokens, "bytes": held.bytes, "used": held.used}
        for held in holdings(prefix_folder())
    ]
    weights: list[Plain] = [
        {"model": kept.model, "bytes": kept.bytes, "used": kept.used} for kept in kept_weights()
    ]
    folders = {"folder": str(prefix_folder()), "weight_folder": str(weight_folder())}
    emit_json(sys.stdout, {"schema": SCHEMA, **folders, "models": models, "weights": weights})


def clear() -> None:
    freed = clear_prompts(prefix_folder()) + clear_weights()
    emit(sys.stdout, f"{size(freed)} freed\n")
