"""Addresses of models: what was fetched from there, or how to fetch it."""

import pytest
from faked_caches import empty_home, put_hub, refused

from lepton_cli.engine.library.catalogue import resolve


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    return empty_home(tmp_path, monkeypatch)


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
