"""Models in the caches of other programs: where they are, and by which names."""

import pytest
from faked_caches import empty_home, put, put_hub, put_ollama, refused

from lepton_cli.engine.library.catalogue import LIST_HINT, names_model, resolve
from lepton_cli.engine.library.stores import list_models


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    return empty_home(tmp_path, monkeypatch)


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
