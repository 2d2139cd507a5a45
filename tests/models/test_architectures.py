"""Whole models: llama.cpp's logits, incremental against full, the same bytes however run."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from make_gguf import write_model
from passes import ids_of, logits_of, nmse, open_positions, sequence_of
from presets_gguf import PRESETS

from lepton_cli.engine.loading import plan as loading
from lepton_cli.models.decoder import Decoder
from lepton_cli.models.registry import ARCHITECTURES, decoder_class
from quant.errors import UsageError
from quant.format import dequantize
from quant.gguf import GGUF

RECORDINGS = sorted(
    {
        each
        for name, entry in ARCHITECTURES.items()
        for each in entry.recordings
        if decoder_class(name).generates
    }
)
CAUSAL = [
    each
    for name, entry in ARCHITECTURES.items()
    for each in entry.recordings
    if decoder_class(name).sees == "past"
]
CAUSAL_PRESETS = sorted(
    name
    for name, each in PRESETS.items()
    if decoder_class(each.architecture).sees == "past" and each.keys.get("attention.causal", True)
)
# presets whose layers hand on more than one buffer
ENTANGLED = {
    "graniteswitch",
    "t5",
    "t5-gated",
    "kimi-k3",
    "arwkv7",
    "gemma3n",
    "gemma4",
    "hrm_text",
    "rwkv7",
    "talkie",
}
# llama.cpp's logits of these were never recorded
UNRECORDED = {"bitnet", "codeshell", "ernie4_5", "exaone", "maincoder", "orion", "plamo"}
UNRECORDED |= {"arwkv7", "starcoder", "xverse"}
UNRECORDED |= {"bailingmoe", "bailingmoe2", "dots1", "exaone-moe", "glm4moe", "hunyuan-moe"}
UNRECORDED |= {"mellum", "qwen3vlmoe"}
UNRECORDED |= {"kimi-k3", "dots3note", "hy_v4"}
UNRECORDED |= {"afmoe", "laguna", "step35"}
UNRECORDED |= {"arctic", "cohere2moe", "deepseek2-ocr", "glm-dsa", "granite_swa", "phimoe"}
UNRECORDED |= {"deepseek4", "glm5-next", "graniteswitch", "grovemoe", "qwen4exp"}
UNRECORDED |= {"apertus", "eurobert", "arcee", "baichuan", "chameleon", "jais", "jais2", "olmo"}
TOLERANCE = {"reference": 1e-10, "cpu": 1e-8}
GELU_TABLE = 1e-6
"""llama.cpp looks GELU up in half precision, which alone moves logits by so much."""

# llama.cpp rounds activations to 8 bits (K types: in blocks of 256, with coarser sums), to bf16 or
# f16; exact arithmetic on the same weights therefore lies so far from its logits, and not farther
ROUNDED = {"F32": 1e-10, "F16": 2e-6, "BF16": 1e-4, "Q8_0": 5e-4, "Q4_0": 5e-4, "Q4_1": 6e-4}
ROUNDED |= {"Q5_0": 6e-4, "Q5_1": 6e-4, "IQ4_NL": 6e-4, "IQ4_XS": 1.2e-3, "Q2_K": 1.2e-3}
ROUNDED |= {"Q3_K_M": 1.2e-3, "Q4_K_M": 1.2e-3, "Q5_K_M": 1.2e-3, "Q6_K": 1.2e-3}
ROUNDED |= {"TQ1_0": 1.3e-3, "TQ2_0": 1.3e-3, "Q1_0": 6e-4, "Q2_0": 7e-4}
ROUNDED |= dict.fromkeys(("IQ1_S", "IQ1_M", "IQ2_XXS", "IQ2_XS", "IQ2_S"), 1.3e-3)
ROUNDED |= dict.fromkeys(("IQ3_XXS", "IQ3_S"), 1.3e-3)


def test_every_architecture_can_be_imported_and_was_checked():
    for name, entry in ARCHITECTURES.items():
        assert issubclass(decoder_class(name), Decoder)
        assert entry.models
        assert bool(entry.recordings) == (name not in UNRECORDED)


@dataclass(frozen=True)
class Recording:
    """A file, and what llama.cpp computed of it."""

    path: Path
    ids: list[int]
    logits: np.ndarray  # (T, V)

    @property
    def uses_gelu(self) -> bool:
        file = GGUF.open(self.path)
        operations = loading.build(file, loading.trained_context(file)).operations
        return any(getattr(op, "activation", None) == "gelu" for op in operations)


@pytest.fixture
def recording(shared_data, request) -> Recording:
    archive, name = request.param.split("/")
    path = shared_data(archive) / f"{name}.gguf"
    arrays = np.load(path.with_suffix(".npz"))
    answer = arrays["decoder_ids"].tolist() if "decoder_ids" in arrays else []
    return Recording(path, [*arrays["ids"].tolist(), *answer], arrays["logits"])


@pytest.mark.parametrize("backend", ["reference", "cpu"])
@pytest.mark.parametrize("recording", RECORDINGS, indirect=True)
def test_logits_agree_with_llama_cpp(recording, backend):
    tolerance = GELU_TABLE if recording.uses_gelu else TOLERANCE[backend]
    got = logits_of(recording.path, np.array(recording.ids, np.int32), backend)
    assert nmse(got, recording.logits) < tolerance


def test_long_rope_takes_the_short_factors_within_the_original_context(shared_data):
    path = shared_data("more") / "rope-longrope.gguf"
    arrays = np.load(path.with_suffix(".npz"))
    got = logits_of(path, arrays["ids_short"], "cpu", context=256)
    assert nmse(got, arrays["logits_short"]) < TOLERANCE["cpu"]


@pytest.mark.parametrize("recording", CAUSAL, indirect=True)
def test_recorded_models_give_the_same_bytes_by_parts_and_after_a_rewind(recording):
    positions, close = open_positions(recording.path, "cpu", "f16")
    full = positions.all_logits(recording.ids)
    middle = len(recording.ids) * 3 // 4
    rows = [positions.all_logits(recording.ids[:middle])]
    positions.append([(recording.ids[middle] + 1) % 40, 2, 3])
    assert positions.reuse(recording.ids) == middle
    for token in recording.ids[middle:]:
        positions.append([token])
        rows.append(positions.logits[None].copy())
    close()
    np.testing.assert_array_equal(np.concatenate(rows), full)


@pytest.mark.parametrize("name", sorted(ROUNDED))
def test_quantized_files_lie_no_farther_from_exact_arithmetic_than_llama_cpp(shared_data, name):
    path = shared_data("quants") / f"tiny-{name}.gguf"
    recorded = np.load(path.with_suffix(".npz"))
    exact = logits_of(path, recorded["ids"], "reference")
    rounded = max(nmse(recorded["logits"], exact), 1e-10)
    assert rounded <= ROUNDED[name]
    assert nmse(logits_of(path, recorded["ids"], "cpu"), exact) < 1.05 * rounded


def test_mxfp4_experts_agree_with_llama_cpp_as_far_as_it_rounds(shared_data):
    path = shared_data("quants") / "tinymoe-MXFP4.gguf"
    recorded = np.load(path.with_suffix(".npz"))
    assert nmse(logits_of(path, recorded["ids"], "cpu"), recorded["logits"]) < 1.2e-3


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Gives the path of a small random model of an architecture, made once."""
    folder, paths = tmp_path_factory.mktemp("models"), {}

    def make(preset: str, weights: str = "F32") -> Path:
        path = folder / f"{preset}-{weights}.gguf"
        if path not in paths:
            paths[path] = write_model(path, preset, weights=weights, seed=3)
        return path

    return make


