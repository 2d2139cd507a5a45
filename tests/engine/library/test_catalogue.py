"""What a model's name stands for: paths, aliases and the caches of other programs, all faked."""

import json
import os
from pathlib import Path

import pytest

from lepton_cli.engine.library import catalogue, stores
from lepton_cli.engine.library.catalogue import (
    LIST_HINT,
    Alias,
    load_aliases,
    names_model,
    on_disk,
    packaged,
    resolve,
)
from lepton_cli.engine.library.stores import list_models
from quant.errors import LeptonError, UsageError

CACHE_VARIABLES = (
    *("HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "HF_HOME", "XDG_CACHE_HOME"),
    *("LLAMA_CACHE", "OLLAMA_MODELS", "LOCALAPPDATA"),
)


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch) -> Path:
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


# --- paths


def test_an_existing_path_is_itself(tmp_path):
    model = put(tmp_path / "any.gguf")
    assert resolve(str(model)) == model


def test_a_path_needs_no_suffix_and_may_be_relative(tmp_path):
    put(tmp_path / "sub/model")
    assert resolve("sub/model") == Path("sub/model")


def test_a_tilde_is_the_home_folder(home):
    model = put(home / "m.gguf")
    assert resolve("~/m.gguf") == model


def test_a_file_wins_over_an_alias(tmp_path):
    put(tmp_path / "qwen3-4b")
    assert resolve("qwen3-4b") == Path("qwen3-4b")


def test_a_later_shard_means_the_first(tmp_path):
    first = put(tmp_path / "m-00001-of-00003.gguf")
    assert resolve(str(put(tmp_path / "m-00003-of-00003.gguf"))) == first


def test_a_shard_without_the_first_names_it(tmp_path):
    error = refused(str(put(tmp_path / "m-00002-of-00003.gguf")))
    assert "m-00001-of-00003.gguf is not beside it" in error.message


def test_a_folder_is_refused_and_its_files_are_named(tmp_path):
    put(tmp_path / "models/b.gguf")
    error = refused(str(tmp_path / "models"))
    assert "is a folder" in error.message
    assert "b.gguf" in error.hint


