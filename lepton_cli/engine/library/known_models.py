"""All models with a name: on this disk, and in the catalogue."""

from collections.abc import Sequence
from dataclasses import dataclass

from lepton_cli.engine.library.catalogue import Alias, is_file_of, load_aliases, on_disk, packaged
from lepton_cli.engine.library.stores import Entry, list_models


@dataclass(frozen=True, slots=True)
class KnownModel:
    """A model name that commands accept. `path` is None if it is not on this disk."""

    name: str
    bytes: int | None
    path: str | None
    source: str
    alias: Alias | None = None  # for a name of the catalogue


def known_models() -> list[KnownModel]:
    """Models on this disk first. An alias's file is listed once, but its ollama tags as well."""
    entries, aliases = list_models(), load_aliases().values()
    known = [_known(alias, entries) for alias in aliases]
    for entry in entries:
        if not any(is_file_of(alias, entry) for alias in aliases):
            known.append(KnownModel(entry.name, entry.size, str(entry.path), entry.source))
    return sorted(known, key=lambda model: model.path is None)


def _known(alias: Alias, entries: Sequence[Entry]) -> KnownModel:
    if alias.repo is None:
        path = packaged(alias.file)
        return KnownModel(alias.name, path.stat().st_size, str(path), "part of Lepton", alias)
    entry = on_disk(alias, entries)
    if entry is None:
        return KnownModel(alias.name, alias.size, None, alias.cure, alias)
    return KnownModel(alias.name, entry.size, str(entry.path), entry.source, alias)
