"""Models in the caches of other programs, faked: files that only begin as models do."""

import json
from pathlib import Path

import pytest

from lepton_cli.engine.library import stores
from lepton_cli.engine.library.catalogue import resolve
from quant.errors import UsageError

CACHE_VARIABLES = (
    *("HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "HF_HOME", "XDG_CACHE_HOME"),
    *("LLAMA_CACHE", "OLLAMA_MODELS", "LOCALAPPDATA"),
)


def empty_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty home folder, and no cache elsewhere; the working folder is empty too."""
    folder = tmp_path / "home"
    folder.mkdir()
    monkeypatch.setenv("HOME", str(folder))
    monkeypatch.setenv("USERPROFILE", str(folder))
    for variable in CACHE_VARIABLES:
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setattr(stores, "OLLAMA_SERVICE", tmp_path / "service")
    monkeypatch.chdir(tmp_path)
    return folder


def put(path: Path, size: int = 4) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"GGUF".ljust(size, b"\0"))
    return path


def put_hub(hub: Path, repo: str, file: str, commit: str = "c0ffee", *, main: bool = True) -> Path:
    folder = hub / ("models--" + repo.replace("/", "--"))
    blob = put(folder / "blobs" / f"{commit}-{file.replace('/', '-')}")
    path = folder / "snapshots" / commit / file
    path.parent.mkdir(parents=True, exist_ok=True)
    path.symlink_to(blob)
    if main:
        (folder / "refs").mkdir(exist_ok=True)
        (folder / "refs/main").write_text(commit)
    return path


def put_ollama(models: Path, manifest: str, digest: str = "sha256:0123") -> Path:
    layers = [
        {"mediaType": "application/vnd.ollama.image.template", "digest": "sha256:99"},
        {"mediaType": "application/vnd.ollama.image.model", "digest": digest},
    ]
    path = models / "manifests" / manifest
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"schemaVersion": 2, "layers": layers}))
    return put(models / "blobs" / digest.replace(":", "-"))


def refused(name: str) -> UsageError:
    with pytest.raises(UsageError) as caught:
        resolve(name)
    assert caught.value.exit_code == 2
    assert "\n" not in caught.value.message
    return caught.value
