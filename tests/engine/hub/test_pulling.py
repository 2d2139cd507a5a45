"""Pulling: the right files of a repository, stored where Hugging Face's tools find them."""

import hashlib
import os
import shutil
import sys
import threading
from collections import namedtuple
from pathlib import Path

import pytest
from hub_server import COMMIT, FakeHub, Fault, serving
from make_gguf import write_model

from lepton_cli.engine.hub import fitting, pulling
from lepton_cli.engine.hub.cache import RepositoryCache
from lepton_cli.engine.hub.events import Progress, Remark
from lepton_cli.engine.hub.fitting import offers
from lepton_cli.engine.hub.pulling import Pulled, plan, pull_from_hub, pull_from_web
from lepton_cli.engine.hub.repository import read_repository
from lepton_cli.engine.hub.transport import Hub, Transport
from lepton_cli.engine.hub.wanted import HubFiles, wanted
from lepton_cli.engine.library.catalogue import resolve
from ops.machine import MemoryLimit
from quant.errors import LeptonError, UsageError

NAME = "Me/Some-GGUF"
Usage = namedtuple("Usage", "total used free")
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


def test_a_file_that_is_no_model_comes_alone(hub):
    pulled = pull(hub, f"hf:{NAME}/README.md")
    assert (pulled.path.read_bytes(), pulled.companion) == (b"read me", None)


def test_what_is_larger_than_the_memory_is_told(hub, monkeypatch):
    monkeypatch.setattr(pulling, "available_memory", lambda: MemoryLimit(9, "for a test"))
    transport, told = Transport(Hub(hub.endpoint), lambda event: None), list[Remark]()
    pull_from_hub(transport, plan(transport, wanted(NAME)), told.append)
    assert "m-Q4_K_M.gguf will not fit into memory now" in told[0].text


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


def test_a_newer_commit_shares_what_is_unchanged(hub, tmp_path):
    old = pull(hub, NAME).path
    hub.commits[NAME] = newer = "ab" * 20
    hub.files[NAME]["m-Q8_0.gguf"] = b"GGUF new"
    hub.requests.clear()
    new = pull(hub, NAME)
    assert (new.fetched, new.path.resolve()) == (0, old.resolve())
    assert pull(hub, f"{NAME}:q8_0").path.read_bytes() == b"GGUF new"
    assert (tmp_path / "hub/models--Me--Some-GGUF/refs/main").read_text() == newer


def test_the_name_is_as_the_hub_writes_it(hub, tmp_path):
    hub.files["me/some-gguf"] = hub.files[NAME]
    hub.listed["me/some-gguf"] = {"id": NAME}
    assert f"models--{NAME.replace('/', '--')}" in pull(hub, "me/some-gguf").path.parts


@pytest.mark.parametrize(
    ("name", "message", "hint"),
    [
        (f"{NAME}:Q5_K_M", "has no Q5_K_M", "it has Q4_K_M, Q8_0, F16; all: lepton pull"),
        (f"{NAME}/m-Q4_K.gguf", "has no m-Q4_K.gguf", "m-Q4_K_M.gguf"),
        (f"{NAME}:BF16", "has no BF16", "Q4_K_M"),  # a shard is not there
        ("Me/Empty", "holds no GGUF model", "Empty-GGUF"),
    ],
)
def test_what_is_not_there_names_what_is(hub, name, message, hint):
    hub.files["Me/Empty"] = {"README.md": b"", "model.safetensors": b""}
    with pytest.raises(LeptonError, match=message) as caught:
        pull(hub, name)
    assert hint in caught.value.hint


def test_a_file_that_is_gone_meanwhile_is_told(hub):
    transport = Transport(Hub(hub.endpoint), print)
    chosen = plan(transport, wanted(NAME))
    del hub.files[NAME]["m-Q4_K_M.gguf"]
    with pytest.raises(LeptonError, match="does not hold the file any more") as caught:
        pull_from_hub(transport, chosen, print)
    assert caught.value.hint.endswith(f"lepton pull {NAME} --list")


def test_a_gated_file_tells_what_to_do(hub):
    hub.gated[NAME] = "hf_mine"
    with pytest.raises(LeptonError, match="is gated"):
        pull(hub, NAME)
    transport = Transport(Hub(hub.endpoint, "hf_mine"), lambda event: None)
    assert pull_from_hub(transport, plan(transport, wanted(NAME)), print).path.exists()


