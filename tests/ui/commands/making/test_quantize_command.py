"""`lepton quantize`: keys, order and bytes of what it writes; what it refuses, with the cure."""

import json
from pathlib import Path

import numpy as np
import pytest
from make_gguf import write_model

from lepton_cli.__main__ import run
from lepton_cli.engine.files.checking import verify
from quant.format import FORMATS, dequantize, quantize
from quant.gguf import GGUF


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("source") / "m.gguf"
    return write_model(path, dimensions={"L": 3}, weights="F16")


@pytest.fixture
def outcome(capfd):
    def call(*args: object) -> tuple[int, str, str]:
        code = run(["quantize", *(str(arg) for arg in args)])
        return code, *capfd.readouterr()

    return call


def test_the_file_has_the_types_bytes_and_keys_of_llama_quantize(tmp_path, model, outcome):
    out = tmp_path / "o.gguf"
    assert outcome(model, out, "q8_0")[0] == 0
    source, made = GGUF.open(model), GGUF.open(out)
    assert verify(out, {}).faults == ()
    for name, tensor in made.tensors.items():
        x = dequantize(source.tensors[name].format, source.tensors[name].data)
        kind = "F32" if "norm" in name else "Q8_0"
        assert tensor.format.name == kind and tensor.shape == source.tensors[name].shape
        np.testing.assert_array_equal(tensor.data, quantize(FORMATS[kind], x))
    kept = [key for key in source.metadata if key != "general.file_type"]
    assert list(made.metadata) == [*kept, "general.quantization_version", "general.file_type"]
    assert made.metadata["general.file_type"] == 7
    assert all(made.metadata.stored(key) == source.metadata.stored(key) for key in kept)
    assert list(made.tensors)[:3] == ["output.weight", "output_norm.weight", "token_embd.weight"]


@pytest.mark.parametrize("kind", ["Q4_0", pytest.param("IQ3_S", marks=pytest.mark.weekly)])
def test_the_reference_file_has_the_same_tensors(shared_data, tmp_path, outcome, kind):
    folder, out = shared_data("quants"), tmp_path / "o.gguf"
    options = ("--imatrix", folder / "tiny-imatrix.gguf")
    assert outcome(folder / "tiny-F32.gguf", out, kind, *options)[0] == 0
    made, reference = GGUF.open(out), GGUF.open(folder / f"tiny-{kind}.gguf")
    assert list(made.tensors) == list(reference.tensors)
    assert list(made.metadata) == list(reference.metadata)
    for name, tensor in reference.tensors.items():
        assert made.tensors[name].format == tensor.format
        assert made.tensors[name].data.tobytes() == tensor.data.tobytes(), name


def test_a_dry_run_tells_the_size_and_writes_nothing(tmp_path, model, outcome):
    out = tmp_path / "o.gguf"
    code, printed, _ = outcome(model, out, "q8_0", "--dry-run", "--json")
    assert code == 0 and not out.exists()
    told = json.loads(printed)
    table = outcome(model, out, "q8_0", "--dry-run")[1]
    rows = [line.split() for line in table.splitlines()]
    assert ["blk.0.attn_q.weight", "64", "x", "64", "F16", "Q8_0", "4.35", "kB"] in rows
    assert f"{told['bits_per_weight']:.2f} bits a weight" in table
    assert outcome(model, out, "q8_0")[0] == 0
    assert told["files"][0]["bytes"] == out.stat().st_size
    made = GGUF.open(out).tensors
    assert [each["name"] for each in told["tensors"]] == [*made]
    assert all(each["bytes"] == made[each["name"]].data.nbytes for each in told["tensors"])


def test_layers_are_left_out_and_the_others_move_up(tmp_path, model, outcome):
    out = tmp_path / "o.gguf"
    assert outcome(model, out, "q8_0", "--prune-layers", "1")[0] == 0
    source, made = GGUF.open(model), GGUF.open(out)
    assert made.metadata["llama.block_count"] == 2
    last = dequantize(FORMATS["F16"], source.tensors["blk.2.attn_q.weight"].data)
    wanted = quantize(FORMATS["Q8_0"], last)
    np.testing.assert_array_equal(made.tensors["blk.1.attn_q.weight"].data, wanted)
    assert "blk.2.attn_q.weight" not in made.tensors


@pytest.mark.parametrize("preset", ["t5", "qwen35"])
def test_layers_whose_keys_or_stack_would_not_fit_are_refused(tmp_path, outcome, preset):
    """qwen35 has a key with a value for each layer, T5 has layers of two kinds."""
    path = write_model(tmp_path / "m.gguf", preset)
    code, _, said = outcome(path, tmp_path / "o.gguf", "q8_0", "--prune-layers", "1")
    error, hint = said.splitlines()
    assert code == 2 and "what --prune-layers leaves is no model" in error
    assert f"lepton prune {path} OUT --drop-layers 1" in hint
    assert not (tmp_path / "o.gguf").exists()


def test_keys_are_set(tmp_path, model, outcome):
    out = tmp_path / "o.gguf"
    words = ("llama.context_length=int:77", "general.name=str:a=b", "x.y=bool:true", "z=float:0.5")
    options = [word for each in words for word in ("--override-kv", each)]
    assert outcome(model, out, "q8_0", *options)[0] == 0
    metadata = GGUF.open(out).metadata
    found = [metadata[key] for key in ("llama.context_length", "general.name", "x.y", "z")]
    assert found == [77, "a=b", True, 0.5]


