"""`lepton split` and `lepton merge`: sizes, keys, bytes; all files appear or none."""

import errno
import json
import shutil
import sys
from pathlib import Path
from types import SimpleNamespace

import gguf
import numpy as np
import pytest
from make_gguf import write_model

from lepton_cli.__main__ import run
from lepton_cli.engine.files.checking import verify
from lepton_cli.engine.files.differences import compare
from quant.gguf import GGUF


@pytest.fixture
def model(tmp_path) -> Path:
    return write_model(tmp_path / "m.gguf", weights="Q8_0")


@pytest.fixture
def outcome(capfd):
    def call(*args: object) -> tuple[int, str, str]:
        code = run([str(arg) for arg in args])
        return code, *capfd.readouterr()

    return call


def parts(folder: Path, prefix: str = "out") -> list[Path]:
    return sorted(folder.glob(f"{prefix}-*.gguf"))


@pytest.mark.parametrize(
    "limit",
    [
        ("--split-max-tensors", 1),
        ("--split-max-tensors", 7),
        ("--split-max-tensors", 1000),
        ("--split-max-size", "50K"),
        ("--split-max-size", "0.1M"),
        ("--split-max-tensors", 7, "--no-tensor-first-split"),
    ],
)
def test_a_split_model_is_the_same_model_and_merges_to_the_same_bytes(
    tmp_path, model, outcome, limit
):
    assert outcome("split", model, tmp_path / "out", *limit)[0] == 0
    first = parts(tmp_path)[0]
    assert not compare(GGUF.open(model), GGUF.open(first)).any
    assert verify(first, {}).faults == ()
    assert outcome("merge", first, tmp_path / "whole.gguf")[0] == 0
    assert (tmp_path / "whole.gguf").read_bytes() == model.read_bytes()


@pytest.mark.parametrize("alignment", [64, 4096])
def test_another_alignment_survives(tmp_path, outcome, alignment):
    keys = {"general.alignment": alignment}
    path = tmp_path / "m.gguf"
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_custom_alignment(keys["general.alignment"])
    for name in "abc":
        writer.add_tensor(name, np.ones(5, np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    assert outcome("split", path, tmp_path / "out", "--split-max-tensors", 2)[0] == 0
    assert verify(parts(tmp_path)[0], {}).faults == ()
    assert outcome("merge", parts(tmp_path)[0], tmp_path / "whole.gguf")[0] == 0
    assert (tmp_path / "whole.gguf").read_bytes() == path.read_bytes()


def test_the_shards_have_the_names_and_keys_of_llama_cpp(tmp_path, model, outcome):
    outcome("split", model, tmp_path / "out.gguf", "--split-max-tensors", 8)
    count = len(GGUF.open(model).tensors)
    files = parts(tmp_path)
    assert [path.name for path in files] == [f"out-{n + 1:05}-of-00003.gguf" for n in range(3)]
    for number, path in enumerate(files):
        reader = gguf.GGUFReader(path)
        keys = {key: field.contents() for key, field in reader.fields.items()}
        splits = {key: value for key, value in keys.items() if key.startswith("split.")}
        assert splits == {"split.no": number, "split.count": 3, "split.tensors.count": count}
        assert reader.fields["split.no"].types == [gguf.GGUFValueType.UINT16]
        assert reader.fields["split.tensors.count"].types == [gguf.GGUFValueType.INT32]
        assert ("general.name" in keys) == (number == 0)


def test_no_shard_has_more_bytes_of_tensors_than_asked_for(tmp_path, model, outcome):
    outcome("split", model, tmp_path / "out", "--split-max-size", "50K")
    sizes = [sum(int(t.n_bytes) for t in gguf.GGUFReader(path).tensors) for path in parts(tmp_path)]
    assert len(sizes) > 2 and max(sizes) <= 50_000


def test_a_folder_gets_shards_named_as_the_model(tmp_path, model, outcome):
    (tmp_path / "parts").mkdir()
    assert outcome("split", model, tmp_path / "parts", "--split-max-tensors", 8)[0] == 0
    assert parts(tmp_path / "parts", "m")[0].name == "m-00001-of-00003.gguf"
    code, _, err = outcome("merge", parts(tmp_path / "parts", "m")[0], tmp_path)
    assert code == 2 and "is a folder" in err


def test_a_split_model_can_be_split_again(tmp_path, model, outcome):
    outcome("split", model, tmp_path / "out", "--split-max-tensors", 3)
    code, *_ = outcome("split", parts(tmp_path)[0], tmp_path / "again", "--split-max-tensors", 9)
    assert code == 0
    assert not compare(GGUF.open(model), GGUF.open(parts(tmp_path, "again")[0])).any


def test_a_dry_run_says_what_would_be_written(tmp_path, model, outcome):
    args = ("split", model, tmp_path / "out", "--split-max-tensors", 8)
    code, shown, _ = outcome(*args, "--dry-run")
    assert code == 0 and not parts(tmp_path)
    assert outcome(*args) == (0, shown, "")
    for line, path in zip(shown.splitlines(), parts(tmp_path), strict=True):
        assert line.startswith(str(path))


def test_json_names_the_files(tmp_path, model, outcome):
    _, out, _ = outcome("split", model, tmp_path / "out", "--split-max-tensors", 8, "--json")
    record = json.loads(out)
    assert record["written"] is True
    for file, path in zip(record["files"], parts(tmp_path), strict=True):
        assert (file["path"], file["bytes"]) == (str(path), path.stat().st_size)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--split-max-size", "1K"], "allow at least 1M"),
        (["--split-max-size", "2X"], "like 3.5G"),
        (["--split-max-size", "0G"], "above 0"),
        (["--split-max-size", "2G", "--split-max-tensors", "3"], "give one of them"),
        (["--split-max-tensors", "0"], "--split-max-tensors"),
    ],
)
def test_a_limit_that_cannot_be_kept_is_refused(tmp_path, model, outcome, options, said):
    code, _, err = outcome("split", model, tmp_path / "out", *options)
    assert code == 2 and said in err and not parts(tmp_path)


