"""Packed weights on disk, as a user of the commands sees them."""

import json

import numpy as np
import pytest
from make_gguf import write_model

from lepton_cli.program import run
from ops.backend import WeightFiles


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    """Kernels come from the tests' cache, but the weights of other tests are not listed."""
    for place in ("engine.model", "engine.loading.kept_weights", "ui.commands.cache"):
        monkeypatch.setattr(f"lepton_cli.{place}.weight_folder", lambda: tmp_path / "weights")
    monkeypatch.setattr("lepton_cli.ui.commands.cache.prefix_folder", lambda: tmp_path / "prefixes")
    monkeypatch.setattr("ops.cpu.weights.packing.SETTLED", 0)
    monkeypatch.setattr("ops.cpu.weights.files.LEAST", 1)
    monkeypatch.setattr(WeightFiles.__init__, "__defaults__", (1,))


def test_run_keeps_weights_that_cache_lists_and_clears(tmp_path, capfd):
    path = str(write_model(tmp_path / "m.gguf", metadata={"general.name": "Tiny"}))
    args = ["run", path, "--raw", "-n", "2", "--temp", "0", "hello"]
    assert run(args) == 0
    first = capfd.readouterr().out
    [kept] = (tmp_path / "weights").glob("*.weights")
    assert run(args) == 0 and capfd.readouterr().out == first
    assert run(["cache"]) == 0
    out, err = capfd.readouterr()
    assert out.splitlines()[1].startswith("Tiny") and "packed weights" in out and "weights" in err
    assert run(["cache", "--json"]) == 0
    [held] = json.loads(capfd.readouterr().out)["weights"]
    assert held["model"] == "Tiny" and held["bytes"] == kept.stat().st_size
    assert run(["cache", "clear"]) == 0
    assert not kept.exists() and "freed" in capfd.readouterr().out


def test_a_switch_keeps_nothing(tmp_path):
    path = str(write_model(tmp_path / "m.gguf"))
    args = ["run", path, "--raw", "-n", "1", "--weight-cache", "0", "hello"]
    assert run(args) == 0
    assert not any(tmp_path.glob("weights/*"))


@pytest.mark.parametrize(
    ("preset", "words"),
    [
        ("bert", ["embed", "a text"]),
        ("bert", ["similar", "a text", "-f", "lines.txt"]),
        ("bert-rank", ["rerank", "a text", "-f", "lines.txt"]),
    ],
)
def test_commands_for_texts_keep_weights_and_start_with_them(
    tmp_path, monkeypatch, capfd, preset, words
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "lines.txt").write_text("hello\n")
    args = [words[0], str(write_model(tmp_path / "m.gguf", preset)), *words[1:]]
    assert run([*args, "--weight-cache", "0"]) == 0
    first = capfd.readouterr().out
    assert not any(tmp_path.glob("weights/*"))
    assert run(args) == 0 and capfd.readouterr().out == first
    assert any(tmp_path.glob("weights/*.weights"))
    monkeypatch.setattr("ops.cpu.weights.packing.Packing._pack", None)
    assert run(args) == 0 and capfd.readouterr().out == first


@pytest.mark.parametrize(
    ("preset", "words"),
    [
        ("bert", ["similar", "a text", "-f", "lines.txt"]),
        ("bert-rank", ["rerank", "a text", "-f", "lines.txt"]),
        ("llama", ["perplexity", "lines.txt", "-c", "32"]),
        ("llama", ["perplexity", "--choices", "rows.jsonl"]),
    ],
)
def test_results_are_printed_before_weights_are_waited_for(
    tmp_path, monkeypatch, capfd, preset, words
):
    printed = []

    def finish(self, seconds=None):
        printed.append(capfd.readouterr().out)
        return True

    monkeypatch.setattr(WeightFiles, "finish", finish)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "lines.txt").write_text("the cat sat\n" * 40)
    row = {"prompt": "the", "choices": [" cat", " dog"], "answer": 0}
    (tmp_path / "rows.jsonl").write_text(json.dumps(row))
    model = write_model(tmp_path / "m.gguf", preset)
    assert run([words[0], str(model), *words[1:]]) == 0
    assert printed[0] and not capfd.readouterr().out


def test_a_long_wait_is_told_and_an_interrupt_is_no_failure(tmp_path, monkeypatch, capfd):
    waits = []

    def finish(self, seconds=None):
        waits.append(seconds)
        if seconds is None:
            raise KeyboardInterrupt
        return False

    monkeypatch.setattr(WeightFiles, "finish", finish)
    monkeypatch.setattr(WeightFiles, "stop", lambda self: None)
    path = str(write_model(tmp_path / "m.gguf"))
    assert run(["run", path, "--raw", "-n", "1", "hello"]) == 0
    assert waits == [1.0, None] and "kept on disk" in " ".join(capfd.readouterr().err.split())


def test_what_could_not_be_written_is_told_on_request(tmp_path, capfd):
    (tmp_path / "weights").write_text("a file")
    path = str(write_model(tmp_path / "m.gguf"))
    for flags, told in (([], False), (["-v"], True)):
        assert run(["run", path, "--raw", "-n", "1", *flags, "hello"]) == 0
        assert ("cannot be kept" in " ".join(capfd.readouterr().err.split())) is told
    assert np.fromfile(tmp_path / "weights", np.uint8).size == 6