def test_an_empty_folder_is_refused(tmp_path):
    assert "no .gguf" in refused(str(tmp_path)).hint


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_a_pipe_is_refused_without_opening_it(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    assert "not a regular file" in refused(str(tmp_path / "pipe")).message


def test_an_unreadable_file_is_refused(tmp_path, monkeypatch):
    def denied(self, mode):
        raise PermissionError(13, "Permission denied")

    put(tmp_path / "m.gguf")
    monkeypatch.setattr(Path, "open", denied)  # the mode alone would not stop root
    assert "may not be read: Permission denied" in refused(str(tmp_path / "m.gguf")).message


def test_a_missing_file_names_the_one_that_looks_like_it(tmp_path):
    put(tmp_path / "llama-Q4_0.gguf")
    error = refused(str(tmp_path / "lama-Q4_0.gguf"))
    assert error.message.endswith("lama-Q4_0.gguf: no such file")
    assert str(tmp_path / "llama-Q4_0.gguf") in error.hint


@pytest.mark.parametrize("name", ["", "  ", "a\0b", "x" * 5000])
def test_a_name_that_can_be_no_file_is_refused(name):
    refused(name)


# --- aliases


def test_packaged_data_comes_before_the_checkout(tmp_path, monkeypatch):
    package = tmp_path / "lepton_cli"
    package.mkdir()
    put(tmp_path / "models.toml")
    monkeypatch.setattr(catalogue, "PACKAGE", package)
    assert packaged("models.toml") == tmp_path / "models.toml"
    put(package / "data/models.toml")
    assert packaged("models.toml") == package / "data/models.toml"
    with pytest.raises(LeptonError, match=r"no other\.gguf"):
        packaged("other.gguf")


def test_the_builtin_model_is_in_the_package(tmp_path, monkeypatch):
    model = put(tmp_path / load_aliases()["builtin"].file)
    monkeypatch.setattr(catalogue, "packaged", lambda name: model)
    monkeypatch.setattr(catalogue, "load_aliases", lambda: {"builtin": Alias("builtin", "b.gguf")})
    assert resolve("builtin") == model


def test_an_alias_that_is_not_here_tells_how_to_fetch_it():
    error = refused("qwen3-0.6b")
    assert "not on this disk" in error.message
    assert "lepton pull qwen3-0.6b" in error.hint


def test_a_misspelt_alias_names_the_nearest():
    error = refused("qwen3-06b")
    assert error.message == "no model is called qwen3-06b"
    assert "qwen3-0.6b" in error.hint


def test_a_name_like_nothing_points_to_the_list():
    assert "lepton models" in refused("xyzzy").hint


QWEN = "Qwen/Qwen3-0.6B-GGUF"
FILE = "Qwen3-0.6B-Q8_0.gguf"


@pytest.mark.parametrize("name", ["qwen3-0.6b", "Qwen3-0.6B"])
def test_an_alias_is_found_in_every_cache(home, name):
    places = [
        home / ".cache/llama.cpp" / f"{QWEN}_{FILE}".replace("/", "_"),
        home / ".lmstudio/models" / QWEN / FILE,
    ]
    for place in places:
        put(place)
        assert resolve(name) == place
        place.unlink()
    link = put_hub(home / ".cache/huggingface/hub", QWEN, FILE)
    assert resolve(name) == link


def test_an_alias_is_found_under_its_hash_at_ollama(home):
    alias = load_aliases()["qwen3-0.6b"]
    blob = put_ollama(home / ".ollama/models", f"hf.co/{QWEN}/Q8_0", f"sha256:{alias.sha256}")
    assert on_disk(alias, list_models()).path == blob
    assert resolve("qwen3-0.6b") == blob


# --- caches


def test_caches_lie_where_their_variables_say(tmp_path, monkeypatch):
    cases = [
        ("LLAMA_CACHE", "a", "a/x_y_m.gguf", "llama.cpp"),
        ("XDG_CACHE_HOME", "b", "b/llama.cpp/x_y_m.gguf", "llama.cpp"),
        ("HF_HUB_CACHE", "c", "c/models--x--y/snapshots/1/m.gguf", "hugging face"),
        ("HF_HOME", "d", "d/hub/models--x--y/snapshots/1/m.gguf", "hugging face"),
        (
            "XDG_CACHE_HOME",
            "e",
            "e/huggingface/hub/models--x--y/snapshots/1/m.gguf",
            "hugging face",
        ),
        ("LLAMA_CACHE", "f", "f/models--x--y/snapshots/1/m.gguf", "llama.cpp"),
    ]
    for variable, folder, file, source in cases:
        with monkeypatch.context() as patch:
            patch.setenv(variable, str(tmp_path / folder))
            path = put(tmp_path / file)
            [entry] = list_models()
            assert (entry.path, entry.source) == (path, source)


def test_every_listed_model_resolves_by_its_name(home):
    put(home / ".cache/llama.cpp/x_y_m-Q4_0.gguf")
    put_hub(home / ".cache/huggingface/hub", "x/z", "sub/n.gguf")
    put(home / ".lmstudio/models/x/w/o.gguf")
    put_ollama(home / ".ollama/models", "registry.ollama.ai/library/tiny/latest")
    entries = list_models()
    assert [entry.name for entry in entries] == [
        "x_y_m-Q4_0.gguf",
        "x/z/sub/n.gguf",
        "x/w/o.gguf",
        "tiny:latest",
    ]
    for entry in entries:
        assert resolve(entry.name) == entry.path


@pytest.mark.parametrize(
    ("manifest", "names"),
    [
        ("registry.ollama.ai/library/qwen3/0.6b", ["qwen3:0.6b", "QWEN3:0.6b"]),
        ("registry.ollama.ai/library/qwen3/latest", ["qwen3", "qwen3:latest"]),
        ("registry.ollama.ai/someone/thing/v1", ["someone/thing:v1"]),
        ("hf.co/x/y-GGUF/Q4_K_M", ["hf.co/x/y-GGUF:Q4_K_M"]),
    ],
)
def test_ollama_names_are_model_and_tag(home, manifest, names):
    blob = put_ollama(home / ".ollama/models", manifest)
    for name in names:
        assert resolve(name) == blob


def test_every_tag_of_a_file_is_a_name(home):
    models, places = home / ".ollama/models", "registry.ollama.ai/library/llama3.2"
    for manifest in (f"{places}/3b", f"{places}/latest", "registry.ollama.ai/me/mine/latest"):
        blob = put_ollama(models, manifest)
    names = [entry.name for entry in list_models()]
    assert names == ["llama3.2:3b", "llama3.2:latest", "me/mine:latest"]
    for name in (*names, "llama3.2", "me/mine", blob.name):
        assert resolve(name) == blob


def test_ollama_models_of_the_service_and_of_the_variable(tmp_path, monkeypatch):
    service = put_ollama(tmp_path / "service", "registry.ollama.ai/library/a/latest")
    monkeypatch.setenv("OLLAMA_MODELS", str(tmp_path / "mine"))
    mine = put_ollama(tmp_path / "mine", "registry.ollama.ai/library/b/latest")
    assert (resolve("a"), resolve("b")) == (service, mine)


@pytest.mark.parametrize(
    "text",
    [
        *("", "{", "[]", "null", "\xff", "3"),
        '{"layers": 3}',
        '{"layers": [{"digest": "sha256:1"}]}',
        '{"layers": [{"mediaType": [], "digest": "sha256:1"}]}',
        '{"layers": [{"mediaType": "application/vnd.ollama.image.model", "digest": 3}]}',
        '{"layers": [{"mediaType": "application/vnd.ollama.image.model", "digest": "../../x"}]}',
        '{"layers": [{"mediaType": "application/vnd.ollama.image.model", "digest": "a\\u0000"}]}',
    ],
)
def test_a_broken_manifest_is_passed_over(home, text):
    put(home / ".ollama/x")
    (home / ".ollama/models/blobs").mkdir(parents=True)
    path = home / ".ollama/models/manifests/registry.ollama.ai/library/x/latest"
    path.parent.mkdir(parents=True)
    path.write_text(text)
    assert list_models() == []


def test_a_manifest_without_its_blob_is_passed_over(home):
    put_ollama(home / ".ollama/models", "registry.ollama.ai/library/x/latest").unlink()
    assert list_models() == []


def test_hub_prefers_the_snapshot_that_main_names(home):
    hub = home / ".cache/huggingface/hub"
    put_hub(hub, "x/y", "m.gguf", "aaa", main=False)
    newest = put_hub(hub, "x/y", "m.gguf", "bbb")
    old = put_hub(hub, "x/y", "gone.gguf", "ccc", main=False)
    assert [entry.path for entry in list_models()] == [newest, old]


def test_broken_links_projectors_and_later_shards_are_not_models(home):
    hub = home / ".cache/huggingface/hub"
    put_hub(hub, "x/y", "half.gguf").resolve().unlink()
    put_hub(hub, "x/y", "mmproj-F16.gguf")
    put_hub(hub, "x/y", "m-00002-of-00002.gguf")
    assert list_models() == []


def test_the_size_is_that_of_all_shards(home):
    folder = home / ".lmstudio/models/x/y"
    put(folder / "m-00001-of-00002.gguf", 10)
    put(folder / "m-00002-of-00002.gguf", 30)
    [entry] = list_models()
    assert (entry.size, entry.path.name) == (40, "m-00001-of-00002.gguf")
    assert resolve("m-00002-of-00002.gguf") == entry.path


def test_one_file_is_listed_once(tmp_path, monkeypatch):
    monkeypatch.setenv("LLAMA_CACHE", str(tmp_path / "hub"))
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    put_hub(tmp_path / "hub", "x/y", "m.gguf")
    assert len(list_models()) == 1


@pytest.mark.parametrize("layout", ["hub", "llama.cpp", "lm studio"])
def test_a_repository_and_quantization_name_a_file(home, layout):
    paths = {}
    for quantization in ("Q4_K_M", "Q4_K_S", "Q8_0", "IQ4_XS"):
        file = f"Some-Model-{quantization}.gguf"
        if layout == "hub":
            paths[quantization] = put_hub(home / ".cache/huggingface/hub", "Me/Some-GGUF", file)
        elif layout == "llama.cpp":
            paths[quantization] = put(home / ".cache/llama.cpp" / f"Me_Some-GGUF_{file}")
        else:
            paths[quantization] = put(home / ".lmstudio/models/Me/Some-GGUF" / file)
    for quantization, path in paths.items():
        assert resolve(f"Me/Some-GGUF:{quantization}") == path
        assert resolve(f"me/some-gguf:{quantization.lower()}") == path
    assert resolve("Me/Some-GGUF") == paths["Q4_K_M"]
    paths["Q4_K_M"].unlink()
    assert resolve("Me/Some-GGUF") == paths["Q8_0"]
    assert "lepton pull Me/Some-GGUF:Q4_K" in refused("Me/Some-GGUF:Q4_K").hint


def test_a_repository_with_one_file_needs_no_quantization(home):
    path = put_hub(home / ".cache/huggingface/hub", "x/y", "only-IQ4_XS.gguf")
    assert resolve("x/y") == path


def test_an_ambiguous_name_lists_the_choices(home):
    put(home / ".lmstudio/models/a/r/same.gguf")
    second = put(home / ".lmstudio/models/b/r/same.gguf")
    error = refused("same.gguf")
    assert "2 models" in error.message
    assert "a/r/same.gguf, b/r/same.gguf" in error.hint
    assert resolve("b/r/same.gguf") == second


@pytest.mark.parametrize("name", ["only-Q8_0", "only-Q8_0.gguf", "ONLY-q8_0.gguf"])
def test_a_file_in_a_cache_is_found_by_its_bare_name(home, name):
    model = put(home / ".lmstudio/models/a/r/only-Q8_0.gguf")
    assert resolve(name) == model


def test_a_path_to_nothing_is_not_a_repository(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "models").mkdir()
    for path in ("./nothing", "../nothing", "models/nothing"):
        error = refused(path)
        assert (error.message, error.hint) == (f"{path}: no such file", LIST_HINT)
    assert names_model("./nothing") and not names_model("models/nothing")


def test_a_repository_that_is_not_here_tells_how_to_fetch_it():
    error = refused("nobody/nothing-GGUF:Q4_0")
    assert "lepton pull nobody/nothing-GGUF:Q4_0" in error.hint


def test_a_folder_does_not_hide_an_alias_of_the_same_name(tmp_path, monkeypatch):
    (tmp_path / "builtin").mkdir()
    monkeypatch.chdir(tmp_path)
    assert resolve("builtin").name == "builtin.gguf"


# --- what is plainly a model, and what is not


@pytest.mark.parametrize(
    ("word", "plainly"),
    [
        ("m.gguf", True),
        ("no such.gguf", False),
        ("none.GGUF", True),
        ("blob", True),
        ("builtin", True),
        ("Qwen3-0.6B", True),
        ("kept", True),
        ("a/same.gguf", True),
        ("same", True),
        ("dangling", True),
        ("https://example.com/m", True),
        ("hf.co/a/b", True),
        ("notes.txt", False),
        ("folder", False),
        ("hello", False),
        ("yes/no", False),
        ("tell me of m.gguf", False),
        ("", False),
        ("\n", False),
        ("x" * 5000, False),
        ("a\0b", False),
    ],
)
def test_a_word_names_a_model_or_is_text(home, tmp_path, word, plainly):
    put(tmp_path / "m.gguf")
    put(tmp_path / "blob")
    (tmp_path / "notes.txt").write_text("GG")
    (tmp_path / "folder").mkdir()
    (tmp_path / "dangling").symlink_to("nowhere")
    put(home / ".lmstudio/models/x/y/kept.gguf")
    for user in "ab":
        put(home / f".lmstudio/models/{user}/r/same.gguf")
    assert names_model(word) is plainly


# --- addresses, links and halves


@pytest.mark.parametrize(
    ("address", "cure"),
    [
        ("https://huggingface.co/a/b", "lepton pull a/b"),
        ("https://huggingface.co/a/b/", "lepton pull a/b"),
        ("huggingface.co/a/b/tree/main", "lepton pull a/b"),
        ("https://huggingface.co/a/b/blob/main/x y.gguf", "lepton pull 'a/b/x y.gguf'"),
        ("https://hf.co/a/b/resolve/main/s/x.gguf?download=true", "lepton pull a/b/s/x.gguf"),
        ("hf.co/a/b:Q8_0", "lepton pull a/b:Q8_0"),
        ("hf:a/b", "lepton pull a/b"),
        ("hf://a/b/x.gguf", "lepton pull a/b/x.gguf"),
        ("https://ollama.com/library/qwen3:0.6b", "ollama pull qwen3:0.6b"),
        ("ollama:llama3", "ollama pull llama3"),
        ("https://x.org/a/m.gguf?x=1&y", "lepton pull 'https://x.org/a/m.gguf?x=1&y'"),
        ("https://x.org/page", "`lepton models`"),
        ("file:///a/m.gguf", "/a/m.gguf"),
        ("s3://bucket/m.gguf", "`lepton models`"),
    ],
)
def test_an_address_tells_how_to_fetch_it(address, cure):
    error = refused(address)
    assert error.message == f"{address} is an address, not a file on this disk"
    assert error.hint.endswith(cure) or cure in error.hint.split(": ")[-1]


@pytest.mark.parametrize(
    "address", ["hf.co/x/y", "https://huggingface.co/x/y/blob/main/m-Q8_0.gguf", "hf:x/y:q8_0"]
)
def test_an_address_means_what_was_fetched_from_it(home, address):
    path = put_hub(home / ".cache/huggingface/hub", "x/y", "m-Q8_0.gguf")
    assert resolve(address) == path


def test_a_link_to_nothing_says_where_it_leads(tmp_path):
    (tmp_path / "m.gguf").symlink_to("gone.gguf")
    assert refused("m.gguf").message == "m.gguf is a link to gone.gguf, which is not there"


def test_a_link_to_itself_is_refused(tmp_path):
    (tmp_path / "m.gguf").symlink_to("m.gguf")
    assert "is a link to m.gguf" in refused("m.gguf").message


@pytest.mark.parametrize("suffix", [".part", ".incomplete", ".crdownload"])
def test_a_download_that_continues_is_named(tmp_path, suffix):
    put(tmp_path / f"m.gguf{suffix}")
    assert f"m.gguf{suffix} is an unfinished download" in refused("m.gguf").message


def test_a_folder_of_transformers_is_told_how_to_convert(tmp_path):
    (tmp_path / "model.safetensors").touch()
    with pytest.raises(UsageError) as caught:
        resolve(str(tmp_path))
    assert caught.value.hint == f"convert it: lepton convert {tmp_path} model.gguf"
