"""What the writer writes is what the reader reads; a copied file is the same file."""

import io
from pathlib import Path

import gguf
import numpy as np
import pytest
from make_gguf import CHATML, write_model

from quant.format import FORMATS
from quant.gguf import GGUF
from quant.gguf_writer import (
    Header,
    TensorInfo,
    copied_pairs,
    number,
    numbers,
    text,
    texts,
    write,
)

SCALARS = [
    (200, "|u1"),
    (-5, "|i1"),
    (60000, "<u2"),
    (-30000, "<i2"),
    (4_000_000_000, "<u4"),
    (-2_000_000_000, "<i4"),
    (0.5, "<f4"),
    (True, "|b1"),
    (1 << 63, "<u8"),
    (-(1 << 62), "<i8"),
    (0.1, "<f8"),
]


def pieces(data: np.ndarray) -> list[memoryview]:
    return [part.data for part in np.array_split(data, 3)]


def written(path: Path, header: Header, data: dict[str, np.ndarray] | None = None) -> GGUF:
    with path.open("wb") as file:
        write(file, header, lambda info: pieces((data or {})[info.name]))
    assert path.stat().st_size == header.file_bytes
    return GGUF.open(path)


def copied(source: GGUF, path: Path) -> bytes:
    infos = [TensorInfo(each.name, each.format, each.shape) for each in source.tensors.values()]
    header = Header(copied_pairs(source.metadata), infos, source.version)
    written(path, header, {each.name: each.data for each in source.tensors.values()})
    return path.read_bytes()


@pytest.mark.parametrize(("value", "kind"), SCALARS)
def test_every_value_type_is_read_back(value, kind, tmp_path):
    array = np.array([value, value], kind)
    pairs = {"one": number(value, kind), "several": numbers(array)}
    metadata = written(tmp_path / "a.gguf", Header(pairs, [])).metadata
    assert metadata["one"] == value and type(metadata["one"]) is type(value)
    assert metadata["several"].dtype == array.dtype
    np.testing.assert_array_equal(metadata["several"], array)
    assert copied_pairs(metadata) == pairs


def test_texts_are_read_back_byte_by_byte(tmp_path):
    pairs = {"a": text("日本\n"), "raw": text(b"\xff"), "list": texts(["", "é", b"\xff\0"])}
    metadata = written(tmp_path / "a.gguf", Header(pairs, [])).metadata
    assert metadata["a"] == "日本\n"
    assert list(metadata["list"]) == [b"", "é".encode(), b"\xff\0"]
    assert copied_pairs(metadata) == pairs  # also of the text that is not UTF-8


@pytest.mark.parametrize("alignment", [None, 8, 256])
def test_tensors_are_read_back_at_their_alignment(alignment, tmp_path):
    data = {"q": np.arange(3 * 34, dtype=np.uint8), "f": np.arange(30, dtype="<f4")}
    infos = [TensorInfo("q", FORMATS["Q8_0"], (3, 32)), TensorInfo("f", FORMATS["F32"], (2, 3, 5))]
    pairs = {} if alignment is None else {"general.alignment": number(alignment)}
    file = written(tmp_path / "a.gguf", Header(pairs, infos), data)
    for info in infos:
        tensor = file.tensors[info.name]
        assert (tensor.format, tensor.shape) == (info.format, info.shape)
        assert tensor.data.tobytes() == data[info.name].tobytes()
        assert (tensor.data.ctypes.data - file.tensors["q"].data.ctypes.data) % (
            alignment or 32
        ) == 0


@pytest.mark.parametrize("weights", ["F32", "Q4_K"])
def test_a_copy_of_an_ordinary_file_is_byte_equal(weights, tmp_path):
    metadata = {"tokenizer.chat_template": CHATML}
    path = write_model(tmp_path / "a.gguf", weights=weights, metadata=metadata)
    assert copied(GGUF.open(path), tmp_path / "b.gguf") == path.read_bytes()


def test_a_copy_of_a_vocabulary_alone_is_byte_equal(shared_data, tmp_path):
    path = shared_data("vocabs") / "ggml-vocab-phi-3.gguf"
    assert copied(GGUF.open(path), tmp_path / "b.gguf") == path.read_bytes()


def test_the_gguf_package_reads_what_is_written(tmp_path):
    values = np.arange(64, dtype="<f4")
    header = Header({"k": texts(["a", "b"])}, [TensorInfo("t", FORMATS["F32"], (2, 32))])
    written(tmp_path / "a.gguf", header, {"t": values})
    reader = gguf.GGUFReader(tmp_path / "a.gguf")
    assert reader.fields["k"].contents() == ["a", "b"]
    np.testing.assert_array_equal(reader.tensors[0].data, values.reshape(2, 32))


def test_pieces_of_the_wrong_size_are_a_fault(tmp_path):
    header = Header({}, [TensorInfo("t", FORMATS["F32"], (4,))])
    with pytest.raises(AssertionError, match="12 bytes of t, not 16"):
        write(io.BytesIO(), header, lambda _: [bytes(12)])
