"""Resolves model names to files; the aliases of models.toml."""

import os
import shlex
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from types import MappingProxyType
from typing import Any

from lepton_cli.engine.library.addresses import (
    REPOSITORY,
    USUAL_QUANTIZATIONS,
    parse_address,
    pull_command,
    quantization_pattern,
)
from lepton_cli.engine.library.stores import SHARD, Entry, list_models, shard_paths
from lepton_cli.engine.library.suggestions import did_you_mean, nearest
from quant.errors import LeptonError, UsageError

PACKAGE = Path(__file__).parents[2]  # a real folder, as models are memory-mapped from it
LIST_HINT = "`lepton models` lists the models here, and the commands that download others"
ASK_HINT = "ask its owner for read permission"
UNFINISHED = (".part", ".partial", ".incomplete", ".crdownload", ".download", ".tmp", ".aria2")
MAGIC = b"GGUF"
PATHS = ("./", "../", "~/")  # a word with such a prefix is a path


class MissingModelError(UsageError):
    """A model that is not on this disk, but could be downloaded by its name."""


@dataclass(frozen=True, slots=True)
class Alias:
    """One table of models.toml; `defaults` maps option names to values."""

    name: str
    file: str
    repo: str | None = None  # on Hugging Face; None: the file is part of this package
    sha256: str | None = None
    size: int | None = None  # bytes
    licence: str | None = None
    context: int | None = None  # tokens
    defaults: Mapping[str, int | float] = field(default_factory=lambda: MappingProxyType({}))

    @property
    def cure(self) -> str:
        return f"fetch it with: lepton pull {self.name}"


def load_aliases(path: Path | None = None) -> dict[str, Alias]:
    """The aliases of models.toml by name. Raises LeptonError for unknown keys."""
    path = path or packaged("models.toml")
    tables = tomllib.loads(path.read_text(encoding="utf-8"))
    return {name: _alias(path, name, table) for name, table in tables.items()}


def resolve(name: str) -> Path:
    """The readable model file for a name; the first part of a split model.

    A path to a file that exists, an alias, `user/repo[:quantization]`, `model[:tag]` of ollama, or
    a file's name in one of the caches; an address means the file that was downloaded from it. A
    folder does not hide an alias of the same name. Raises UsageError with similar names or a hint.
    """
    if not name.strip():
        raise UsageError("the model's name is empty", LIST_HINT)
    path = Path(os.path.expanduser(name))
    is_path = _exists(path) and not (path.is_dir() and name.lower() in load_aliases())
    if not is_path and os.path.islink(path):
        message = f"{path} is a link to {os.readlink(path)}, which is not there"
        raise UsageError(message, LIST_HINT)
    return _readable(path if is_path else _by_name(name))


def names_model(word: str) -> bool:
    """Whether a word is clearly meant as a model (even a missing one), not as prompt text.

    That is: a model file, a word that ends in .gguf or begins like a path, an address, an alias, or
    a name in the caches.
    """
    path = os.path.expanduser(word)
    if os.path.isfile(path):
        return path.lower().endswith(".gguf") or _begins_as_model(path)
    if not word.strip() or len(word.split()) > 1:
        return os.path.islink(path)
    plain = word.lower().endswith(".gguf") or word.startswith(PATHS) or os.path.islink(path)
    return bool(plain or parse_address(word) or word.lower() in load_aliases() or _is_cached(word))


def how_to_get(name: str | None = None) -> str:
    """The hint for a model that is not on this disk."""
    alias = load_aliases().get((name or "").lower())
    if alias is not None and alias.repo is not None:
        return alias.cure
    address = parse_address(name or "")
    if address is not None:
        return address.cure
    if name and REPOSITORY.fullmatch(name):
        return f"fetch it with: {pull_command(name)}"
    return LIST_HINT


def packaged(name: str) -> Path:
    """A data file of this package: in its data folder, or beside the packages in a checkout.

    Raises LeptonError when this copy of Lepton lacks it.
    """
    for folder in (PACKAGE / "data", PACKAGE.parent):
        if (folder / name).is_file():
            return folder / name
    raise LeptonError(f"this copy of Lepton has no {name}", "install it again")


def on_disk(alias: Alias, entries: Iterable[Entry]) -> Entry | None:
    """The alias's own file in any program's cache; ollama names files by their hash."""
    blob = f"sha256-{alias.sha256}"
    return next((e for e in entries if is_file_of(alias, e) or e.path.name == blob), None)


def is_file_of(alias: Alias, entry: Entry) -> bool:
    """Whether the entry's name is that of the alias's file in its repository."""
    return _key(entry.name) == _key(f"{alias.repo}/{alias.file}")


def _alias(path: Path, name: str, table: Mapping[str, Any]) -> Alias:
    known = [field.name for field in fields(Alias) if field.name != "name"]
    for key in table:
        if key not in known:
            hint = did_you_mean(key, known)
            raise LeptonError(f"{path}: [{name}] has an unknown key {key!r}", hint)
    defaults = {key.replace("-", "_"): value for key, value in table.get("defaults", {}).items()}
    return Alias(**{**table, "name": name, "defaults": MappingProxyType(defaults)})


