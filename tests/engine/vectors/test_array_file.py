"""Arrays of vectors in files: what NumPy reads, what made them, and damaged ones."""

import json
from pathlib import Path

import numpy as np
import pytest

from lepton_cli.engine.vectors.array_file import ArrayOutput, Origin, read_array
from quant.errors import UsageError

ORIGIN = Origin("1f2e", "mean", "passage: ", "document", "e5")


def results(*vectors: object) -> list[bytes]:
    lines = ({"row": n, "embedding": vector} for n, vector in enumerate(vectors, 1))
    return [json.dumps(line).encode() + b"\n" for line in lines]


@pytest.fixture
def stored(tmp_path) -> Path:
    path = tmp_path / "a.npy"
    with ArrayOutput(3, ORIGIN).writing(path, results([1, 2, 3], [0.1, 0.2, 0.3])):
        pass
    return path


def test_numpy_reads_the_array_and_lepton_what_made_it(stored):
    wanted = np.array([[1, 2, 3], [0.1, 0.2, 0.3]], np.float32)
    np.testing.assert_array_equal(np.load(stored), wanted)
    np.testing.assert_array_equal(np.load(stored, mmap_mode="r"), wanted)
    rows, origin = read_array(stored)
    np.testing.assert_array_equal(rows, wanted)
    assert origin == ORIGIN


@pytest.mark.parametrize("kind", [np.float16, np.float32, np.float64])
def test_arrays_of_other_programs_are_read_without_an_origin(tmp_path, kind):
    np.save(tmp_path / "b.npy", np.ones((2, 5), kind))
    rows, origin = read_array(tmp_path / "b.npy")
    assert (rows.dtype, rows.shape, origin) == (np.float32, (2, 5), None)


def test_a_file_is_made_of_the_results_that_it_begins_with(stored):
    output, made = ArrayOutput(3, ORIGIN), results([1, 2, 3], [0.1, 0.2, 0.3])
    assert output.is_made_of(stored, made)
    assert output.is_made_of(stored, [*made, *results([7, 8, 9])])
    assert not output.is_made_of(stored, made[:1])
    assert not output.is_made_of(stored, results([1, 2, 3], [0.1, 0.2, 0.4]))
    assert ArrayOutput(4, ORIGIN).is_made_of(stored, made)  # its results are of other settings
    stored.write_bytes(b"mine")
    assert not output.is_made_of(stored, made)


def test_what_cannot_be_read_is_not_taken_for_another_file(tmp_path):
    with pytest.raises(UsageError, match="is a folder"):
        ArrayOutput(3, ORIGIN).is_made_of(tmp_path, [])
    with pytest.raises(FileNotFoundError):
        ArrayOutput(3, ORIGIN).is_made_of(tmp_path / "none.npy", [])


def test_lines_of_earlier_versions_are_read(stored):
    raw = stored.read_bytes()
    end = raw.index(b'{"schema"')
    told = {"schema": "lepton.vectors.v1", "model": "1f2e", "pooling": "cls", "normalized": True}
    stored.write_bytes(raw[:end] + json.dumps(told).encode())
    assert read_array(stored)[1] == Origin("1f2e", "cls")


@pytest.mark.parametrize("vector", [None, "abc", [[1], [2, 3]], [1, 2], {}, [10**400]])
def test_a_result_without_a_vector_is_a_row_of_nan(tmp_path, vector):
    path = tmp_path / "a.npy"
    with ArrayOutput(3, ORIGIN).writing(path, results([1, 2, 3], vector)):
        pass
    assert np.isnan(np.load(path)).any(1).tolist() == [False, True]


def test_a_draft_that_fails_leaves_the_file_as_it_was(stored):
    before = stored.read_bytes()
    with pytest.raises(OSError, match="disk"), ArrayOutput(3, ORIGIN).writing(stored, results()):
        raise OSError("the disk is full")
    assert stored.read_bytes() == before


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda raw: b"", "is no array"),
        (lambda raw: raw[:40], "is no array"),
        (lambda raw: raw[:130], "is cut off"),
        (lambda raw: raw.replace(b"(2, 3)", b"(99, 3)"), "is cut off"),
        (lambda raw: raw.replace(b"<f4", b"|O8"), "is no array"),
        (lambda raw: raw.replace(b"False", b"True "), "is no array"),
        (lambda raw: raw.replace(b"(2, 3)", b"(6,) "), "is no array"),
    ],
)
def test_a_damaged_file_is_refused(stored, change, message):
    stored.write_bytes(change(stored.read_bytes()))
    with pytest.raises(UsageError, match=message) as caught:
        read_array(stored)
    assert caught.value.hint.startswith("make ")


def test_a_line_behind_the_array_that_is_not_lepton_s_counts_as_none(stored):
    raw = stored.read_bytes()
    end = raw.index(b'{"schema"')
    for line in (b"", b"[" * 9999, b"\xff", b'{"schema": "other"}\n'):
        stored.write_bytes(raw[:end] + line)
        assert read_array(stored)[1] is None
