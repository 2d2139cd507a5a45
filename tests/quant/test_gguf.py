"""The container reader: what it reads, and that a damaged file ends in one clear error."""

import struct
import tracemalloc
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from make_gguf import write_model

from quant.errors import LeptonError, ModelFileError, UsageError
from quant.format import FORMATS
from quant.gguf import GGUF


def text(value: str) -> bytes:
    raw = value.encode()
    return struct.pack("<Q", len(raw)) + raw


def pair(key: str, kind: int, value: bytes) -> bytes:
    return text(key) + struct.pack("<I", kind) + value


def info(name: str, shape: tuple[int, ...], kind: int, offset: int) -> bytes:
    dimensions = struct.pack(f"<I{len(shape)}Q", len(shape), *shape)
    return text(name) + dimensions + struct.pack("<IQ", kind, offset)


def container(
    pairs: list[bytes], infos: list[bytes], data: bytes = b"", version: int = 3, align: int = 32
) -> bytes:
    head = b"GGUF" + struct.pack("<IQQ", version, len(infos), len(pairs))
    head += b"".join(pairs) + b"".join(infos)
    return head + bytes(-len(head) % align) + data


def opened(folder: Path, raw: bytes) -> GGUF:
    path = folder / "a.gguf"
    path.write_bytes(raw)
    return GGUF.open(path)


def refusal(folder: Path, raw: bytes) -> str:
    with pytest.raises(ModelFileError) as caught:
        opened(folder, raw)
    assert str(folder / "a.gguf") in caught.value.message
    assert "\n" not in caught.value.message
    return caught.value.message


SCALARS: list[tuple[int, str, Any]] = [
    (0, "<B", 200),
    (1, "<b", -5),
    (2, "<H", 60000),
    (3, "<h", -30000),
    (4, "<I", 4_000_000_000),
    (5, "<i", -2_000_000_000),
    (6, "<f", 0.5),
    (7, "<?", True),
    (10, "<Q", 1 << 63),
    (11, "<q", -(1 << 62)),
    (12, "<d", 0.1),
]


@pytest.mark.parametrize(("kind", "layout", "value"), SCALARS)
@pytest.mark.parametrize("version", [2, 3])
def test_every_value_type_is_read(tmp_path, kind, layout, value, version):
    packed = struct.pack(layout, value)
    array = struct.pack("<IQ", kind, 3) + packed * 3
    file = opened(
        tmp_path, container([pair("a", kind, packed), pair("b", 9, array)], [], b"", version)
    )
    assert file.metadata["a"] == value and type(file.metadata["a"]) is type(value)
    assert np.asarray(file.metadata["b"]).tolist() == [value] * 3
    assert file.version == version


def test_strings_and_arrays_of_strings_are_read(tmp_path):
    words = ["", "héllo", "\0x"]
    array = struct.pack("<IQ", 8, 3) + b"".join(map(text, words))
    file = opened(tmp_path, container([pair("s", 8, text("日本")), pair("a", 9, array)], []))
    strings = file.metadata["a"]
    assert file.metadata["s"] == "日本"
    assert [item.decode() for item in strings] == words
    assert strings[-1] == b"\0x" and strings[:2] == [b"", "héllo".encode()] and len(strings) == 3


@pytest.mark.parametrize("align", [1, 32, 4096])
def test_tensors_begin_after_the_alignment(tmp_path, align):
    pairs = [pair("general.alignment", 4, struct.pack("<I", align))]
    values = np.arange(6, dtype="<f4")
    raw = container(pairs, [info("t", (3, 2), 0, 0)], values.tobytes(), align=align)
    tensor = opened(tmp_path, raw).tensors["t"]
    assert tensor.shape == (2, 3) and tensor.size == 6
    np.testing.assert_array_equal(tensor.data.view("<f4"), values.reshape(2, 3))


def test_the_reader_agrees_with_the_gguf_package(tmp_path):
    path = write_model(tmp_path / "m.gguf", weights="Q4_K")
    ours, theirs = GGUF.open(path), gguf.GGUFReader(path)
    assert set(ours.tensors) == {tensor.name for tensor in theirs.tensors}
    for tensor in theirs.tensors:
        mine = ours.tensors[tensor.name]
        assert mine.shape == tuple(int(n) for n in reversed(tensor.shape))
        assert mine.format.id == tensor.tensor_type
        assert mine.data.tobytes() == tensor.data.tobytes()