def test_a_split_model_stays_split(tmp_path, model, outcome):
    assert run(["split", str(model), str(tmp_path / "s"), "--split-max-tensors", "12"]) == 0
    first = min(tmp_path.glob("s-00001-of-*.gguf"))
    assert outcome(first, tmp_path / "o.gguf", "q8_0", "--keep-split")[0] == 0
    assert outcome(first, tmp_path / "whole.gguf", "q8_0")[0] == 0
    parts = sorted(tmp_path.glob("o-*.gguf"))
    assert len(parts) == len(list(tmp_path.glob("s-*.gguf"))) > 1
    made, whole = GGUF.open(parts[0]), GGUF.open(tmp_path / "whole.gguf")
    assert "split.count" not in whole.metadata
    assert made.tensors.keys() == whole.tensors.keys()
    for name, tensor in whole.tensors.items():
        np.testing.assert_array_equal(made.tensors[name].data, tensor.data)


REFUSED = {
    "unknown type": (("q4_k_x",), "there is no type q4_k_x", "Q4_K_M"),
    "a type without separators": (("q4km",), "there is no type q4km", "did you mean Q4_K_M?"),
    "unknown format": (("q8_0", "--tensor-type", "a=q9"), "there is no format q9", "formats"),
    "no pair": (("q8_0", "--tensor-type", "q9"), "not NAME=TYPE", "--tensor-type ffn_down=q6_k"),
    "no pattern": (("q8_0", "--tensor-type", "(=q4_0"), "no regular expression", "."),
    "no imatrix": (("q8_0", "--imatrix", "missing.gguf"), "No such file", "lepton imatrix"),
    "no override": (("q8_0", "--override-kv", "a=int:x"), "'x' is no int", "--override-kv"),
    "no layer": (("q8_0", "--prune-layers", "9"), "names no layers", "from 0 to 2"),
    "no layers left": (("q8_0", "--prune-layers", "0-2"), "the model has 3 layers", "fewer"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_is_refused_with_the_cure(tmp_path, model, outcome, case):
    words, message, cure = REFUSED[case]
    code, printed, said = outcome(model, tmp_path / "o.gguf", *words)
    assert (code, printed) == (2, "") and not list(tmp_path.iterdir())
    lines = said.splitlines()
    assert message in lines[0] and cure in lines[1] and len(lines) == 2


@pytest.mark.parametrize(
    ("typed", "command"),
    [
        ("m.gguf Q4_0", "m.gguf OUT Q4_0"),
        ("m.gguf q4_0 o.gguf", "m.gguf o.gguf q4_0"),
        ("Q4_0 m.gguf o.gguf", "m.gguf o.gguf Q4_0"),
    ],
)
def test_a_type_before_the_files_is_answered_with_the_right_order(outcome, typed, command):
    code, _, said = outcome(*typed.split())
    assert code == 2 and said.endswith(f"type: lepton quantize {command}\n")


def test_a_text_in_place_of_out_is_not_offered_to_be_replaced(tmp_path, model, outcome):
    (tmp_path / "t.txt").write_text("mine")
    code, _, said = outcome(model, tmp_path / "t.txt", "Q8_0")
    assert code == 2 and "t.txt exists" in said and "like" in said and "--overwrite" not in said


def test_the_fewest_bits_need_importance(tmp_path, outcome):
    path = write_model(tmp_path / "m.gguf", dimensions={"D": 256, "F": 256})
    code, _, said = outcome(path, tmp_path / "o.gguf", "iq2_xs", "--dry-run")
    assert code == 2 and "IQ2_XS needs an importance matrix" in said and "lepton imatrix" in said


def test_a_quantized_model_is_quantized_again_only_if_asked(tmp_path, model, outcome):
    small, out = tmp_path / "s.gguf", tmp_path / "o.gguf"
    assert outcome(model, small, "q8_0")[0] == 0
    code, _, said = outcome(small, out, "q4_0")
    assert code == 2 and "is Q8_0 already" in said and "--allow-requantize" in said
    assert outcome(small, out, "q4_0", "--allow-requantize")[0] == 0
    assert GGUF.open(out).tensors["blk.0.attn_q.weight"].format.name == "Q4_0"


def test_importance_of_another_model_is_refused(shared_data, tmp_path, model, outcome):
    imatrix = shared_data("quants") / "tiny-imatrix.gguf"
    code, _, said = outcome(model, tmp_path / "o.gguf", "q4_0", "--imatrix", imatrix)
    assert code == 2 and "of another model" in said


def test_nothing_is_left_of_a_file_whose_weights_are_no_numbers(tmp_path, outcome):
    bad = np.full((64, 64), np.nan, np.float32)
    path = write_model(tmp_path / "m.gguf", tensors={"blk.1.attn_q.weight": bad})
    code, _, said = outcome(path, tmp_path / "o.gguf", "q8_0")
    assert code == 3 and "blk.1.attn_q.weight holds NaN or Inf" in said
    assert [each.name for each in tmp_path.iterdir()] == ["m.gguf"]


def test_what_exists_is_replaced_only_if_asked_and_the_source_never(tmp_path, model, outcome):
    out = tmp_path / "o.gguf"
    assert outcome(model, out, "q8_0")[0] == 0
    assert outcome(model, out, "q4_0")[0] == 2
    assert outcome(model, out, "q4_0", "--overwrite")[0] == 0
    assert outcome(model, model, "q4_0", "--overwrite")[0] == 2
    assert GGUF.open(model).tensors["blk.0.attn_q.weight"].format.name == "F16"
