"""LoRA adapters and control vectors: the right sums in every architecture, and nothing skipped."""

from itertools import product
from pathlib import Path

import numpy as np
import pytest
from make_adapter import TABLE, matrices, write_lora, write_merged, write_vector
from make_gguf import write_model
from passes import ids_of, nmse, prompts_of, resources, sequence_of
from presets_gguf import PRESETS

from lepton_cli.engine.decoding.window import Passes, Window
from lepton_cli.engine.loading import plan as loading
from lepton_cli.engine.loading.adapters import AdapterFile, BoundAdapters
from lepton_cli.models.keys import Keys
from ops.backend import backend_of
from ops.memory_plan import Limits
from quant.errors import ModelFileError
from quant.gguf import GGUF

IDS = ids_of(12)
ROUNDING = 1e-9
"""Of float32 sums in another order: 6e-8 a number, squared, and some."""
RECORDED = [
    ("lora-a", "logits", [("lora-a", 1.0)]),
    ("lora-a", "logits_half", [("lora-a", 0.5)]),
    ("lora-b", "logits", [("lora-b", 1.0)]),
    ("lora-b", "logits_half", [("lora-b", 0.5)]),
    ("lora-b", "logits_both", [("lora-a", 1.0), ("lora-b", 0.5)]),
]


def opened(model: Path, *wanted: AdapterFile, backend="reference", chunk: int = 32) -> Window:
    file = GGUF.open(model)
    program = loading.build(file, 64, BoundAdapters(file, wanted))
    limits = Limits(chunk, chunk)
    runner = backend_of(backend, ("f32", "f32"), resources()).open(program, limits)
    whole, prompts = program.sees_whole_runs, prompts_of(program)
    return Window(Passes(runner, chunk, chunk, whole=whole, prompts=prompts), 64)


def logits(model: Path, *wanted: AdapterFile, ids=IDS, backend="reference", chunk=32) -> np.ndarray:
    ids = sequence_of(model, list(ids))
    return opened(model, *wanted, backend=backend, chunk=chunk).all_logits(ids)


def adapted_ones(model: Path, folder: Path) -> list[str]:
    """The model's matrices that can be adapted; the others are refused by their names."""
    file, names = GGUF.open(model), matrices(model)
    while True:
        adapter = write_lora(folder / "some.gguf", model, names)
        try:
            loading.build(file, 64, BoundAdapters(file, [AdapterFile(adapter)]))
        except ModelFileError as error:
            [refused] = [name for name in names if f" {name} " in error.message]
            assert error.hint
            names.remove(refused)
        else:
            return names


# --- recorded by llama.cpp


@pytest.mark.parametrize("backend", ["reference", "cpu"])
@pytest.mark.parametrize(("name", "key", "adapters"), RECORDED)
def test_adapters_give_the_recorded_logits(shared_data, backend, name, key, adapters):
    folder = shared_data("more")
    recorded = np.load(folder / f"{name}.npz")
    wanted = [AdapterFile(folder / f"{each}.gguf", scale) for each, scale in adapters]
    got = logits(folder / "lora-base.gguf", *wanted, ids=recorded["ids"].tolist(), backend=backend)
    assert nmse(got, recorded[key]) < ROUNDING


@pytest.mark.parametrize("backend", ["reference", "cpu"])
@pytest.mark.parametrize(
    ("key", "scale", "layers"),
    [("logits", 1.0, None), ("logits_half", 0.5, None), ("logits_layer_2", 1.0, (2, 2))],
)
def test_control_vectors_give_the_recorded_logits(shared_data, backend, key, scale, layers):
    folder = shared_data("more")
    recorded = np.load(folder / "cvec.npz")
    vector = AdapterFile(folder / "cvec.gguf", scale, "control vector", layers)
    got = logits(folder / "lora-base.gguf", vector, ids=recorded["ids"].tolist(), backend=backend)
    assert nmse(got, recorded[key]) < ROUNDING


# --- made files


@pytest.mark.parametrize("preset", sorted(PRESETS))
def test_adapted_products_are_those_of_a_merged_model(tmp_path, preset):
    """Every matrix of every architecture is either adapted or refused by its name."""
    model = write_model(tmp_path / "m.gguf", preset)
    names = adapted_ones(model, tmp_path)
    assert names
    adapter = write_lora(tmp_path / "a.gguf", model, names)
    merged = write_merged(tmp_path / "merged.gguf", preset, model, adapter, 0.25)
    got = logits(model, AdapterFile(adapter, 0.25))
    assert nmse(logits(model), got) > 1e-6  # it matters
    assert nmse(got, logits(merged)) < MERGED


MERGED = 1e-8
"""Deep recurrences and sharp choices enlarge the rounding of merged weights a little."""