@pytest.mark.parametrize("preset", sorted(PRESETS))
def test_cpu_equals_reference(made, preset):
    ids = np.array(ids_of(20), np.int32)
    path = made(preset)
    assert nmse(logits_of(path, ids, "cpu"), logits_of(path, ids, "reference")) < 1e-10


def test_old_files_hold_each_expert_in_a_tensor_of_its_own(tmp_path):
    random = np.random.default_rng(7)
    stacked, apart = {}, {}
    for layer in range(2):
        for kind, shape in (("gate", (4, 128, 64)), ("up", (4, 128, 64)), ("down", (4, 64, 128))):
            values, name = random.standard_normal(shape, np.float32) / 9, f"blk.{layer}.ffn_{kind}"
            stacked[f"{name}_exps.weight"] = values
            apart |= {f"{name}_exps.weight": None}
            apart |= {f"{name}.{n}.weight": values[n] for n in range(4)}
    paths = [
        write_model(tmp_path / f"{count}.gguf", "llama-moe", tensors=tensors)
        for count, tensors in ((1, stacked), (4, apart))
    ]
    new, old = (logits_of(path, np.array(ids_of(9), np.int32), "cpu") for path in paths)
    np.testing.assert_array_equal(old, new)


@pytest.mark.parametrize("backend", ["reference", "cpu"])
@pytest.mark.parametrize("preset", CAUSAL_PRESETS)
def test_incremental_equals_full(made, preset, backend):
    ids = ids_of(12)
    positions, close = open_positions(made(preset), backend)
    full = positions.all_logits(ids := sequence_of(made(preset), ids))
    positions.reuse([])
    rows = []
    for count in range(len(ids) - len(full) + 1, len(ids) + 1):
        for _ in positions.prefill(ids[:count]):
            pass
        rows.append(positions.logits.copy())
    close()
    if backend == "cpu":
        np.testing.assert_array_equal(np.stack(rows), full)
    else:  # NumPy's BLAS sums in another order for one row than for many
        assert nmse(np.stack(rows), full) < 1e-10


@pytest.mark.parametrize("preset", sorted(PRESETS))
def test_a_model_can_be_split_before_each_layer_or_names_one_where_it_cannot(made, preset):
    file = GGUF.open(made(preset))
    program = loading.build(file, loading.trained_context(file))
    assert (program.entangled_layer is not None) == (preset in ENTANGLED)
    if program.entangled_layer is None:
        for layer in range(1, program.layers):
            before, behind = program.split(layer)
            assert before.layers == layer and behind.layers == program.layers


