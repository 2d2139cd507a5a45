"""`lepton verify`: each kind of fault is found and placed, and a sound file has none."""

import hashlib
import json
import os
import struct
from pathlib import Path

import numpy as np
import pytest
from make_gguf import write_model
from test_gguf import container, info, pair, split

from lepton_cli.__main__ import run
from lepton_cli.engine.files import pieces
from lepton_cli.engine.files.checking import Verified, verify
from quant.format import FORMATS
from quant.gguf import GGUF


def checked(path: Path) -> Verified:
    return verify(path, {})


def changed(path: Path, at: int, raw: bytes) -> Path:
    data = bytearray(path.read_bytes())
    data[at : at + len(raw)] = raw
    path.write_bytes(data)
    return path


@pytest.fixture
def small_pieces(monkeypatch):
    """So that a small tensor has several."""
    monkeypatch.setattr(pieces, "PIECE", 512)


@pytest.mark.parametrize("weights", ["F32", "BF16", "Q4_K", "Q8_0", "IQ4_NL", "MXFP4", "TQ2_0"])
def test_a_sound_file_has_no_fault(tmp_path, small_pieces, weights):
    path = write_model(tmp_path / "m.gguf", weights=weights)
    found = checked(path)
    assert found.faults == ()
    assert found.tensors == len(GGUF.open(path).tensors)
    (file,) = found.files
    assert file.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()


BAD = {  # the bytes of a value, or of a block's scale, that is not finite; where it stands
    "F32": (struct.pack("<f", float("nan")), 0, "1 NaN"),
    "F16": (b"\x00\xfc", 0, "1 Inf"),
    "BF16": (b"\x80\x7f", 0, "1 Inf"),
    "Q8_0": (b"\x00\x7e", 0, "32 NaN"),
    "Q4_0": (b"\x00\x7e", 0, "32 NaN"),
    "Q4_K": (b"\x00\x7e", 2, "256 NaN"),  # dmin
    "Q6_K": (b"\x00\x7e", 208, "256 NaN"),
    "IQ4_XS": (b"\x00\x7e", 0, "256 NaN"),
}


@pytest.mark.parametrize("weights", BAD)
def test_a_value_that_is_not_finite_is_named_with_its_place(tmp_path, small_pieces, weights):
    raw, offset, said = BAD[weights]
    path = write_model(tmp_path / "m.gguf", weights=weights)
    kind, name = FORMATS[weights], "blk.1.ffn_down.weight"
    tensor = GGUF.open(path).tensors[name]
    width = tensor.shape[-1]
    block = 3 * width // kind.block_size  # the first of row 3
    at = tensor.start + block * kind.block_bytes
    (fault,) = checked(changed(path, at + offset, raw)).faults
    assert (fault.tensor, fault.position) == (name, at)
    assert fault.what.startswith(f"holds {said} among {tensor.size} values")
    assert fault.what.endswith("row 3, column 0")


def test_numbers_that_are_no_weights_are_checked_too(tmp_path):
    values = np.array([0, np.inf], "<f8")
    path = tmp_path / "m.gguf"
    path.write_bytes(container([], [info("t", (2,), 28, 0)], values.tobytes()))
    (fault,) = checked(path).faults
    assert (fault.tensor, fault.position) == ("t", path.stat().st_size - 8)


def floats(count: int) -> bytes:
    return np.zeros(count, "<f4").tobytes()


LAYOUTS = {
    "a gap": ([info("a", (8,), 0, 0), info("b", (8,), 0, 64)], floats(24), "begins at byte"),
    "another order": ([info("a", (8,), 0, 32), info("b", (8,), 0, 0)], floats(16), "begins at"),
    "an overlap": ([info("a", (16,), 0, 0), info("b", (8,), 0, 32)], floats(16), "overlap"),
    "bytes behind the end": ([info("a", (8,), 0, 0)], floats(9), "4 bytes follow"),
    "a cut": ([info("a", (8,), 0, 0), info("b", (8,), 0, 32)], floats(15), "tensor b ends at"),
    "no alignment": ([info("a", (8,), 0, 4)], floats(9), "not aligned"),
    "one name twice": ([info("a", (8,), 0, 0), info("a", (8,), 0, 32)], floats(16), "twice"),
}


@pytest.mark.parametrize("case", LAYOUTS)
def test_a_wrong_layout_is_a_fault(tmp_path, case):
    infos, data, said = LAYOUTS[case]
    path = tmp_path / "m.gguf"
    path.write_bytes(container([], infos, data))
    assert any(said in fault.what for fault in checked(path).faults)


def test_the_last_tensor_need_not_be_padded(tmp_path):
    path = tmp_path / "m.gguf"
    path.write_bytes(container([], [info("a", (3,), 0, 0)], floats(3)))
    assert checked(path).faults == ()


