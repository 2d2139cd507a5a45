"""Removing models: what is shared stays, what is not ours is not touched."""

import pytest

from lepton_cli.engine.hub.cache import RepositoryCache
from lepton_cli.engine.hub.removal import plan_removal, remove
from lepton_cli.engine.library.catalogue import resolve
from quant.errors import UsageError

REPO, OLD, NEW = "Me/Some-GGUF", "0" * 40, "1" * 40


@pytest.fixture
def folders(tmp_path, monkeypatch):
    for name in ("HF_HUB_CACHE", "LLAMA_CACHE", "OLLAMA_MODELS"):
        monkeypatch.setenv(name, str(tmp_path / name))
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path


def store(folders, commit, **files):
    """Files of a snapshot, by name without .gguf; equal content is one blob."""
    cache = RepositoryCache(folders / "HF_HUB_CACHE", REPO)
    cache.blobs.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        cache.blob(content).write_bytes(content.encode())
        cache.link(commit, f"{name}.gguf", content)
    cache.set_ref("main", commit)
    return cache


def removed(name):
    removal = plan_removal(name)
    remove(removal)
    return removal


def test_the_last_model_takes_all_of_its_repository_with_it(folders):
    cache = store(folders, NEW, model="GGUF", mmproj="GGUFprojector")
    (cache.blobs / "other.part").write_bytes(b"half")
    removal = removed(REPO)
    assert (removal.size, removal.kept) == (len("GGUFGGUFprojector"), 0)
    assert not cache.folder.exists()


def test_another_model_beside_it_keeps_the_projector(folders):
    cache = store(folders, NEW, one="GGUF1", two="GGUF2", mmproj="GGUFprojector")
    removed(f"{REPO}/one.gguf")
    assert sorted(path.name for path in cache.blobs.iterdir()) == ["GGUF2", "GGUFprojector"]
    assert resolve(REPO) == cache.file(NEW, "two.gguf")


def test_a_blob_that_another_snapshot_has_stays(folders):
    cache = store(folders, OLD, model="GGUF")
    store(folders, NEW, model="GGUF")
    removal = removed(REPO)
    assert (removal.size, removal.kept) == (0, 4)
    assert resolve(REPO) == cache.file(OLD, "model.gguf")
    assert removed(REPO).size == 4


def test_all_shards_go(folders):
    names = {f"m-0000{n}-of-00002": f"GGUF{n}" for n in (1, 2)}
    cache = store(folders, NEW, **names)
    assert removed(REPO).size == 10
    assert not cache.folder.exists()


def test_a_file_of_an_address_goes_with_the_record_of_its_version(folders):
    folder = folders / "LLAMA_CACHE"
    folder.mkdir()
    for name in ("m.gguf", "m.gguf.etag", "n.gguf"):
        (folder / name).write_bytes(b"GGUF")
    assert removed("m.gguf").size == 4
    assert [path.name for path in folder.iterdir()] == ["n.gguf"]


def test_half_a_download_goes_too(folders):
    cache = RepositoryCache(folders / "HF_HUB_CACHE", REPO)
    cache.blobs.mkdir(parents=True)
    for suffix in (".part", ".part.json"):
        (cache.blobs / f"ab{suffix}").write_bytes(b"x" * 10_000)
    assert removed(f"{REPO}:Q8_0").size >= 20_000
    assert not cache.folder.exists()
    with pytest.raises(UsageError, match="no such file"):
        plan_removal(f"{REPO}:Q8_0")


def test_half_a_download_of_an_address_goes_too(folders):
    folder = folders / "LLAMA_CACHE"
    folder.mkdir()
    for name in ("m[1].gguf.part", "m[1].gguf.part.json", "m1.gguf.part"):
        (folder / name).write_bytes(b"half")
    removed("http://x/m[1].gguf")
    assert [path.name for path in folder.iterdir()] == ["m1.gguf.part"]


@pytest.mark.parametrize(
    ("place", "name", "cure"),
    [
        (".lmstudio/models/a/b/m.gguf", "a/b/m.gguf", "rm "),
        ("own/m.gguf", "{}/own/m.gguf", "rm "),
        ("HF_HUB_CACHE/../own/m.gguf", "{}/HF_HUB_CACHE/../own/m.gguf", "rm "),
    ],
)
def test_what_lies_elsewhere_is_left_alone(folders, place, name, cure):
    (folders / "HF_HUB_CACHE").mkdir()
    file = folders / place
    file.parent.mkdir(parents=True)
    file.write_bytes(b"GGUF")
    with pytest.raises(UsageError, match="no folder that Lepton downloads to") as caught:
        plan_removal(name.format(folders))
    assert cure in str(caught.value.hint)


def test_the_built_in_model_stays():
    with pytest.raises(UsageError, match="part of Lepton"):
        plan_removal("builtin")
