"""`lepton models`: the catalogue's names, and what the caches on this disk hold."""

import sys
from collections.abc import Iterator
from dataclasses import dataclass

from lepton_cli.engine.catalogue import load_aliases, on_disk
from lepton_cli.engine.plain import Plain
from lepton_cli.engine.stores import list_models
from lepton_cli.ui.figures import columns, size
from lepton_cli.ui.output import emit, emit_json

SCHEMA = "lepton.models.v1"


@dataclass(frozen=True, slots=True)
class Known:
    """A name that a command takes for a model. `path` None: it is not on this disk."""

    name: str
    bytes: int | None
    path: str | None
    source: str


def show() -> None:
    rows = [("name", "size", "where")]
    for model in known_models():
        rows.append((model.name, size(model.bytes) if model.bytes else "", model.source))
    emit(sys.stdout, columns(rows, right=(1,)))


def show_json() -> None:
    models: list[Plain] = [
        {"name": known.name, "bytes": known.bytes, "path": known.path, "source": known.source}
        for known in known_models()
    ]
    emit_json(sys.stdout, {"schema": SCHEMA, "models": models})


def known_models() -> Iterator[Known]:
    """The aliases first; a file that has one is not told twice."""
    entries, named = list_models(), set()
    for alias in load_aliases().values():
        entry = on_disk(alias, entries) if alias.repo else None
        if entry is not None:
            named.add(entry.path)
            yield Known(alias.name, entry.size, str(entry.path), entry.source)
        else:
            yield Known(
                alias.name, alias.size, None, alias.cure if alias.repo else "part of Lepton"
            )
    for entry in entries:
        if entry.path not in named:
            yield Known(entry.name, entry.size, str(entry.path), entry.source)
