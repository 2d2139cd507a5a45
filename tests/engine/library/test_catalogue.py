"""What a model's name stands for: paths, aliases, words that are plainly models."""

import os
from pathlib import Path

import pytest
from faked_caches import empty_home, put, put_hub, put_ollama, refused

from lepton_cli.engine.library import catalogue
from lepton_cli.engine.library.catalogue import (
    Alias,
    load_aliases,
    names_model,
    on_disk,
    packaged,
    resolve,
)
from lepton_cli.engine.library.stores import list_models
from quant.errors import LeptonError, UsageError


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    return empty_home(tmp_path, monkeypatch)


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