def split(folder: Path, numbers: list[int], count: int = 2) -> Path:
    for n in numbers:
        pairs = [
            pair("split.no", 2, struct.pack("<H", n)),
            pair("split.count", 2, struct.pack("<H", count)),
            pair("split.tensors.count", 5, struct.pack("<i", count)),
        ]
        raw = container(pairs, [info(f"t{n}", (8,), 0, 0)], np.full(8, n, "<f4").tobytes())
        (folder / f"m-{n + 1:05}-of-{count:05}.gguf").write_bytes(raw)
    return folder / f"m-00001-of-{count:05}.gguf"


def test_the_other_shards_are_found_from_the_first(tmp_path):
    file = GGUF.open(split(tmp_path, [0, 1]))
    assert sorted(file.tensors) == ["t0", "t1"]
    assert file.tensors["t1"].data.view("<f4")[0, 0] == 1
    assert file.file_bytes == sum(path.stat().st_size for path in tmp_path.iterdir())


def test_a_missing_shard_is_named(tmp_path):
    with pytest.raises(UsageError, match="m-00002-of-00002"):
        GGUF.open(split(tmp_path, [0]))


def test_another_shard_than_the_first_is_refused_with_the_first_ones_name(tmp_path):
    split(tmp_path, [0, 1])
    with pytest.raises(ModelFileError) as caught:
        GGUF.open(tmp_path / "m-00002-of-00002.gguf")
    assert "m-00001-of-00002.gguf" in str(caught.value.hint)


def test_a_renamed_shard_says_how_it_should_be_called(tmp_path):
    split(tmp_path, [0, 1]).rename(tmp_path / "x.gguf")
    with pytest.raises(ModelFileError, match="00001-of-00002"):
        GGUF.open(tmp_path / "x.gguf")


def test_shards_of_two_models_are_noticed(tmp_path):
    first = split(tmp_path, [0, 1], 2)
    second = tmp_path / "m-00002-of-00002.gguf"
    second.write_bytes(container([], []))
    with pytest.raises(ModelFileError, match="1 tensors, not 2"):
        GGUF.open(first)


DAMAGED = {
    "magic": (b"PK\3\4" + bytes(60), "not a GGUF file"),
    "nothing": (b"", "empty"),
    "three bytes": (b"GGU", "not a GGUF file"),
    "version 1": (b"GGUF" + struct.pack("<IQQ", 1, 0, 0), "version 1"),
    "version 4": (b"GGUF" + struct.pack("<IQQ", 4, 0, 0), "version 4"),
    "big-endian": (b"GGUF" + struct.pack(">IQQ", 3, 0, 0), "big-endian"),
    "absurd tensors": (b"GGUF" + struct.pack("<IQQ", 3, 1 << 60, 0), "tensors"),
    "absurd pairs": (b"GGUF" + struct.pack("<IQQ", 3, 0, 1 << 60), "pairs"),
    "absurd string": (container([struct.pack("<Q", 1 << 62)], []), "ends inside"),
    "absurd array": (container([pair("k", 9, struct.pack("<IQ", 4, 1 << 61))], []), "key k"),
    "absurd strings": (container([pair("k", 9, struct.pack("<IQ", 8, 1 << 61))], []), "key k"),
    "nested array": (container([pair("k", 9, struct.pack("<IQ", 9, 1))], []), "key k"),
    "value type": (container([pair("k", 99, b"")], []), "value type 99"),
    "twice a key": (container([pair("k", 0, b"\1")] * 2, []), "key k occurs twice"),
    "key of bytes": (container([struct.pack("<Q", 1) + b"\xff" + bytes(5)], []), "UTF-8"),
    "alignment": (
        container([pair("general.alignment", 4, struct.pack("<I", 24))], []),
        "general.alignment",
    ),
    "alignment of text": (
        container([pair("general.alignment", 8, text("big"))], []),
        "general.alignment",
    ),
    "past the end": (container([], [info("t", (8,), 0, 32)], bytes(32)), "tensor t"),
    "far past the end": (container([], [info("t", (8,), 0, 1 << 62)], bytes(32)), "tensor t"),
    "overflowing shape": (container([], [info("t", (1 << 62, 1 << 62), 0, 0)]), "tensor t"),
    "empty tensor": (container([], [info("t", (0, 4), 0, 0)], bytes(32)), "tensor t"),
    "dimensions": (container([], [info("t", (1,) * 5, 0, 0)], bytes(32)), "5 dimensions"),
    "overlap": (
        container([], [info("a", (12,), 0, 0), info("b", (8,), 0, 32)], bytes(64)),
        "the tensors a and b overlap",
    ),
    "one place": (
        container([], [info("b", (8,), 0, 0), info("a", (8,), 0, 0)], bytes(32)),
        "the tensors a and b overlap",
    ),
    "long key": (container([pair("k" * 70_000, 0, b"\1")], []), "70000 bytes"),
    "long name": (container([], [info("t" * 70_000, (1,), 0, 0)], bytes(32)), "70000 bytes"),
    "unaligned": (container([], [info("t", (4,), 0, 4)], bytes(32)), "not aligned"),
    "unknown type": (
        container([], [info("t", (8,), 77, 0)], bytes(32)),
        "tensor t: unknown tensor type 77",
    ),
    "removed type": (container([], [info("t", (32,), 4, 0)], bytes(32)), "Q4_2"),
    "half a block": (container([], [info("t", (33,), 8, 0)], bytes(64)), "tensor t"),
    "twice a tensor": (
        container([], [info("t", (8,), 0, 0)] * 2, bytes(64)),
        "tensor t occurs twice",
    ),
}