def _exists(path: Path) -> bool:
    try:
        path.stat()
        return True
    except PermissionError as error:
        raise UsageError(f"{path}: its folder may not be read", ASK_HINT) from error
    except (OSError, ValueError):  # missing, or not a valid path (too long, a null byte)
        return False


def _begins_as_model(path: str) -> bool:
    try:
        with open(path, "rb") as file:
            return file.read(len(MAGIC)) == MAGIC
    except OSError:  # unreadable: opening it will report that
        return False


def _is_cached(name: str) -> bool:
    try:
        return _named(name, list_models()) is not None
    except UsageError:  # ambiguous
        return True


def _readable(path: Path) -> Path:
    if path.is_dir():
        names = ", ".join(_ggufs(path)[:3])
        hint = f"name a file in it: {names}" if names else _in_another_form(path)
        raise UsageError(f"{path} is a folder, not a model file", hint)
    if not path.is_file():
        raise UsageError(f"{path} is not a regular file", "copy the model into a file first")
    first = shard_paths(path)[0]
    if not first.is_file():
        message = f"{path} is one part of a split model, and {first.name} is not beside it"
        raise UsageError(message, "put all parts into one folder")
    try:
        first.open("rb").close()
    except OSError as error:
        raise UsageError(f"{first}: may not be read: {error.strerror}", ASK_HINT) from error
    return first


def _in_another_form(folder: Path) -> str:
    """The hint for a folder without GGUF files."""
    if any(folder.glob("*.safetensors")):
        return f"convert it: lepton convert {shlex.quote(str(folder))} model.gguf"
    return f"it holds no .gguf file; {LIST_HINT}"


def _ggufs(folder: Path) -> list[str]:
    try:
        return sorted(name for name in os.listdir(folder) if name.lower().endswith(".gguf"))
    except OSError:
        return []


def _by_name(name: str) -> Path:
    aliases = load_aliases()
    alias = aliases.get(name.lower())
    if alias is not None and alias.repo is None:
        return packaged(alias.file)
    entries = list_models()
    entry = on_disk(alias, entries) if alias else _named(name, entries)
    address = parse_address(name)
    if entry is None and address is not None and address.name is not None:
        entry = _named(address.name, entries)
    if entry is not None:
        return entry.path
    if alias is not None:
        raise MissingModelError(f"{name} is in the catalogue but not on this disk", alias.cure)
    if address is not None:
        kind = MissingModelError if address.name else UsageError
        raise kind(f"{name} is an address, not a file on this disk", address.cure)
    raise _unknown(name, [*aliases, *(entry.name for entry in entries)])


def _key(name: str) -> str:
    """A name normalised for comparison: llama.cpp writes slashes of repositories as underscores."""
    return name.lower().replace("/", "_")


def _named(name: str, entries: Sequence[Entry]) -> Entry | None:
    """The entry for a name; the first interpretation that matches counts."""
    wanted = _key(SHARD.sub(r"\g<prefix>-00001-of-\g<count>.gguf", name))
    exact = [entry for entry in entries if _key(entry.name) in (wanted, f"{wanted}:latest")]
    if exact:
        return exact[0]
    files = (wanted, f"{wanted}.gguf")
    same_file = [entry for entry in entries if entry.path.name.lower() in files]
    return _only(name, same_file or _of_repository(name, entries))


def _of_repository(name: str, entries: Sequence[Entry]) -> list[Entry]:
    """The files of `user/repo[:quantization]`; without one, those of the default, if any."""
    if not REPOSITORY.fullmatch(name):
        return []
    repo, _, quantization = _key(name).partition(":")
    files = [entry for entry in entries if _key(entry.name).startswith(f"{repo}_")]
    for choice in (quantization,) if quantization else USUAL_QUANTIZATIONS:
        pattern = quantization_pattern(choice)
        chosen = [entry for entry in files if pattern.search(_key(entry.name), len(repo))]
        if chosen or quantization:
            return chosen
    return files


def _only(name: str, entries: Sequence[Entry]) -> Entry | None:
    names = list({entry.path: entry.name for entry in reversed(entries)}.values())[::-1]
    if len(names) > 1:
        raise UsageError(f"{name} could be {len(names)} models", f"choose: {', '.join(names)}")
    return entries[0] if entries else None


def _unknown(name: str, known: Iterable[str]) -> UsageError:
    path = Path(os.path.expanduser(name))
    for suffix in UNFINISHED:
        if os.path.isfile(f"{path}{suffix}"):
            message = f"{name}: no such file, but {path.name}{suffix} is an unfinished download"
            return UsageError(message, "let the download finish, or fetch the file again")
    beside = [str(path.parent / file) for file in nearest(path.name, _ggufs(path.parent))]
    similar = beside or nearest(name, known)
    hint = f"did you mean {' or '.join(similar)}?" if similar else None
    if REPOSITORY.fullmatch(name) and not path.parent.is_dir():
        cure = f"{hint} if not, {how_to_get(name)}" if hint else how_to_get(name)
        return MissingModelError(f"{name}: no such file, and not in the caches", cure)
    if "/" in name or os.sep in name or name.lower().endswith(".gguf"):
        return UsageError(f"{name}: no such file", hint or LIST_HINT)
    return UsageError(f"no model is called {name}", hint or LIST_HINT)
