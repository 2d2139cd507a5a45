"""GGUF files in the caches of llama.cpp, Hugging Face, ollama and LM Studio.

Here their folders are only read (`lepton pull` writes into the first two); unreadable files are
skipped.
"""

import json
import os
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from lepton_cli.engine.library.paths import home

OLLAMA_SERVICE = Path("/usr/share/ollama/.ollama/models")  # the models of ollama's Linux service
DIGEST = re.compile(r"sha256[:-](\w+)")  # anything else could point outside ollama's folder
SHARD = re.compile(r"(?P<prefix>.+)-(?P<number>\d{5})-of-(?P<count>\d{5})\.gguf", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Entry:
    """A model on disk, with a name that `resolve` accepts.

    The name is `user/repo/file.gguf` for Hugging Face and LM Studio, `model:tag` for ollama, and
    for llama.cpp the file's name, where `_` replaces the slashes.
    """

    name: str
    path: Path  # of the first shard
    size: int  # bytes of all shards
    source: str


def list_models() -> list[Entry]:
    """The models in all caches, under each of their names (ollama tags may share a file)."""
    hub, flat = hugging_face_folder(), llama_cpp_folder()
    found = [
        *_files("llama.cpp", flat, recursive=False),
        *_hub("llama.cpp", flat),
        *_hub("hugging face", hub),
        *_files("lm studio", home() / ".lmstudio/models"),
    ]
    for folder in ollama_folders():
        found += _ollama(folder)
    return list({(entry.name, entry.path): entry for entry in found}.values())


def models_in(folder: Path) -> list[Entry]:
    """The models in a folder, by the names of their files, which `resolve` takes only there."""
    return [*_files("folder", folder, recursive=False)]


def hugging_face_folder() -> Path:
    for variable in ("HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE"):
        if os.environ.get(variable):
            return _expanded(os.environ[variable])
    return hugging_face_home() / "hub"


def hugging_face_home() -> Path:
    """The folder of its cache and of the user's token."""
    for variable, below in (("HF_HOME", ""), ("XDG_CACHE_HOME", "huggingface")):
        if os.environ.get(variable):
            return _expanded(os.environ[variable]) / below
    return home() / ".cache/huggingface"


def llama_cpp_folder() -> Path:
    if os.environ.get("LLAMA_CACHE"):
        return _expanded(os.environ["LLAMA_CACHE"])
    if sys.platform == "darwin":
        return home() / "Library/Caches/llama.cpp"
    variable = "LOCALAPPDATA" if sys.platform == "win32" else "XDG_CACHE_HOME"
    chosen = os.environ.get(variable)
    return (Path(chosen) if chosen else home() / ".cache") / "llama.cpp"


def ollama_folders() -> tuple[Path, ...]:
    chosen = os.environ.get("OLLAMA_MODELS")
    return (_expanded(chosen) if chosen else home() / ".ollama/models", OLLAMA_SERVICE)


def shard_paths(path: Path) -> list[Path]:
    """All parts of the model that the file is a part of, from its name alone."""
    return [path.with_name(name) for name in shard_names(path.name)]


def shard_names(name: str) -> list[str]:
    """Of all parts of the model that a file of this name is a part of; else the name itself."""
    match = SHARD.fullmatch(name)
    if match is None:
        return [name]
    count = int(match["count"])
    return [shard_name(match["prefix"], number, count) for number in range(1, count + 1)]


def shard_name(prefix: str, number: int, count: int) -> str:
    """`number`: from 1 to `count`."""
    return f"{prefix}-{number:05}-of-{count:05}.gguf"


def model_bytes(path: Path) -> int:
    """The bytes of all parts that are here of the model whose first part is `path`."""
    return sum(part.stat().st_size for part in shard_paths(path) if os.path.isfile(part))


def _expanded(folder: str) -> Path:
    return Path(os.path.expanduser(folder))


def _files(source: str, folder: Path, *, recursive: bool = True) -> Iterator[Entry]:
    for path in _walk(folder, recursive=recursive):
        if _is_model(path):
            yield _entry(path.relative_to(folder).as_posix(), path, source)


def _hub(source: str, folder: Path) -> Iterator[Entry]:
    """`models--user--repo/snapshots/<commit>/<file>`; refs/main names the newest commit.

    Files that only an older snapshot has are listed too.
    """
    for repository in sorted(_listed(folder)):
        if not repository.name.startswith("models--"):
            continue
        repo = repository.name.removeprefix("models--").replace("--", "/")
        main = _text(repository / "refs/main").strip()
        snapshots = sorted(_listed(repository / "snapshots"), key=lambda s: (s.name != main, s))
        names: set[str] = set()
        for snapshot in snapshots:
            for entry in _files(source, snapshot):
                if entry.name not in names:
                    yield Entry(f"{repo}/{entry.name}", entry.path, entry.size, source)
                names.add(entry.name)


def _ollama(folder: Path) -> Iterator[Entry]:
    """`manifests/<host>/<namespace>/<model>/<tag>` names blobs by their digests."""
    manifests = folder / "manifests"
    for path in _walk(manifests):
        blob = _model_blob(path, folder / "blobs")
        *place, tag = path.relative_to(manifests).parts
        if blob is not None and os.path.isfile(blob):
            model = "/".join(place).removeprefix("registry.ollama.ai/").removeprefix("library/")
            yield _entry(f"{model}:{tag}", blob, "ollama")


def _model_blob(manifest: Path, blobs: Path) -> Path | None:
    try:
        layers = json.loads(_text(manifest))["layers"]
        kinds = {layer["mediaType"]: layer["digest"] for layer in layers}
        digest = DIGEST.fullmatch(kinds["application/vnd.ollama.image.model"])
        return blobs / f"sha256-{digest[1]}" if digest else None
    except (ValueError, KeyError, TypeError, RecursionError):  # half-written, or not a GGUF model
        return None


def _entry(name: str, path: Path, source: str) -> Entry:
    return Entry(name, path, model_bytes(path), source)


def _is_model(path: Path) -> bool:
    """Whether it is a GGUF file, not an image projector, and not a shard after the first."""
    name = path.name.lower()
    shard = SHARD.fullmatch(name)
    first = shard is None or int(shard["number"]) == 1
    return name.endswith(".gguf") and "mmproj" not in name and first and os.path.isfile(path)


def _walk(folder: Path, *, recursive: bool = True) -> Iterator[Path]:
    for place, folders, files in os.walk(folder):  # skips unreadable folders
        folders[:] = sorted(folders) if recursive else []
        yield from (Path(place, name) for name in sorted(files))


def _listed(folder: Path) -> list[Path]:
    try:
        return list(folder.iterdir())
    except OSError:
        return []


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