@pytest.mark.parametrize("preset", sorted(PRESETS.keys() - CAUSAL_PRESETS))
def test_a_model_that_sees_whole_runs_gives_the_same_bytes_on_any_number_of_threads(made, preset):
    ids, results = ids_of(90), []
    for threads in (1, 2, 5):
        window, close = open_positions(made(preset), "cpu", "f16", threads, chunk=90)
        results.append(window.all_logits(ids))
        close()
    assert not np.array_equal(results[0][0], results[0][-1])
    for other in results[1:]:
        np.testing.assert_array_equal(results[0], other)


def test_a_sequence_that_does_not_fit_into_a_pass_is_refused_where_tokens_see_it_all(made):
    window, close = open_positions(made("llada"), "cpu", "f16", chunk=16)
    with pytest.raises(UsageError, match="17 tokens that see each other, but a pass takes 16"):
        window.all_logits(ids_of(17))
    assert len(window.all_logits(ids_of(16))) == 16
    close()


@pytest.mark.parametrize("preset", ["llama", "gpt-oss", "gemma2", "falcon-h1", "rwkv7"])
def test_bytes_do_not_depend_on_threads_or_chunk(made, preset):
    ids, path = ids_of(300, seed=5), made(preset)
    results = []
    for threads, chunk in [(1, 256), (2, 256), (4, 64), (3, 1)]:
        positions, close = open_positions(path, "cpu", "f16", threads, chunk)
        for _ in positions.prefill(ids):
            pass
        results.append(positions.logits.copy())
        close()
    for other in results[1:]:
        np.testing.assert_array_equal(results[0], other)


@pytest.mark.parametrize("preset", ["gemma2", "gemma3n", "gemma4", "gpt-oss", "gpt2", "llama"])
def test_rows_that_are_left_out_do_not_change_the_wanted_one(made, preset):
    ids = ids_of(90)
    positions, close = open_positions(made(preset), "cpu", "f16", chunk=32)
    every = positions.all_logits(ids)
    positions.reuse([])
    for _ in positions.prefill(ids):
        pass
    np.testing.assert_array_equal(positions.logits, every[-1])
    close()


def test_a_profile_of_more_tokens_than_a_pass_takes_is_refused(made):
    positions, close = open_positions(made("llama"), "cpu", "f16", 1, chunk=16)
    with pytest.raises(UsageError, match="a pass takes 16"):
        positions.profile(ids_of(17))
    assert positions.profile(ids_of(16))
    close()


def test_a_reused_prefix_gives_the_same_bytes(made):
    ids = ids_of(40)
    positions, close = open_positions(made("llama"), "cpu", "f16")
    for _ in positions.prefill(ids):
        pass
    cold = positions.logits.copy()
    other = [*ids[:25], 7, 8, 9]
    assert positions.reuse(other) == 25
    for _ in positions.prefill(other):
        pass
    assert positions.reuse(ids) == 25
    for _ in positions.prefill(ids):
        pass
    np.testing.assert_array_equal(positions.logits, cold)
    close()


def test_an_f16_cache_is_close_to_an_f32_cache(made):
    ids = ids_of(30)
    rows = []
    for kv in ("f32", "f16"):
        positions, close = open_positions(made("llama"), "cpu", kv)
        rows.append(positions.all_logits(ids))
        close()
    assert 0 < nmse(rows[1], rows[0]) < 1e-5  # 11 bits of mantissa


def test_the_cache_grows_as_it_is_used(made):
    positions, close = open_positions(made("llama"), "cpu")
    cache = positions._state
    positions.append([5])
    assert len(cache.blocks) == 1
    for _ in positions.prefill(ids_of(300)):
        pass
    assert len(cache.blocks) == 2
    positions.reuse(ids_of(10))
    assert len(cache.blocks) == 1
    close()


def test_an_old_layout_of_a_delta_net_gives_the_same_logits(made, tmp_path):
    """`ssm_in` holds for each head of keys q, k, and two heads of v and of z."""
    new, ids = made("qwen3next"), np.array(ids_of(20), np.int32)
    tensors = {
        name: dequantize(each.format, each.data).reshape(each.shape)
        for name, each in GGUF.open(new).tensors.items()
    }
    fused, z = (tensors[name] for name in ("blk.0.attn_qkv.weight", "blk.0.attn_gate.weight"))
    parts = [part.reshape(2, -1, 64) for part in (fused[:32], fused[32:64], fused[64:], z)]
    tensors["blk.0.ssm_in.weight"] = np.concatenate(parts, 1).reshape(-1, 64)
    changed = tensors | {"blk.0.attn_qkv.weight": None, "blk.0.attn_gate.weight": None}
    old = write_model(tmp_path / "old.gguf", "qwen3next", tensors=changed)
    np.testing.assert_array_equal(logits_of(old, ids, "cpu"), logits_of(new, ids, "cpu"))
