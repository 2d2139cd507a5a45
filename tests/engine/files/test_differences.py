"""`lepton diff`: keys, tensors, types and values that differ are shown; equal models are equal."""

import json
from pathlib import Path

import numpy as np
import pytest
from make_gguf import write_model
from test_gguf import container, info, pair, split

from lepton_cli.__main__ import run
from lepton_cli.engine.files import pieces
from lepton_cli.engine.files.differences import Differences, compare
from quant.format import dequantize
from quant.gguf import GGUF


def compared(a: Path, b: Path) -> Differences:
    return compare(GGUF.open(a), GGUF.open(b))


@pytest.fixture
def model(tmp_path) -> Path:
    return write_model(tmp_path / "a.gguf")


def test_a_model_is_equal_to_its_copy(tmp_path, model):
    other = tmp_path / "b.gguf"
    other.write_bytes(model.read_bytes())
    found = compared(model, other)
    assert not found.any and found.tensors_compared == len(GGUF.open(model).tensors)


def test_a_split_model_is_equal_to_the_whole(tmp_path):
    first = split(tmp_path, [0, 1])
    data = b"".join(np.full(8, n, "<f4").tobytes() for n in (0, 1))
    whole = tmp_path / "whole.gguf"
    whole.write_bytes(container([], [info("t0", (8,), 0, 0), info("t1", (8,), 0, 32)], data))
    assert not compared(first, whole).any


def test_keys_that_differ_are_listed(tmp_path, model):
    keys = {"general.name": None, "llama.context_length": 512, "general.author": "me"}
    found = compared(model, write_model(tmp_path / "b.gguf", metadata=keys))
    assert found.keys_removed == {"general.name": "tiny llama"}
    assert found.keys_added == {"general.author": "me"}
    (change,) = found.keys_changed
    assert (change.key, change.before, change.after) == ("llama.context_length", 256, 512)


def test_a_key_of_another_type_is_shown_with_the_types(tmp_path):
    for name, kind, raw in (("a", 4, b"\5\0\0\0"), ("b", 5, b"\5\0\0\0")):
        (tmp_path / name).write_bytes(container([pair("k", kind, raw)], []))
    (change,) = compared(tmp_path / "a", tmp_path / "b").keys_changed
    assert (change.before, change.after) == ("5 (uint32)", "5 (int32)")


def test_the_first_item_that_differs_in_an_array_is_shown(tmp_path, model):
    tokens = [token.decode() for token in GGUF.open(model).metadata["tokenizer.ggml.tokens"]]
    tokens[7] = "other"
    other = write_model(tmp_path / "b.gguf", metadata={"tokenizer.ggml.tokens": tokens})
    (change,) = compared(model, other).keys_changed
    assert change.items is not None
    assert change.items.startswith("1 item differs, the first at 7: ")
    assert change.items.endswith("'other'")


def test_tensors_that_differ_are_listed(tmp_path, model):
    shape = np.zeros(32, np.float32)
    other = write_model(
        tmp_path / "b.gguf",
        tensors={"output_norm.weight": shape, "new": shape, "output.weight": None},
    )
    found = compared(model, other)
    assert list(found.tensors_removed) == ["output.weight"]
    assert list(found.tensors_added) == ["new"]
    (change,) = found.tensors_changed
    assert change.name == "output_norm.weight" and change.after.shape == (32,)
    assert change.name not in {each.name for each in found.values_changed}


def test_changes_of_values_are_relative_to_the_whole_tensor(tmp_path, monkeypatch):
    monkeypatch.setattr(pieces, "PIECE", 512)  # a tensor has several
    a, b = (write_model(tmp_path / f"{kind}.gguf", weights=kind) for kind in ("F32", "Q8_0"))
    found = compared(a, b)
    before, after = GGUF.open(a).tensors, GGUF.open(b).tensors
    errors = [change.relative for change in found.values_changed]
    assert errors == sorted(errors, reverse=True)
    assert len(errors) == len(found.tensors_changed) > 5
    for change in found.values_changed:
        x = dequantize(before[change.name].format, before[change.name].data).astype(float)
        d = dequantize(after[change.name].format, after[change.name].data) - x
        expected = np.linalg.norm(d) / np.linalg.norm(x)
        assert change.relative == pytest.approx(expected, rel=1e-9)
        assert change.largest == pytest.approx(np.abs(d).max())


def test_values_that_are_not_finite_come_first(tmp_path, model):
    bad = np.array([np.nan, *[1.0] * 63], np.float32)
    tensors = {"output_norm.weight": bad, "blk.0.attn_norm.weight": np.zeros(64, np.float32)}
    found = compared(model, write_model(tmp_path / "b.gguf", tensors=tensors)).values_changed
    assert (found[0].name, found[0].relative) == ("output_norm.weight", None)
    relative = {change.name: change.relative for change in found}
    assert relative["blk.0.attn_norm.weight"] == 1


def test_values_of_other_types_differ_without_a_measure(tmp_path):
    for name, value in (("a", 1), ("b", 2)):
        data = np.full(8, value, "<i4").tobytes()
        (tmp_path / name).write_bytes(container([], [info("t", (8,), 26, 0)], data))
    (change,) = compared(tmp_path / "a", tmp_path / "b").values_changed
    assert (change.name, change.relative) == ("t", None)


# --- the command


def outcome(capfd, *args: object) -> tuple[int, str, str]:
    code = run([str(arg) for arg in args])
    return code, *capfd.readouterr()


def test_the_exit_code_is_that_of_diff(tmp_path, model, capfd):
    other = write_model(tmp_path / "b.gguf", weights="Q8_0")
    assert outcome(capfd, "diff", model, model) == (0, "", "")
    code, out, err = outcome(capfd, "diff", model, other)
    assert (code, err) == (1, "")
    assert "! blk.*.ffn_up.weight  " in out and "F32 -> Q8_0 128 x 64, in 2 layers" in out
    assert outcome(capfd, "diff", model, tmp_path / "none.gguf")[0] == 2


def test_the_largest_changes_are_shown_up_to_a_number(tmp_path, model, capfd):
    other = write_model(tmp_path / "b.gguf", seed=1)
    _, out, _ = outcome(capfd, "diff", model, other, "--top", 3)
    assert sum(line.startswith("! ") for line in out.splitlines()) == 3
    assert "more than those above" in out


def test_long_values_are_shown_where_they_differ(tmp_path, model, capfd):
    names = ["x" * 500 + end for end in ("one", "two")]
    a, b = (
        write_model(tmp_path / f"{n}.gguf", metadata={"general.name": name})
        for n, name in enumerate(names)
    )
    _, out, _ = outcome(capfd, "diff", a, b)
    assert "…xxxxxxxxxxxxone' -> …xxxxxxxxxxxxtwo'" in out


def test_the_differences_as_json(tmp_path, model, capfd):
    other = write_model(tmp_path / "b.gguf", tensors={"new": np.zeros(4, np.float32)})
    code, out, _ = outcome(capfd, "diff", model, other, "--json")
    record = json.loads(out)
    assert code == 1 and record["different"] is True
    assert record["tensors_added"] == {"new": {"format": "F32", "shape": [4]}}
