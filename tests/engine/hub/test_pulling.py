"""Pulling: the right files of a repository, stored where Hugging Face's tools find them."""

import os

import pytest
from hub_server import COMMIT, FakeHub, serving

from lepton_cli.engine.hub.pulling import plan, pull_from_hub
from lepton_cli.engine.hub.transport import Hub, Transport
from lepton_cli.engine.hub.wanted import wanted
from lepton_cli.engine.library.catalogue import resolve

NAME = "Me/Some-GGUF"
Q4, Q8 = b"GGUF four" * 9, b"GGUF eight" * 9
SPLIT = [f"big/m-F16-0000{n}-of-00002.gguf" for n in (1, 2)]
FILES = {
    "README.md": b"read me",
    "mmproj-m-F16.gguf": b"GGUF projector",
    "m-Q8_0.gguf": Q8,
    "m-Q4_K_M.gguf": Q4,
    "imatrix.gguf": b"GGUF importance",
    SPLIT[0]: b"GGUF one",
    SPLIT[1]: b"GGUF two",
    "lost/m-BF16-00001-of-00003.gguf": b"GGUF alone",
}


@pytest.fixture
def hub(tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setenv("LLAMA_CACHE", str(tmp_path / "llama"))
    with serving(FakeHub(files={NAME: dict(FILES)})) as hub:
        yield hub


def pull(hub, name, **how):
    transport = Transport(Hub(hub.endpoint), lambda event: None, lambda seconds: None)
    return pull_from_hub(transport, plan(transport, wanted(name), **how), lambda event: None)


@pytest.mark.parametrize(
    ("name", "file"),
    [
        (NAME, "m-Q4_K_M.gguf"),
        (f"hf:{NAME}", "m-Q4_K_M.gguf"),
        (f"{NAME}:q8_0", "m-Q8_0.gguf"),
        (f"https://huggingface.co/{NAME}/blob/main/m-Q8_0.gguf", "m-Q8_0.gguf"),
        (f"{NAME}/M-Q8_0.GGUF", "m-Q8_0.gguf"),
        (f"{NAME}:f16", SPLIT[0]),
        (f"https://huggingface.co/{NAME}/tree/main/big", SPLIT[0]),
        (f"{NAME}/{SPLIT[1]}", SPLIT[0]),
    ],
)
def test_a_name_stands_for_a_file(hub, name, file):
    pulled = pull(hub, name)
    assert pulled.path.as_posix().endswith(f"snapshots/{COMMIT}/{file}")
    assert pulled.path.read_bytes() == FILES[file]


def test_shards_and_the_projector_come_together(hub):
    pulled = pull(hub, f"{NAME}:F16")
    snapshot = pulled.path.parents[1]
    assert {path.name for path in snapshot.rglob("*.gguf")} == {
        *(path.rpartition("/")[2] for path in SPLIT),
        "mmproj-m-F16.gguf",
    }
    assert pulled.companion == snapshot / "mmproj-m-F16.gguf"
    assert pulled.size == pulled.fetched == len(b"GGUF oneGGUF twoGGUF projector")


def test_without_a_projector_if_it_is_not_wanted(hub):
    assert pull(hub, NAME, companion=False).companion is None


def test_it_lies_as_in_the_cache_of_hugging_face(hub, tmp_path):
    from huggingface_hub import scan_cache_dir, try_to_load_from_cache

    pulled = pull(hub, NAME)
    folder = tmp_path / "hub"
    assert try_to_load_from_cache(NAME, "m-Q4_K_M.gguf", folder) == str(pulled.path)
    assert os.readlink(pulled.path).startswith("../../blobs/")
    scanned = scan_cache_dir(folder)
    assert not scanned.warnings
    assert [repo.repo_id for repo in scanned.repos] == [NAME]
    assert resolve(NAME) == pulled.path


def test_nothing_is_downloaded_twice(hub):
    pull(hub, NAME)
    hub.requests.clear()
    assert pull(hub, NAME).fetched == 0
    assert [path for path, _ in hub.requests if "/resolve/" in path] == []
