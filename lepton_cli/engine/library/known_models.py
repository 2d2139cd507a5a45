"""The models that have a name: on this disk, and in the catalogue."""

from collections.abc import Sequence
from dataclasses import dataclass

from lepton_cli.engine.library.catalogue import Alias, is_file_of, load_aliases, on_disk, packaged
from lepton_cli.engine.library.stores import Entry, list_models


@dataclass(frozen=True, slots=True)
class Known:
    """A name that a command takes for a model. `path` None: it is not on this disk."""

    name: str
    bytes: int | None
    path: str | None
    source: str
    alias: Alias | None = None  # of a catalogue's name


def known_models() -> list[Known]:
    """Those on this disk first. The file of an alias is not told twice, an ollama tag of it is."""
    entries, aliases = list_models(), load_aliases().values()
    known = [_known(alias, entries) for alias in aliases]
    for entry in entries:
        if not any(is_file_of(alias, entry) for alias in aliases):
            known.append(Known(entry.name, entry.size, str(entry.path), entry.source))
    return sorted(known, key=lambda model: model.path is None)


def _known(alias: Alias, entries: Sequence[Entry]) -> Known:
    if alias.repo is None:
        path = packaged(alias.file)
        return Known(alias.name, path.stat().st_size, str(path), "part of Lepton", alias)
    entry = on_disk(alias, entries)
    if entry is None:
        return Known(alias.name, alias.size, None, alias.cure, alias)
    return Known(alias.name, entry.size, str(entry.path), entry.source, alias)