@pytest.mark.parametrize("name", [TABLE, "output.weight"])
@pytest.mark.parametrize("alpha", [0.0, 6.0])
def test_the_table_and_the_output_are_adapted(tmp_path, name, alpha):
    model = write_model(tmp_path / "m.gguf")
    adapter = write_lora(tmp_path / "a.gguf", model, [name], alpha=alpha)
    merged = write_merged(tmp_path / "merged.gguf", "llama", model, adapter)
    assert nmse(logits(model, AdapterFile(adapter)), logits(merged)) < ROUNDING


USUAL = {("llama", "Q4_K"), ("qwen3moe", "Q4_K"), ("phi3", "F32")}
ON_THE_CPU = [  # each pair has kernels of its own to compile
    pytest.param(*both, marks=[] if both in USUAL else pytest.mark.weekly)
    for both in product(("llama", "phi3", "qwen3moe", "gemma3"), ("F32", "Q4_K", "Q8_0", "F16"))
]


@pytest.mark.parametrize(("preset", "weights"), ON_THE_CPU)
def test_the_cpu_agrees_with_the_reference(tmp_path, preset, weights):
    """Fused products, quantized activations and narrowed rows keep what an adapter adds."""
    model = write_model(tmp_path / "m.gguf", preset, weights=weights)
    used = [
        AdapterFile(write_lora(tmp_path / "a.gguf", model), 0.3),
        AdapterFile(write_lora(tmp_path / "b.gguf", model, rank=3, seed=8), -0.2),
        AdapterFile(write_vector(tmp_path / "v.gguf", width_of(model)), 0.5, "control vector"),
    ]
    got = logits(model, *used, backend="cpu")
    plain = nmse(logits(model, backend="cpu"), logits(model))
    assert nmse(got, logits(model, *used)) < max(ROUNDING, 10 * plain)


@pytest.mark.parametrize(
    ("weights", "rank"), [("F16", 5), ("BF16", 7), ("F16", 64), ("Q8_0", 32), ("Q4_0", 64)]
)
def test_adapters_of_other_formats_and_ranks_run_on_the_cpu(tmp_path, weights, rank):
    model = write_model(tmp_path / "m.gguf")
    adapter = write_lora(tmp_path / "a.gguf", model, rank=rank, weights=weights)
    got = logits(model, AdapterFile(adapter), backend="cpu")
    assert nmse(got, logits(model)) > 1e-3
    assert nmse(got, logits(model, AdapterFile(adapter))) < ROUNDED_ACTIVATIONS


ROUNDED_ACTIVATIONS = 1e-3
"""Of products with quantized weights, which take activations in blocks of 8 bits."""


def width_of(model: Path) -> int:
    return Keys(GGUF.open(model).metadata).positive("embedding_length")


@pytest.mark.parametrize("backend", ["reference", "cpu"])
def test_incremental_decoding_equals_the_full_pass(tmp_path, backend):
    model = write_model(tmp_path / "m.gguf", "qwen3moe")
    used = [
        AdapterFile(write_lora(tmp_path / "a.gguf", model)),
        AdapterFile(write_vector(tmp_path / "v.gguf"), 2.0, "control vector"),
    ]
    whole = logits(model, *used, backend=backend)
    steps = logits(model, *used, backend=backend, chunk=1)
    assert nmse(steps, whole) < ROUNDING
    if backend == "cpu":
        assert steps.tobytes() == whole.tobytes()


@pytest.mark.parametrize("preset", sorted(PRESETS))
def test_a_control_vector_is_added_behind_its_layer_or_refused(tmp_path, preset):
    model = write_model(tmp_path / "m.gguf", preset)
    vector = write_vector(tmp_path / "v.gguf", width_of(model))
    try:
        got = logits(model, AdapterFile(vector, 3.0, "control vector"))
    except ModelFileError as error:
        assert "control vectors cannot be used" in error.message
        assert preset in STREAMED
    else:
        assert preset not in STREAMED and nmse(got, logits(model)) > 1e-6


STREAMED = {
    *("gemma3n", "deepseek4", "glm5-next", "hy_v4", "kimi-k3", "qwen4exp"),
    *("hrm_text", "nanbeige"),  # whose layers run several times
}
"""Whose layers do not hand on one row for each token, once."""


def test_the_directions_of_several_vectors_are_added_up(tmp_path):
    model = write_model(tmp_path / "m.gguf")
    one, other = (write_vector(tmp_path / f"{n}.gguf", seed=n) for n in range(2))
    both = [AdapterFile(one, 2.0, "control vector"), AdapterFile(other, -1.0, "control vector")]
    values = [GGUF.open(path).tensors["direction.1"].data.view(np.float32) for path in (one, other)]
    summed = write_vector(tmp_path / "sum.gguf")
    raw = bytearray(summed.read_bytes())
    raw[-values[0].nbytes :] = (2 * values[0] - values[1]).tobytes()
    summed.write_bytes(raw)
    alone = logits(model, AdapterFile(summed, 1.0, "control vector"))
    assert nmse(logits(model, *both), alone) < ROUNDING