def test_each_part_of_a_split_model_is_checked(tmp_path):
    first = split(tmp_path, [0, 1])
    found = checked(first)
    assert (found.faults, found.tensors, len(found.files)) == ((), 2, 2)
    second = tmp_path / "m-00002-of-00002.gguf"
    raw = second.read_bytes()
    changed(second, len(raw) - 4, struct.pack("<f", float("inf")))
    (fault,) = checked(first).faults
    assert (fault.path, fault.tensor) == (str(second), "t1")
    second.unlink()
    (fault,) = checked(first).faults
    assert fault.path == str(second) and "missing" in fault.what


def test_a_part_of_another_place_or_model_is_a_fault(tmp_path):
    first = split(tmp_path, [0, 1])
    for key, layout, value in (("no", "<H", 5), ("count", "<H", 3), ("tensors.count", "<i", 9)):
        keys = [pair(f"split.{key}", 2 if layout == "<H" else 5, struct.pack(layout, value))]
        second = container(keys, [info("t1", (8,), 0, 0)], floats(8))
        (tmp_path / "m-00002-of-00002.gguf").write_bytes(second)
        (fault,) = checked(first).faults
        assert f"split.{key} is {value}" in fault.what


# --- the command


def outcome(capfd, *args: object) -> tuple[int, str, str]:
    code = run([str(arg) for arg in args])
    return code, *capfd.readouterr()


def test_a_sound_file_is_told_with_its_hash(tmp_path, capfd):
    path = write_model(tmp_path / "m.gguf")
    code, out, err = outcome(capfd, "verify", path)
    assert (code, err) == (0, "")
    assert hashlib.sha256(path.read_bytes()).hexdigest() in out and "sound" in out


def test_a_faulty_file_is_exit_code_3_with_the_first_fault(tmp_path, capfd):
    path = write_model(tmp_path / "m.gguf")
    start = GGUF.open(path).tensors["output_norm.weight"].start
    changed(path, start, struct.pack("<f", float("nan")))
    code, out, err = outcome(capfd, "verify", path)
    assert code == 3 and f"(byte {start} of the file)" in out
    assert err.startswith(f"lepton: error: {path}: output_norm.weight: holds 1 NaN")
    code, out, err = outcome(capfd, "verify", path, "--json")
    record = json.loads(out)
    assert code == 3 and record["sound"] is False
    assert record["faults"][0]["position"] == start


def test_a_file_of_another_kind_is_told_with_its_own_cure(tmp_path, capfd):
    path = tmp_path / "m.gguf"
    path.write_bytes(b"BZh91AY" + bytes(60))
    code, _, err = outcome(capfd, "verify", path)
    assert code == 3 and "compressed with bzip2" in err and "unpack it: bzip2" in err


def test_a_file_is_compared_with_its_name_in_the_hubs_cache(tmp_path, capfd):
    path = write_model(tmp_path / "m.gguf")
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    link = tmp_path / "link.gguf"
    for name, expected in ((digest, 0), ("0" * 64, 3)):
        os.replace(path, tmp_path / name)
        link.unlink(missing_ok=True)
        link.symlink_to(name)
        path = tmp_path / name
        code, out, err = outcome(capfd, "verify", link)
        assert code == expected
        assert "its name in the cache" in out + err


def test_a_manifest_finds_the_tensor_that_changed(tmp_path, capfd):
    path, manifest = write_model(tmp_path / "m.gguf"), tmp_path / "manifest.json"
    assert outcome(capfd, "verify", path, "--write-manifest", manifest)[0] == 0
    assert outcome(capfd, "verify", path, "--manifest", manifest)[0] == 0
    start = GGUF.open(path).tensors["output_norm.weight"].start
    changed(path, start, struct.pack("<f", 0.5))
    code, out, _ = outcome(capfd, "verify", path, "--manifest", manifest)
    assert code == 3 and "output_norm.weight: its data are not those of the manifest" in out
    other = write_model(tmp_path / "n.gguf", metadata={"general.name": "another"})
    code, out, _ = outcome(capfd, "verify", other, "--manifest", manifest)
    assert code == 3 and "the metadata are not those of the manifest" in out


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"schema": "lepton.manifest.v1"}', "\0"])
def test_what_is_no_manifest_is_refused(tmp_path, capfd, text):
    path, manifest = write_model(tmp_path / "m.gguf"), tmp_path / "manifest.json"
    manifest.write_text(text)
    code, _, err = outcome(capfd, "verify", path, "--manifest", manifest)
    assert code == 2 and "is not a manifest" in err and "--write-manifest" in err


def test_a_manifest_does_not_replace_another_file(tmp_path, capfd):
    path = write_model(tmp_path / "m.gguf")
    before = path.read_bytes()
    code, _, err = outcome(capfd, "verify", path, "--write-manifest", path)
    assert code == 2 and "choose another file" in err
    assert path.read_bytes() == before
