"""The safetensors reader: its types, and that a damaged file ends in one clear error."""

import json
import struct
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from make_folder import write_safetensors

from lepton_cli.engine.converting.safetensors import read
from quant.errors import LeptonError, ModelFileError, UsageError

VALUES = np.array([[1, 0, -2], [3, 100, 0.5]])
TYPES = {
    "F64": "<f8",
    "F32": "<f4",
    "F16": "<f2",
    "I64": "<i8",
    "I32": "<i4",
    "I16": "<i2",
    "I8": "i1",
}


@pytest.mark.parametrize("dtype", TYPES)
def test_every_type_is_read(tmp_path, dtype):
    stored = VALUES.astype(TYPES[dtype])
    write_safetensors(tmp_path / "a.safetensors", {"x": (dtype, (2, 3), stored.tobytes())})
    tensor = read(tmp_path / "a.safetensors")["x"]
    np.testing.assert_array_equal(tensor.floats(), stored.astype(np.float32))
    np.testing.assert_array_equal(tensor.floats(1, 2), stored[1:].astype(np.float32))
    np.testing.assert_array_equal(tensor.columns(1, 3), stored[:, 1:].astype(np.float32))


def test_bf16_and_numbers_alone_are_read(tmp_path):
    write_safetensors(
        tmp_path / "a.safetensors",
        {"x": ("BF16", (2,), b"\x80\x3f\x00\xc0"), "y": ("F32", (), struct.pack("<f", 3))},
    )
    found = read(tmp_path / "a.safetensors")
    assert found["x"].floats().tolist() == [1, -2]
    assert found["y"].floats().tolist() == [3]


def entry(dtype: str = "F32", shape: object = (2,), places: object = (0, 8)) -> dict[str, object]:
    return {"dtype": dtype, "shape": shape, "data_offsets": places}


def container(header: object, data: bytes = bytes(8)) -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + data


DAMAGED = {
    "nothing": (b"", "empty"),
    "a gguf": (b"GGUF" + bytes(60), "not a"),
    "half a header": (container({"x": entry()})[:20], "its header has"),
    "a huge header": ((1 << 60).to_bytes(8, "little") + b"{}", "its header has"),
    "no JSON": (container(b"{]"), "cannot be read"),
    "no object in it": (container({"x": 5}), "cannot be read"),
    "no shape": (container({"x": {"dtype": "F32"}}), "cannot be read"),
    "a negative shape": (container({"x": entry(shape=(-1, -2))}), "cannot be read"),
    "a shape of text": (container({"x": entry(shape="ab")}), "cannot be read"),
    "many dimensions": (container({"x": entry(shape=(1,) * 9 + (2,))}), "dimensions"),
    "behind the end": (container({"x": entry(places=(8, 16))}), "ends at byte 16"),
    "backwards": (container({"x": entry(places=(8, 0))}), "ends at byte 0"),
    "too few bytes": (container({"x": entry(places=(0, 4))}), "needs 8"),
    "empty": (container({"x": entry(shape=(0,), places=(0, 0))}), "needs 0"),
    "an overlap": (
        container({"x": entry(), "y": entry(places=(4, 12))}, bytes(12)),
        "x and y overlap",
    ),
    "another type": (container({"x": entry("F8_E4M3", (8,))}), "has the type F8_E4M3"),
}


@pytest.mark.parametrize("case", DAMAGED)
def test_a_damaged_file_is_refused(tmp_path, case):
    raw, said = DAMAGED[case]
    path = tmp_path / "a.safetensors"
    path.write_bytes(raw)
    with pytest.raises(ModelFileError) as caught:
        read(path)
    assert said in caught.value.message and str(path) in caught.value.message
    assert "\n" not in caught.value.message


def test_a_file_that_is_not_there_is_a_usage_error(tmp_path):
    with pytest.raises(UsageError):
        read(tmp_path / "none.safetensors")


GOOD = container({"x": entry(), "y": entry(places=(8, 16))}, bytes(16))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=200)
@given(st.lists(st.tuples(st.integers(0, len(GOOD) - 1), st.integers(0, 255)), max_size=6))
def test_changed_bytes_are_read_or_refused(tmp_path, changes):
    raw = bytearray(GOOD)
    for place, value in changes:
        raw[place] = value
    path = Path(tmp_path, "a.safetensors")
    path.write_bytes(raw)
    try:
        for tensor in read(path).values():
            tensor.floats()
    except LeptonError as error:
        assert "\n" not in error.message
