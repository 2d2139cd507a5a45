"""`lepton quantize --target-size` as a person types it."""

import json

import pytest
from make_gguf import write_model

from lepton_cli.__main__ import run
from quant.gguf import GGUF

TEXT = "The quick brown fox jumps over the lazy dog. " * 20


@pytest.fixture
def quantize(tmp_path, capsys):
    """Runs `lepton quantize MODEL b.gguf ARGS`: the exit code, stdout, stderr."""
    model = write_model(tmp_path / "a.gguf", dimensions={"D": 64, "F": 128})
    (tmp_path / "text.txt").write_text(TEXT)

    def call(*args: str) -> tuple[int, str, str]:
        code = run(["quantize", str(model), str(tmp_path / "b.gguf"), *args])
        return (code, *capsys.readouterr())

    return call


def test_a_file_of_the_size_is_written_and_its_loss_told_before_and_after(quantize, tmp_path):
    text = ("-f", str(tmp_path / "text.txt"), "-c", "32", "--chunks", "2")
    code, out, err = quantize("--target-size", "6.2bpw", "--json", *text)
    assert code == 0
    told, path = json.loads(out), tmp_path / "b.gguf"
    weights = sum(tensor.size for tensor in GGUF.open(path).tensors.values())
    assert told["files"][0]["bytes"] == path.stat().st_size <= 6.2 * weights / 8
    assert sum(told["types"].values()) == 16
    assert told["expected_divergence"] > 0 and told["divergence"] > 0
    assert "expected divergence: " in err and "measured: " in err


def test_a_dry_run_tells_what_is_expected_and_writes_nothing(quantize, tmp_path):
    text = ("-f", str(tmp_path / "text.txt"), "-c", "32", "--chunks", "1")
    code, out, err = quantize("--target-size", "100k", "--dry-run", *text)
    assert code == 0 and "b.gguf" in out
    assert "expected divergence: " in err and "measured: " not in err
    assert not (tmp_path / "b.gguf").exists()


@pytest.mark.parametrize(
    "args, said",
    [
        ((), "no TYPE given"),
        (("--target-size", "100k"), "measures the loss on a text, and none is given"),
        (("Q4_0", "--target-size", "100k"), "the type Q4_0 and --target-size are both given"),
        (("--pure", "--target-size", "100k"), "--pure and --target-size are both given"),
        (("--target-size", "1k", "-f", "text.txt", "-c", "32"), "bytes at least, not 1000"),
        (("--target-size", "few", "-f", "text.txt"), "'few' is no size"),
    ],
)
def test_what_cannot_be_done_is_said_in_a_line_with_a_cure(
    quantize, tmp_path, monkeypatch, args, said
):
    monkeypatch.chdir(tmp_path)
    code, out, err = quantize(*args)
    assert (code, out) == (2, "")
    error, hint = err.splitlines()[-2:]
    assert said in error and hint.startswith("lepton: hint: ")
    assert not (tmp_path / "b.gguf").exists()


def test_a_file_that_exists_is_refused_before_anything_is_measured(quantize, tmp_path):
    (tmp_path / "b.gguf").write_bytes(b"old")
    code, _, err = quantize("--target-size", "100k", "-f", str(tmp_path / "text.txt"))
    assert code == 2 and "exists" in err and "--overwrite" in err
    assert (tmp_path / "b.gguf").read_bytes() == b"old"
