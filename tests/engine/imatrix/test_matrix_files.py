"""Files of importance matrices: llama-imatrix's two layouts, byte by byte where that counts."""

import struct

import numpy as np
import pytest

from lepton_cli.engine.imatrix.files import read_matrix, write_matrix
from lepton_cli.engine.imatrix.matrix import Entry, ImportanceMatrix, Progress, merged
from lepton_cli.engine.imatrix.statistics import layer_statistics, weight_statistics
from quant.errors import ModelFileError, UsageError
from quant.gguf import GGUF


def entry(*sums, counts) -> Entry:
    return Entry(np.array(sums, float), np.array(counts, float))


DENSE = entry([8.0, 0.0, 24.0, 32.0], counts=[8])
EXPERTS = entry([2.0, 4.0], [0.0, 0.0], counts=[2, 0])
MATRIX = ImportanceMatrix(
    {"blk.0.ffn_up.weight": DENSE, "blk.0.ffn_up_exps.weight": EXPERTS},
    ("a.txt", "b.txt"),
    2,
    4,
    Progress("run", 2),
)


def equal(one: ImportanceMatrix, other: ImportanceMatrix) -> bool:
    return set(one.entries) == set(other.entries) and all(
        (each.sums == other.entries[name].sums).all()
        and (each.counts == other.entries[name].counts).all()
        for name, each in one.entries.items()
    )


def test_a_gguf_is_read_as_it_was_written(tmp_path):
    write_matrix(tmp_path / "a.gguf", MATRIX)
    found = read_matrix(tmp_path / "a.gguf")
    assert equal(found, MATRIX) and found.progress == Progress("run", 2)
    assert (found.datasets, found.chunks, found.chunk_size) == (("a.txt", "b.txt"), 2, 4)
    file = GGUF.open(tmp_path / "a.gguf")
    assert file.metadata.string("general.type") == "imatrix"
    assert file.tensors["blk.0.ffn_up_exps.weight.in_sum2"].shape == (2, 2)
    assert file.tensors["blk.0.ffn_up_exps.weight.counts"].shape == (2, 1)


def test_a_dat_holds_means_times_chunks(tmp_path):
    write_matrix(tmp_path / "a.dat", MATRIX, "dat")
    raw, name = (tmp_path / "a.dat").read_bytes(), b"blk.0.ffn_up.weight"
    begin = struct.pack("<ii", 2, len(name)) + name + struct.pack("<ii4f", 2, 4, 2, 0, 6, 8)
    assert raw.startswith(begin)
    text = b"a.txt, b.txt"
    assert raw.endswith(struct.pack("<ii", 2, len(text)) + text)
    found = read_matrix(tmp_path / "a.dat")
    assert found.chunks == 2 and found.datasets == ("a.txt, b.txt",)
    assert (found.entries["blk.0.ffn_up.weight"].means == DENSE.means).all()
    one_row = found.entries["blk.0.ffn_up_exps.weight"]
    assert (one_row.of_experts(2).means == EXPERTS.means).all()


def test_an_expert_that_no_token_chose_has_equal_columns():
    assert EXPERTS.means.tolist() == [[1.0, 2.0], [1.0, 1.0]]


def test_matrices_are_merged_by_their_sums():
    other = ImportanceMatrix({"blk.0.ffn_up.weight": DENSE}, ("b.txt", "c.txt"), 3, 4)
    found = merged([("a", MATRIX), ("b", other)])
    assert found.entries["blk.0.ffn_up.weight"].sums.tolist() == [[16.0, 0.0, 48.0, 64.0]]
    assert found.entries["blk.0.ffn_up.weight"].counts.tolist() == [16.0]
    assert found.entries["blk.0.ffn_up_exps.weight"].counts.tolist() == [2.0, 0.0]
    assert (found.datasets, found.chunks) == (("a.txt", "b.txt", "c.txt"), 5)
    narrow = ImportanceMatrix({"blk.0.ffn_up.weight": entry([1.0], [2.0], counts=[1, 1])})
    with pytest.raises(UsageError, match=r"b: blk\.0\.ffn_up\.weight has 2 experts of 1 column,"):
        merged([("a", MATRIX), ("b", narrow)])


@pytest.mark.parametrize(
    "raw", [b"", b"\1\0\0\0", b"some text that is no matrix", struct.pack("<ii", 1, -5)], ids=repr
)
def test_another_file_is_refused(raw, tmp_path):
    path = tmp_path / "a.dat"
    path.write_bytes(raw)
    with pytest.raises(UsageError, match="not an importance matrix"):
        read_matrix(path)


def test_a_model_and_a_missing_file_are_refused(tmp_path):
    from make_gguf import write_model

    with pytest.raises(UsageError, match="not an importance matrix"):
        read_matrix(write_model(tmp_path / "model.gguf"))
    with pytest.raises(UsageError, match="No such file"):
        read_matrix(tmp_path / "none.gguf")


def test_values_that_are_not_finite_are_refused(tmp_path):
    write_matrix(tmp_path / "a.gguf", ImportanceMatrix({"w": entry([np.nan], counts=[1])}))
    with pytest.raises(ModelFileError, match="w holds values that are not finite"):
        read_matrix(tmp_path / "a.gguf")


def test_llamacpps_file_is_written_again_with_the_same_tensors(shared_data, tmp_path):
    source = shared_data("quants") / "tiny-imatrix.gguf"
    matrix = read_matrix(source)
    assert (matrix.chunks, matrix.chunk_size, matrix.datasets) == (8, 256, ("calib.txt",))
    write_matrix(tmp_path / "again.gguf", matrix)
    old, new = GGUF.open(source), GGUF.open(tmp_path / "again.gguf")
    assert set(new.tensors) == set(old.tensors)
    for name, tensor in old.tensors.items():
        assert (new.tensors[name].data.ravel() == tensor.data.ravel()).all()
    assert sorted(new.metadata) == sorted(old.metadata)


def test_statistics_are_those_of_the_columns_means():
    before = ImportanceMatrix(
        {"blk.0.ffn_up.weight": DENSE, "blk.1.ffn_up.weight": entry([1.0, 1, 1, 1], counts=[1])}
    )
    first, second = weight_statistics(before)
    values = np.array([1.0, 0.0, 3.0, 4.0])
    assert (first.layer, first.name, first.columns) == (0, "ffn_up.weight", 4)
    assert (first.total, first.least, first.greatest) == (8.0, 0.0, 4.0)
    assert first.deviation == pytest.approx(values.std()) and first.active == 0.75
    shares = values[values > 0] / 8
    assert first.entropy == pytest.approx(-(shares * np.log2(shares)).sum())
    assert first.outliers == 0.25 and first.similarity is None
    assert second.normalized_entropy == 1.0
    assert second.similarity == pytest.approx(values.sum() / 2 / np.linalg.norm(values))
    layers = list(layer_statistics([first, second]))
    assert [each.layer for each in layers] == [0, 1] and layers[0].total == 8.0