def test_nothing_appears_under_its_name_before_all_is_there(hub, tmp_path):
    hub.faults["/resolve/"] = [Fault(), Fault(), Fault(), Fault(404)]  # of the second shard
    with pytest.raises(LeptonError):
        pull(hub, f"{NAME}:F16")
    assert not list(tmp_path.rglob("*.gguf"))
    hub.faults.clear()
    hub.requests.clear()
    pull(hub, f"{NAME}:F16")
    asked = {path.rpartition("/")[2] for path, _ in hub.requests if "/resolve/" in path}
    assert SPLIT[0].rpartition("/")[2] not in asked


def test_where_links_are_not_possible_the_file_itself_is_there(hub, monkeypatch):
    def refuse(*args):
        raise OSError("a privilege is not held")

    monkeypatch.setattr(Path, "symlink_to", refuse)
    pulled = pull(hub, NAME)
    assert pulled.path.read_bytes() == Q4 and not pulled.path.is_symlink()
    hub.requests.clear()
    assert pull(hub, NAME).fetched == 0


def test_a_link_that_another_pull_makes_meanwhile_is_taken(hub, monkeypatch):
    real = Path.symlink_to

    def twice(path, target):
        real(path, target)
        real(path, target)

    monkeypatch.setattr(Path, "symlink_to", twice)
    pulled = pull(hub, NAME)
    assert pulled.path.is_symlink() and pulled.path.read_bytes() == Q4


def test_all_files_must_fit_on_the_disk(hub, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: Usage(20, 0, 20))
    with pytest.raises(LeptonError, match="are to be downloaded, and the disk"):
        pull(hub, f"{NAME}:F16")
    assert not [path for path, _ in hub.requests if "/resolve/" in path]


@pytest.mark.skipif(sys.platform == "win32", reason="no locks there")
def test_a_second_download_waits_for_the_first(hub):
    hub.stall = threading.Event()
    told, results = list[str](), list[Pulled]()

    def second():
        def tell(event):
            if isinstance(event, Remark):
                told.append(event.text)
                hub.stall.set()

        transport = Transport(Hub(hub.endpoint), tell)
        results.append(pull_from_hub(transport, plan(transport, wanted(NAME)), tell))

    thread = threading.Thread(target=second)

    def tell(event):
        if isinstance(event, Progress) and event.done and not thread.ident:
            thread.start()

    transport = Transport(Hub(hub.endpoint), tell)
    first = pull_from_hub(transport, plan(transport, wanted(NAME)), tell)
    thread.join()
    assert [result.path for result in results] == [first.path]
    assert "another program is downloading" in told[0]
    assert len(hub.asked("m-Q4_K_M.gguf")) == 2  # the probe, and the file, once


# --- addresses


@pytest.fixture
def web(hub):
    hub.plain |= {"x/m.gguf": Q4, "x/s-00001-of-00002.gguf": Q8, "x/s-00002-of-00002.gguf": Q4}
    return hub


def pull_url(hub, path):
    transport = Transport(Hub(hub.endpoint), lambda event: None, lambda seconds: None)
    return pull_from_web(transport, wanted(f"{hub.endpoint}/{path}"), lambda event: None)


def test_an_address_is_found_by_its_file_s_name(web):
    pulled = pull_url(web, "x/m.gguf?download=true")
    assert pulled.path.read_bytes() == Q4
    assert resolve("m.gguf") == resolve(f"{web.endpoint}/x/m.gguf") == pulled.path


def test_all_parts_at_an_address_come(web):
    pulled = pull_url(web, "x/s-00001-of-00002.gguf")
    assert pulled.path.read_bytes() == Q8
    assert (pulled.size, pulled.fetched) == (len(Q8 + Q4), len(Q8 + Q4))


def test_an_address_is_fetched_again_only_if_it_changed(web):
    pulled = pull_url(web, "x/m.gguf")
    assert pull_url(web, "x/m.gguf").fetched == 0
    web.plain["x/m.gguf"] = b"GGUF" + Q4[:3:-1]
    assert pull_url(web, "x/m.gguf").fetched == len(Q4)
    assert pulled.path.read_bytes() == web.plain["x/m.gguf"]


