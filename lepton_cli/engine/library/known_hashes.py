"""The sha256 that a file should have: by its name in a cache, or by models.toml."""

import os
import re
from collections.abc import Iterator
from pathlib import Path

from lepton_cli.engine.library.catalogue import load_aliases, on_disk
from lepton_cli.engine.library.stores import list_models, shard_paths

BLOB = re.compile(r"(?:sha256-)?([0-9a-f]{64})")
"""Files in the caches of Hugging Face, and with the prefix of ollama, are named by their hash."""


def known_hashes(path: Path) -> dict[Path, tuple[str, str]]:
    """Of each part of the model whose hash is known: the hash, and what says so."""
    return dict((*_by_alias(path), *_by_blob(path)))


def _by_blob(path: Path) -> Iterator[tuple[Path, tuple[str, str]]]:
    for part in shard_paths(path):
        match = BLOB.fullmatch(os.path.basename(os.path.realpath(part)))
        if match:
            yield part, (match[1], "its name in the cache")


def _by_alias(path: Path) -> Iterator[tuple[Path, tuple[str, str]]]:
    entries = list_models()
    for alias in load_aliases().values():
        entry = on_disk(alias, entries) if alias.sha256 else None
        if alias.sha256 and entry and os.path.realpath(entry.path) == os.path.realpath(path):
            yield path, (alias.sha256, f"models.toml, as {alias.name}")