def test_a_file_that_exists_is_not_replaced(tmp_path, model, outcome):
    there = tmp_path / "out-00002-of-00003.gguf"
    there.write_text("mine")
    code, _, err = outcome("split", model, tmp_path / "out", "--split-max-tensors", 8)
    assert code == 2 and "--overwrite" in err
    assert parts(tmp_path) == [there] and there.read_text() == "mine"
    code, _, err = outcome("merge", model, model)
    assert code == 2 and "is not split" in err
    args = ("split", model, tmp_path / "out", "--split-max-tensors", 8, "--overwrite")
    assert outcome(*args)[0] == 0 and len(parts(tmp_path)) == 3
    code, _, err = outcome("merge", parts(tmp_path)[0], there, "--overwrite")
    assert code == 2 and "is what is read" in err


def test_too_little_room_is_told_before_anything_is_written(tmp_path, model, outcome, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: SimpleNamespace(free=1000))
    code, _, err = outcome("split", model, tmp_path / "out", "--split-max-tensors", 8)
    assert code == 1 and "are to be written" in err
    assert [path.name for path in tmp_path.iterdir()] == ["m.gguf"]


def test_a_full_disk_leaves_nothing(tmp_path, model, outcome, monkeypatch):
    """In the middle of the second shard."""
    tensors = []

    def copied(tensor):
        tensors.append(tensor.name)
        if len(tensors) == 12:
            raise OSError(errno.ENOSPC, "No space left on device")
        return [tensor.data.tobytes()]

    monkeypatch.setattr("lepton_cli.engine.files.shards.copied", copied)
    code, _, err = outcome("split", model, tmp_path / "out", "--split-max-tensors", 8)
    assert code == 1 and "out-00002-of-00003.gguf: No space left on device" in err
    assert [path.name for path in tmp_path.iterdir()] == ["m.gguf"]


@pytest.mark.skipif(sys.platform == "win32", reason="no RLIMIT_FSIZE there")
@pytest.mark.parametrize("missing", [1, 100, 2000])
def test_a_disk_that_is_full_at_the_last_bytes_is_told_with_the_files_name(
    tmp_path, model, outcome, missing
):
    """Bytes that wait in a buffer fail when the file is closed, not when they are written."""
    import resource

    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    assert outcome("split", model, tmp_path / "out", "--split-max-tensors", 100)[0] == 0
    [whole] = parts(tmp_path)
    size = whole.stat().st_size
    whole.unlink()
    resource.setrlimit(resource.RLIMIT_FSIZE, (size - missing, limits[1]))
    try:
        code, _, err = outcome("split", model, tmp_path / "out", "--split-max-tensors", 100)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    error, hint = err.splitlines()
    assert code == 1 and f"cannot write {whole}: File too large" in error
    assert hint.startswith("lepton: hint: nothing has changed")
    assert [path.name for path in tmp_path.iterdir()] == ["m.gguf"]