def test_a_file_of_another_origin_is_not_replaced(web, tmp_path):
    own = tmp_path / "llama/m.gguf"
    own.parent.mkdir()
    own.write_bytes(b"GGUF mine")
    with pytest.raises(UsageError, match="another file than the server's") as caught:
        pull_url(web, "x/m.gguf")
    assert caught.value.hint.endswith("lepton models --remove m.gguf")
    assert own.read_bytes() == b"GGUF mine"


@pytest.mark.parametrize(("status", "cure"), [(403, "it needs a login"), (404, "the address")])
def test_a_refusal_of_another_server_is_told_without_what_is_secret(web, status, cure):
    web.faults["x/m.gguf"] = [Fault(status)]
    with pytest.raises(LeptonError, match=f"x/m.gguf: the server answers {status}") as caught:
        pull_url(web, "x/m.gguf?signature=secret")
    assert cure in caught.value.hint
    assert "secret" not in caught.value.message + caught.value.hint


# --- what fits


def test_what_fits_is_told_from_the_beginning_of_one_file(hub, tmp_path, monkeypatch):
    path = write_model(tmp_path / "made.gguf")
    data, told = path.read_bytes(), list[str]()
    hub.files[NAME] = {
        "m-Q4_K_M.gguf": data,
        "m-F16-00001-of-00002.gguf": data,
        "m-F16-00002-of-00002.gguf": b"GGUF" * 10_000,
    }
    monkeypatch.setattr(fitting, "FIRST_BYTES", 64)  # in several steps
    free = MemoryLimit(10**9, "for a test")
    monkeypatch.setattr(fitting, "available_memory", lambda: free)
    found = offers(*asked(hub), told.append)
    assert [offer.model.quantization for offer in found] == ["Q4_K_M", "F16"]
    small, large = (offer.fit for offer in found)
    assert small.whole and large.whole and large.bytes > small.bytes
    free = MemoryLimit(large.bytes - 1, "for a test")
    assert [offer.fit.context > 0 for offer in offers(*asked(hub), told.append)] == [True, False]
    assert told == []


def asked(hub):
    transport = Transport(Hub(hub.endpoint), lambda event: None)
    return transport, read_repository(transport, HubFiles(NAME))


def test_of_what_is_gated_the_sizes_are_told(hub):
    hub.gated[NAME], told = "hf_mine", list[Remark]()
    assert [offer.fit for offer in offers(*asked(hub), told.append)] == [None] * 3
    assert "is gated" in told[0].text


def test_of_what_lepton_cannot_run_the_sizes_are_told(hub, tmp_path):
    strange = {"general.architecture": "strange"}
    data = write_model(tmp_path / "made.gguf", metadata=strange).read_bytes()
    hub.files[NAME], told = {"m-Q4_K_M.gguf": data}, list[Remark]()
    [offer] = offers(*asked(hub), told.append)
    assert (offer.fit, offer.model.size) == (None, len(data))
    assert "strange" in told[0].text and "/" not in told[0].text


def test_bytes_that_lie_on_another_host_come_without_the_token(hub):
    digests = {hashlib.sha256(data).hexdigest(): data for data in FILES.values()}
    with serving(FakeHub(plain=digests)) as storage:
        hub.storage = storage.endpoint
        transport = Transport(Hub(hub.endpoint, "hf_mine"), lambda event: None)
        assert pull_from_hub(transport, plan(transport, wanted(NAME)), print).path.exists()
        assert storage.requests and hub.asked("/resolve/")
        assert all("authorization" not in headers for _, headers in storage.requests)
        assert all("authorization" in headers for headers in hub.asked("/resolve/"))


def test_a_mirror_s_hash_counts_for_an_address(web):
    with serving(FakeHub(plain={hashlib.sha256(Q4).hexdigest(): Q8})) as storage:
        web.storage = storage.endpoint
        with pytest.raises(LeptonError, match="arrived damaged"):
            pull_url(web, f"{NAME}/resolve/main/m-Q4_K_M.gguf")


def test_a_model_s_first_shard_appears_last(hub, monkeypatch):
    real, linked = RepositoryCache.link, list[str]()

    def link(cache, commit, path, digest):
        linked.append(path)
        return real(cache, commit, path, digest)

    monkeypatch.setattr(RepositoryCache, "link", link)
    pull(hub, f"{NAME}:F16")
    assert linked[-2:] == SPLIT[::-1]
