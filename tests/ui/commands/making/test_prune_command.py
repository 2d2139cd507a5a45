"""`lepton prune` as a person types it."""

import json
from pathlib import Path

import pytest
from make_gguf import write_model

from lepton_cli.__main__ import run
from quant.gguf import GGUF

TEXT = "The quick brown fox jumps over the lazy dog. " * 20


@pytest.fixture
def model(tmp_path) -> Path:
    return write_model(tmp_path / "a.gguf", dimensions={"L": 3, "F": 128})


@pytest.fixture
def prune(model, tmp_path, capsys):
    """Runs `lepton prune MODEL OUT ARGS`: the exit code, stdout, stderr."""

    def call(*args: str, out: str | None = "b.gguf") -> tuple[int, str, str]:
        words = [] if out is None else [str(tmp_path / out)]
        code = run(["prune", str(model), *words, *args])
        return (code, *capsys.readouterr())

    return call


def test_what_leaves_is_told_and_the_rest_is_written(prune, tmp_path):
    (tmp_path / "text.txt").write_text(TEXT)
    text = ("-f", str(tmp_path / "text.txt"), "-c", "32")
    code, out, _ = prune("--layers", "1", "--channels", "0.5", "--json", *text)
    assert code == 0
    told = json.loads(out)
    keys = GGUF.open(tmp_path / "b.gguf").metadata
    assert keys.integer("llama.block_count") == 2
    assert keys.integer("llama.feed_forward_length") == 64
    assert told["bytes_after"] == (tmp_path / "b.gguf").stat().st_size < told["bytes_before"]
    assert told["layers_left_out"] == [min(range(3), key=told["influences"].__getitem__)]
    assert told["parts"] == [{"kind": "channels", "before": 128, "after": 64}]


def test_without_a_file_to_write_there_is_only_a_report(prune, tmp_path):
    code, out, _ = prune("--drop-layers", "1", out=None)
    assert code == 0
    layers, left_out = out.splitlines()[-2:]
    assert (layers.split(), left_out) == (["layers", "3", "2"], "left out: layer 1")
    assert [path.name for path in tmp_path.iterdir()] == ["a.gguf"]
    assert prune("--drop-layers", "1", "--dry-run")[0] == 0
    assert [path.name for path in tmp_path.iterdir()] == ["a.gguf"]


def test_a_file_is_replaced_only_if_that_is_asked_for(prune, tmp_path):
    old = tmp_path / "b.gguf"
    old.write_bytes(b"old")
    code, _, err = prune("--drop-layers", "0")
    assert (code, old.read_bytes()) == (2, b"old")
    assert "exists" in err and "--overwrite" in err
    assert prune("--drop-layers", "0", "--overwrite")[0] == 0
    assert GGUF.open(old).metadata.integer("llama.block_count") == 2


def test_units_are_ranked_by_an_importance_matrix(prune, model, tmp_path, capsys):
    (tmp_path / "text.txt").write_text(TEXT)
    text = str(tmp_path / "text.txt")
    assert run(["imatrix", str(model), text, "-o", str(tmp_path / "i.gguf"), "-c", "32"]) == 0
    capsys.readouterr()
    guided = ("--channels", "0.5", "--imatrix", str(tmp_path / "i.gguf"))
    assert prune("--channels", "0.5", out="plain.gguf")[0] == 0
    assert prune(*guided, out="guided.gguf")[0] == 0
    plain, best = (GGUF.open(tmp_path / f"{name}.gguf") for name in ("plain", "guided"))
    name = "blk.0.ffn_down.weight"
    assert plain.tensors[name].data.tobytes() != best.tensors[name].data.tobytes()


def test_an_importance_matrix_of_another_model_is_refused(prune, tmp_path, capsys):
    other = write_model(tmp_path / "o.gguf", "gpt2")
    (tmp_path / "text.txt").write_text(TEXT)
    text, matrix = str(tmp_path / "text.txt"), str(tmp_path / "i.gguf")
    assert run(["imatrix", str(other), text, "-o", matrix, "-c", "32"]) == 0
    capsys.readouterr()
    code, _, err = prune("--channels", "0.5", "--imatrix", matrix)
    assert code == 2 and not (tmp_path / "b.gguf").exists()
    assert "lepton: hint: " in err


def test_a_model_is_not_written_to_stdout(model, capsys):
    assert run(["prune", str(model), "-", "--drop-layers", "0"]) == 2
    assert "not written to stdout" in capsys.readouterr().err


def test_the_model_itself_is_never_written(prune, model):
    before = model.read_bytes()
    code, _, err = prune("--drop-layers", "0", "--overwrite", out=model.name)
    assert (code, model.read_bytes()) == (2, before)
    assert "is what is read" in err


@pytest.mark.parametrize(
    "args, said",
    [
        ((), "nothing is said of what to leave out"),
        (("--layers", "1"), "layers are ranked by a text, and none is given"),
        (("--target-size", "1G"), "layers are ranked by a text, and none is given"),
        (("--channels", "1"), "--channels is 1"),
        (("--heads", "nan"), "--heads is nan"),
        (("--drop-layers", "3"), "'3' names no layers of the model"),
        (("--drop-layers", "0-2"), "the model has 3 layers"),
        (("--experts", "0.5"), "no experts can be left out"),
        (("--sparsity", "3:2"), "'3:2' is no sparsity"),
        (("--sparsity", "0.5", "--channels", "0.5"), "are both given"),
        (("--target-size", "5", "--by", "heads"), "bytes at least, not 5"),
        (("--target-size", "much"), "'much' is no size"),
        (("--channels", "0.001"), "nothing of "),
        (("--target-size", "1G", "--by", "heads"), "nothing of "),
    ],
)
def test_what_cannot_be_done_is_said_in_a_line_with_a_cure(prune, tmp_path, args, said):
    code, out, err = prune(*args)
    assert (code, out) == (2, "")
    error, hint = err.splitlines()
    assert said in error and hint.startswith("lepton: hint: ")
    assert not (tmp_path / "b.gguf").exists()


@pytest.mark.parametrize("preset", ["bert", "t5", "llada"])
def test_a_model_whose_loss_cannot_be_measured_is_refused_before_anything_is_written(
    tmp_path, capsys, preset
):
    model = write_model(tmp_path / "a.gguf", preset)
    (tmp_path / "text.txt").write_text("The quick brown fox jumps over the lazy dog. " * 40)
    text, out = ("-f", str(tmp_path / "text.txt"), "-c", "16"), tmp_path / "b.gguf"
    for command in (("prune", "--layers", "1"), ("quantize", "--target-size", "100k")):
        code = run([command[0], str(model), str(out), *command[1:], *text])
        error, hint = capsys.readouterr().err.splitlines()[-2:]  # after notes of kernels
        assert code == 2 and f"{model} does not predict a text token by token" in error
        assert hint.startswith("lepton: hint: ") and not out.exists()


def test_an_empty_text_is_answered_by_a_command_that_does_not_write_to_the_text(prune, tmp_path):
    (tmp_path / "empty.txt").touch()
    code, _, err = prune("--layers", "1", "-f", str(tmp_path / "empty.txt"))
    assert code == 2 and "-f text.txt" in err
