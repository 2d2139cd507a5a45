"""Importance matrices: both kinds of files, and those that are none."""

import struct

import gguf
import numpy as np
import pytest

from lepton_cli.engine.shrinking.importance import read_importance
from quant.errors import LeptonError, UsageError


def write_gguf(path, sums: dict, counts: dict, kind: str = "imatrix"):
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_string("general.type", kind)
    writer.add_array("imatrix.datasets", ["a.txt", "b.txt"])
    writer.add_uint32("imatrix.chunk_count", 7)
    for name, values in sums.items():
        writer.add_tensor(f"{name}.in_sum2", np.float32(values))
        writer.add_tensor(f"{name}.counts", np.float32(counts[name]).reshape(-1, 1))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def named(text: str) -> bytes:
    return struct.pack("<i", len(text)) + text.encode()


def dat(entries: dict[str, tuple[int, list[float]]], tail: bytes) -> bytes:
    raw = struct.pack("<i", len(entries))
    for name, (calls, values) in entries.items():
        raw += named(name) + struct.pack("<2i", calls, len(values))
        raw += np.float32(values).tobytes()
    return raw + tail


def test_importance_is_the_mean_and_that_of_an_unused_expert_is_even(tmp_path):
    path = write_gguf(tmp_path / "i.gguf", {"w": [[2, 4], [0, 0]]}, {"w": [2, 0]})
    found = read_importance(path)
    np.testing.assert_array_equal(found.of("w", 2, 2), np.float32([[1, 2], [1, 1]]))
    assert (found.dataset, found.chunks, found.of("other", 1, 2)) == ("a.txt", 7, None)


@pytest.mark.parametrize("tail", [b"", struct.pack("<i", 3) + named("text.txt")])
def test_the_older_kind_is_read_with_and_without_its_last_line(tmp_path, tail):
    path = tmp_path / "i.dat"
    path.write_bytes(dat({"a": (4, [4, 8]), "b": (0, [1, 2])}, tail))
    found = read_importance(path)
    np.testing.assert_array_equal(found.of("a", 1, 2), np.float32([[1, 2]]))
    np.testing.assert_array_equal(found.of("b", 1, 2), np.float32([[1, 2]]))
    assert (found.dataset, found.chunks) == (("text.txt", 3) if tail else ("", 0))


def test_a_weight_of_another_size_is_of_another_model(tmp_path):
    found = read_importance(write_gguf(tmp_path / "i.gguf", {"w": [[1, 2]]}, {"w": [1]}))
    with pytest.raises(UsageError, match="w has 2 columns, the model 3"):
        found.of("w", 1, 3)
    assert found.of("token_embd.weight", 1, 3) is None


@pytest.mark.parametrize("cut", [2, 6, 11, 20])
def test_a_file_that_is_cut_short_is_refused(tmp_path, cut):
    path = tmp_path / "i.dat"
    path.write_bytes(dat({"a": (4, [4, 8])}, b"")[:cut])
    with pytest.raises(LeptonError, match=r"i\.dat"):
        read_importance(path)


def test_other_files_are_refused(tmp_path):
    with pytest.raises(UsageError, match="No such file"):
        read_importance(tmp_path / "missing")
    (tmp_path / "text").write_text("hello, this is a text")
    with pytest.raises(UsageError, match="not an importance matrix"):
        read_importance(tmp_path / "text")
    path = write_gguf(tmp_path / "m.gguf", {"w": [[1, 2]]}, {"w": [1]}, "model")
    with pytest.raises(UsageError, match="not an importance matrix"):
        read_importance(path)
    path = write_gguf(tmp_path / "n.gguf", {"w": [[1, np.nan]]}, {"w": [1]})
    with pytest.raises(LeptonError, match="not finite"):
        read_importance(path)
