"""`lepton merge-lora`: a merged model gives the logits of the model with its adapters."""

from pathlib import Path

import numpy as np
import pytest
from make_adapter import TABLE, write_lora, write_vector
from make_gguf import write_model
from test_adapters import MERGED, RECORDED, ROUNDING, adapted_ones, logits, nmse

from lepton_cli.__main__ import run
from lepton_cli.engine.files import merging
from lepton_cli.engine.files.differences import compare
from lepton_cli.engine.loading.adapters import AdapterFile
from quant.gguf import GGUF

PRESETS = ["bert", "deepseek2", "gemma3", "llama", "mamba", "phi3", "qwen3moe", "t5"]


@pytest.fixture
def merge(tmp_path, capfd):
    """Runs the command; gives the file, or the exit code and the error."""

    def call(model: Path, *options: object) -> Path:
        out = tmp_path / "merged.gguf"
        out.unlink(missing_ok=True)
        code = run([str(each) for each in ("merge-lora", model, out, *options)])
        told = [line for line in capfd.readouterr().err.splitlines() if "compiling" not in line]
        assert (code, told) == (0, [])
        return out

    return call


@pytest.fixture
def refusal(tmp_path, capfd):
    def call(code: int, model: Path, *options: object) -> str:
        out = tmp_path / "merged.gguf"
        assert run([str(each) for each in ("merge-lora", model, out, *options)]) == code
        assert not out.exists()
        return capfd.readouterr().err

    return call


@pytest.mark.parametrize("preset", PRESETS)
def test_the_logits_are_those_of_the_model_with_its_adapters(tmp_path, merge, monkeypatch, preset):
    monkeypatch.setattr(merging, "PIECE", 1000)  # a matrix has several pieces
    model = write_model(tmp_path / "m.gguf", preset)
    names = adapted_ones(model, tmp_path)
    a = write_lora(tmp_path / "a.gguf", model, names)
    b = write_lora(tmp_path / "b.gguf", model, names[:2], rank=3, alpha=0, seed=8)
    out = merge(model, "--lora", f"{a}:0.25", "--lora-scaled", f"{b}:-0.5")
    wanted = logits(model, AdapterFile(a, 0.25), AdapterFile(b, -0.5))
    assert nmse(logits(model), wanted) > 1e-6  # they matter
    assert nmse(logits(out), wanted) < MERGED
    changed = {change.name for change in compare(GGUF.open(model), GGUF.open(out)).values_changed}
    assert changed == set(names)


@pytest.mark.parametrize("name", [TABLE, "output.weight"])
def test_the_table_and_the_output_are_merged(tmp_path, merge, name):
    model = write_model(tmp_path / "m.gguf")
    adapter = write_lora(tmp_path / "a.gguf", model, [name])
    wanted = logits(model, AdapterFile(adapter))
    assert nmse(logits(merge(model, "--lora", adapter)), wanted) < ROUNDING


@pytest.mark.parametrize(("name", "key", "adapters"), RECORDED)
def test_a_merged_model_gives_the_logits_that_llama_cpp_recorded(
    shared_data, merge, name, key, adapters
):
    folder = shared_data("more")
    recorded = np.load(folder / f"{name}.npz")
    options = [word for each, s in adapters for word in ("--lora", f"{folder / each}.gguf:{s}")]
    merged = merge(folder / "lora-base.gguf", *options)
    assert nmse(logits(merged, ids=recorded["ids"].tolist()), recorded[key]) < ROUNDING


ROUNDED = {"F16": 1e-5, "BF16": 1e-3, "Q8_0": 5e-3, "Q6_K": 2e-2, "Q4_K": 2e-1}
"""Of weights that are rounded once more after merging."""


@pytest.mark.parametrize("kind", ROUNDED)
def test_the_types_of_the_model_are_kept(tmp_path, merge, kind):
    model = write_model(tmp_path / "m.gguf", weights=kind)
    adapter = write_lora(tmp_path / "a.gguf", model)
    out = merge(model, "--lora", adapter)
    found = compare(GGUF.open(model), GGUF.open(out))
    assert not found.tensors_changed and not found.keys_changed and not found.keys_added
    assert nmse(logits(out), logits(model, AdapterFile(adapter))) < ROUNDED[kind]


def test_only_what_changes_gets_another_type(tmp_path, merge):
    model = write_model(tmp_path / "m.gguf", weights="Q6_K")
    names = ["blk.0.attn_q.weight"]
    adapter = write_lora(tmp_path / "a.gguf", model, names)
    found = compare(GGUF.open(model), GGUF.open(merge(model, "--lora", adapter, "--type", "f16")))
    assert [(each.name, each.after.format) for each in found.tensors_changed] == [(names[0], "F16")]
    assert [each.name for each in found.values_changed] == names


def test_a_type_that_cannot_be_written_is_refused_with_those_that_can(tmp_path, refusal):
    model = write_model(tmp_path / "m.gguf", weights="IQ2_XS")
    adapter = write_lora(tmp_path / "a.gguf", model)
    lora = ("--lora", adapter)
    err = refusal(2, model, *lora)
    assert "blk.0.attn_q.weight would be IQ2_XS" in err and "--type Q4_K" in err
    assert "would be F64, which nothing writes" in refusal(2, model, *lora, "--type", "F64")
    narrow = write_model(tmp_path / "n.gguf", dimensions={"D": 48, "d": 12})
    other = write_lora(tmp_path / "b.gguf", narrow)
    assert "do not fill Q8_0 blocks" in refusal(2, narrow, "--lora", other, "--type", "Q8_0")
    assert "'Q9'" in refusal(2, model, *lora, "--type", "Q9")


def test_a_weight_that_is_too_large_for_its_type_is_refused(tmp_path, refusal):
    model = write_model(tmp_path / "m.gguf", weights="F16")
    adapter = write_lora(tmp_path / "a.gguf", model, alpha=1000)
    large = ("--lora", f"{adapter}:1000000")
    for kind in ("F16", "Q8_0"):
        assert f"which {kind} cannot hold" in refusal(1, model, *large, "--type", kind)


def test_what_is_no_adapter_of_the_model_is_refused(tmp_path, refusal):
    model = write_model(tmp_path / "m.gguf")
    other = write_lora(tmp_path / "a.gguf", write_model(tmp_path / "w.gguf", dimensions={"D": 128}))
    assert "is for" in refusal(3, model, "--lora", other)
    assert "no LoRA adapter" in refusal(3, model, "--lora", model)
    vector = write_vector(tmp_path / "v.gguf")
    assert "is a control vector" in refusal(3, model, "--lora", vector)
    assert "no adapter given" in refusal(2, model)


def test_neither_the_model_nor_an_adapter_is_replaced(tmp_path, capfd):
    model = write_model(tmp_path / "m.gguf")
    adapter = write_lora(tmp_path / "a.gguf", model)
    for out in (model, adapter):
        before = out.read_bytes()
        args = ("merge-lora", model, out, "--lora", adapter, "--overwrite")
        assert run([str(each) for each in args]) == 2
        assert "is what is read" in capfd.readouterr().err
        assert out.read_bytes() == before