@pytest.mark.parametrize("name", DAMAGED)
def test_a_damaged_file_is_refused_with_one_line_that_names_the_place(tmp_path, name):
    raw, words = DAMAGED[name]
    assert words in refusal(tmp_path, raw)


def test_a_file_cut_anywhere_is_refused(tmp_path):
    whole = write_model(tmp_path / "m.gguf", dimensions={"L": 1}).read_bytes()
    size = len(whole)
    for stop in [*range(4, 400, 13), size // 2, size - 4096, size - 1]:
        refusal(tmp_path, whole[:stop])


def test_what_cannot_be_opened_is_a_usage_error(tmp_path):
    for path in (tmp_path, tmp_path / "none.gguf"):
        with pytest.raises(UsageError, match=str(path)):
            GGUF.open(path)


@settings(max_examples=300, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_random_damage_never_crashes_and_never_takes_much_memory(tmp_path, data):
    raw = bytearray(write_model(tmp_path / "m.gguf", dimensions={"L": 1}).read_bytes()[:9000])
    for _ in range(data.draw(st.integers(1, 8))):
        at = data.draw(st.integers(0, len(raw) - 1))
        raw[at : at + 8] = data.draw(st.binary(min_size=1, max_size=8))
    path = tmp_path / "damaged.gguf"
    path.write_bytes(raw)
    tracemalloc.start()
    try:
        for value in GGUF.open(path).metadata.values():
            np.asarray(list(value) if not isinstance(value, int | float | str) else value)
    except LeptonError as error:
        assert str(path) in error.message
    finally:
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert peak < 100e6


def test_opening_does_not_split_the_arrays_of_strings(tmp_path):
    array = struct.pack("<IQ", 8, 1000) + b"".join(text(f"token{n}") for n in range(1000))
    tokens = opened(tmp_path, container([pair("tokens", 9, array)], [])).metadata["tokens"]
    assert len(tokens) == 1000 and tokens._items is None
    assert tokens[999] == b"token999"


def test_all_known_formats_can_be_listed(tmp_path):
    for kind in FORMATS.values():
        raw = container([], [info("t", (kind.block_size,), kind.id, 0)], bytes(kind.block_bytes))
        assert opened(tmp_path, raw).tensors["t"].format is kind


# --- small files must not cost much --------------------------------------------------------------


@pytest.mark.parametrize(
    ("limit", "pairs"),
    [
        ("MAX_STRINGS", [pair("k", 9, struct.pack("<IQ", 8, 3) + bytes(24))]),
        ("MAX_STRINGS", [pair(key, 9, struct.pack("<IQ", 8, 2) + bytes(16)) for key in "kl"]),
        ("MAX_TEXT", [pair("k", 8, text("ab"))]),
        ("MAX_TEXT", [pair("k", 0, b"\1"), pair("l", 0, b"\1"), pair("m", 0, b"\1")]),
    ],
)
def test_more_text_than_a_real_file_has_is_refused(tmp_path, monkeypatch, limit, pairs):
    path = tmp_path / "a.gguf"
    path.write_bytes(container(pairs, []))
    assert len(GGUF.open(path).metadata) == len(pairs)
    monkeypatch.setattr(f"quant.gguf.{limit}", 2)
    with pytest.raises(ModelFileError, match="the limit is 2"):
        GGUF.open(path)


def test_an_array_is_not_turned_into_numbers_that_no_real_file_has(tmp_path):
    path = tmp_path / "a.gguf"
    path.write_bytes(container([pair("k", 9, struct.pack("<IQ", 0, 70_000) + bytes(70_000))], []))
    with pytest.raises(ModelFileError, match="the key k holds 70000 items"):
        GGUF.open(path).metadata.integers("k")
