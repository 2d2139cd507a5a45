"""Removes a model from the folders that `lepton pull` writes to.

A blob goes when no snapshot links to it any more; the image projector with the last model beside
it; of a download that was not finished all that came. Files of other programs and in other folders
are left alone.
"""

import glob
import os
import shlex
import shutil
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from lepton_cli.engine.hub.cache import RepositoryCache
from lepton_cli.engine.hub.part_file import leftovers, room_taken
from lepton_cli.engine.hub.repository import is_model
from lepton_cli.engine.hub.wanted import WebFile, wanted
from lepton_cli.engine.library.catalogue import MissingModelError, load_aliases, resolve
from lepton_cli.engine.library.stores import (
    hugging_face_folder,
    list_models,
    llama_cpp_folder,
    shard_paths,
)
from quant.errors import UsageError

SNAPSHOT_DEPTH = 3  # models--user--repo/snapshots/<commit>


@dataclass(frozen=True, slots=True)
class Removal:
    """What would be deleted: names in a snapshot or plain files, and blobs; `size` in bytes.

    `repository` is the folder of a repository in the cache. `kept`: blobs that stay, as another
    snapshot has them.
    """

    path: Path
    names: tuple[Path, ...]
    blobs: tuple[Path, ...]
    size: int
    kept: int = 0
    repository: Path | None = None


def plan_removal(name: str) -> Removal:
    """Raises UsageError for a name of nothing, or of something that is not ours to delete."""
    try:
        path = Path(os.path.abspath(resolve(name)))  # without `..`
    except MissingModelError:
        if half := _half(name):
            return half
        raise
    alias = load_aliases().get(name.lower())
    if alias is not None and alias.repo is None:
        raise UsageError(f"{name} is part of Lepton", "it goes with: pip uninstall lepton-cli")
    roots = [Path(os.path.abspath(each)) for each in (hugging_face_folder(), llama_cpp_folder())]
    for root in roots:
        inside = path.relative_to(root).parts if path.is_relative_to(root) else ()
        if len(inside) > SNAPSHOT_DEPTH and inside[1] == "snapshots":
            snapshot = root.joinpath(*inside[:SNAPSHOT_DEPTH])
            return _of_snapshot(path, snapshot, root / inside[0])
    if path.parent == roots[-1]:
        return _of_files(path, [part for part in shard_paths(path) if part.exists()])
    raise UsageError(f"{path} is in no folder that Lepton downloads to", _others_cure(path))


def _half(name: str) -> Removal | None:
    """What came of a model whose download was not finished."""
    what = wanted(name)
    if isinstance(what, WebFile):
        folder, repository = llama_cpp_folder(), None
        parts = leftovers(folder, glob.escape(what.name))
    else:
        cache = RepositoryCache(hugging_face_folder(), what.repo)
        folder, repository = cache.blobs, cache.folder
        parts = leftovers(folder)
    if not parts:
        return None
    return Removal(parts[0], tuple(parts), (), sum(map(room_taken, parts)), 0, repository)


def remove(removal: Removal) -> None:
    """Deletes it. Raises OSError."""
    for name in removal.names:  # names first: none must lead to a blob that is gone
        name.unlink(missing_ok=True)
    for blob in removal.blobs:
        blob.unlink(missing_ok=True)
    if removal.repository is not None:
        _remove_empty(removal.repository)


def _of_files(path: Path, parts: Sequence[Path]) -> Removal:
    size = sum(part.stat().st_size for part in parts)
    beside = [part.with_name(f"{part.name}.etag") for part in parts]
    return Removal(path, (*parts, *beside), (), size)


def _of_snapshot(path: Path, snapshot: Path, repository: Path) -> Removal:
    names = [part for part in shard_paths(path) if part.is_file()]
    others = [file for file in _files(snapshot) if file not in names]
    if not any(is_model(file.name) for file in others):
        names += [file for file in others if "mmproj" in file.name.lower()]
    blobs = {name: _blob(name, repository) for name in names}
    rest = [file for file in _files(repository / "snapshots") if file not in blobs]
    used = {_blob(file, repository) for file in rest}
    gone = {blob for blob in blobs.values() if blob is not None and blob not in used}
    kept = {blob for blob in blobs.values() if blob is not None and blob in used}
    plain = [name for name, blob in blobs.items() if blob is None]
    size = _sizes([*gone, *plain])
    return Removal(path, tuple(names), tuple(sorted(gone)), size, _sizes(kept), repository)


def _blob(file: Path, repository: Path) -> Path | None:
    """The blob that a file of a snapshot is a link to; None for anything else."""
    if not file.is_symlink():
        return None
    blob = Path(os.path.normpath(file.parent / os.readlink(file)))
    return blob if blob.parent == repository / "blobs" else None


def _files(folder: Path) -> Iterator[Path]:
    return (path for path in sorted(folder.rglob("*")) if not path.is_dir())


def _sizes(paths: Iterable[Path]) -> int:
    return sum(path.stat().st_size for path in paths)


def _remove_empty(repository: Path) -> None:
    """Removes empty folders, and the repository's if it holds no snapshot and no blob any more."""
    snapshots, blobs = repository / "snapshots", repository / "blobs"
    folders = sorted((path for path in snapshots.rglob("*") if path.is_dir()), reverse=True)
    for folder in (*folders, snapshots):
        with suppress(OSError):  # not empty
            folder.rmdir()
    if snapshots.exists():
        return
    for part in leftovers(blobs):
        part.unlink(missing_ok=True)
    with suppress(OSError):
        blobs.rmdir()
        shutil.rmtree(repository)  # what is left says which commit was here


def _others_cure(path: Path) -> str:
    entry = next((entry for entry in list_models() if entry.path == path), None)
    if entry is not None and entry.source == "ollama":
        return f"it is ollama's: ollama rm {shlex.quote(entry.name)}"
    return f"to delete it anyway: rm {shlex.quote(str(path))}"
