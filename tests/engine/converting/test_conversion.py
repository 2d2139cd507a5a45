"""`lepton convert`: converted models compute what transformers' weights compute."""

import json
from pathlib import Path

import numpy as np
import pytest
from make_folder import KINDS, Made, write_folder
from numpy_models import logits as expected_logits
from passes import nmse, prompts_of, resources

from lepton_cli.__main__ import run
from lepton_cli.engine.converting.families import FAMILIES
from lepton_cli.engine.decoding.window import Passes, Window
from lepton_cli.engine.files.checking import verify
from lepton_cli.engine.loading import plan as loading
from ops.backend import backend_of
from ops.memory_plan import Limits
from quant.gguf import GGUF

IDS = np.random.default_rng(3).integers(5, 23, 11).tolist()
ROUNDING = 1e-9
"""Of float32 sums beside float64 ones."""


@pytest.fixture
def convert(tmp_path, capfd):
    """Runs the command; gives the file."""

    def call(folder: Path, *options: str) -> GGUF:
        out = tmp_path / "out.gguf"
        out.unlink(missing_ok=True)
        code = run(["convert", str(folder), str(out), *options])
        assert (code, capfd.readouterr().err) == (0, "")
        assert verify(out, {}).faults == ()
        return GGUF.open(out)

    return call


def computed(file: GGUF, ids=IDS) -> np.ndarray:
    """The logits, or the last rows of an encoder."""
    program = loading.build(file, loading.trained_context(file))
    limits = Limits(32, 32)
    runner = backend_of("reference", ("f32", "f32"), resources()).open(program, limits)
    whole, prompts = program.sees_whole_runs, prompts_of(program)
    return Window(Passes(runner, 32, 32, whole=whole, prompts=prompts), 64).all_logits(ids)


@pytest.mark.parametrize("kind", KINDS)
def test_the_converted_model_computes_what_the_weights_compute(tmp_path, convert, kind):
    made = write_folder(tmp_path / "m", kind)
    found = computed(convert(made.path, "--type", "F32"))
    assert nmse(found, expected_logits(made, IDS).astype(np.float32)) < ROUNDING


def test_every_architecture_is_converted_by_a_test():
    tried = {name for kind in KINDS.values() for name in kind.config["architectures"]}
    assert {FAMILIES[name] for name in tried} == set(FAMILIES.values())


ROUNDED = {"F16": 1e-5, "BF16": 1e-3, "Q8_0": 5e-3}


@pytest.mark.parametrize("kind", ROUNDED)
def test_matrices_get_the_type_that_is_asked_for(tmp_path, convert, kind):
    made = write_folder(tmp_path / "m", "llama")
    file = convert(made.path, "--type", kind)
    for name, tensor in file.tensors.items():
        assert tensor.format.name == ("F32" if len(tensor.shape) == 1 else kind), name
    assert nmse(computed(file), expected_logits(made, IDS).astype(np.float32)) < ROUNDED[kind]
    numbers = {"F16": 1, "BF16": 32, "Q8_0": 7}
    assert file.metadata.integer("general.file_type") == numbers[kind]


@pytest.mark.parametrize(("stored", "kept"), [("F32", "F16"), ("F16", "F16"), ("BF16", "BF16")])
def test_without_a_type_the_weights_keep_theirs(tmp_path, convert, stored, kept):
    made = write_folder(tmp_path / "m", "llama", dtype=stored)
    file = convert(made.path)
    assert file.tensors["output.weight"].format.name == kept
    if stored == kept:
        assert nmse(computed(file), expected_logits(made, IDS).astype(np.float32)) < ROUNDING


def test_rows_that_do_not_fill_blocks_become_f16(tmp_path, convert):
    narrow = {
        f"model.layers.{n}.mlp.{name}_proj.weight": np.full(shape, 0.1, np.float32)
        for n in range(2)
        for name, shape in {"gate": (40, 64), "up": (40, 64), "down": (64, 40)}.items()
    }
    made = write_folder(tmp_path / "m", "llama", config={"intermediate_size": 40}, tensors=narrow)
    file = convert(made.path, "--type", "Q8_0")
    assert file.tensors["blk.0.ffn_down.weight"].format.name == "F16"
    assert file.tensors["blk.0.ffn_up.weight"].format.name == "Q8_0"


def test_the_table_of_positions_stays_whole(tmp_path, convert):
    file = convert(write_folder(tmp_path / "m", "gpt2").path, "--type", "Q8_0")
    assert file.tensors["position_embd.weight"].format.name == "F32"
    assert file.tensors["blk.0.attn_qkv.weight"].format.name == "Q8_0"


def test_several_files_are_read_by_their_index(tmp_path, convert):
    one, three = (write_folder(tmp_path / str(n), "qwen3", files=n) for n in (1, 3))
    a = convert(one.path, "--type", "F32")
    found = {name: tensor.data.tobytes() for name, tensor in a.tensors.items()}
    b = convert(three.path, "--type", "F32")
    assert found == {name: tensor.data.tobytes() for name, tensor in b.tensors.items()}


@pytest.mark.parametrize("kind", ["llama", "gpt2"])
def test_a_large_tensor_is_converted_in_pieces(tmp_path, convert, monkeypatch, kind):
    made = write_folder(tmp_path / "m", kind)
    whole = convert(made.path, "--type", "Q8_0")
    found = {name: tensor.data.tobytes() for name, tensor in whole.tensors.items()}
    monkeypatch.setattr("lepton_cli.engine.converting.conversion.PIECE", 500)
    cut = convert(made.path, "--type", "Q8_0")
    assert found == {name: tensor.data.tobytes() for name, tensor in cut.tensors.items()}


def test_a_model_that_also_sees_is_converted_without_its_eyes(tmp_path, convert):
    made = write_folder(tmp_path / "m", "gemma3")
    text = dict(made.config)
    seeing = Path(tmp_path / "s")
    eye = {"vision_tower.encoder.weight": np.ones((4, 4), np.float32)}
    named = {f"language_model.{name}": value for name, value in made.weights.items()}
    write_folder(
        seeing,
        "gemma3",
        config={**dict.fromkeys(text), "text_config": text, "num_hidden_layers": None}
        | {"architectures": ["Gemma3ForConditionalGeneration"]},
        tensors={**dict.fromkeys(made.weights), **named, **eye},
    )
    assert (
        nmse(
            computed(convert(seeing, "--type", "F32")),
            expected_logits(made, IDS).astype(np.float32),
        )
        < ROUNDING
    )


def test_gemma_3_has_the_sizes_that_transformers_does_not_write(tmp_path, convert):
    """As of the 4B model, whose text_config names neither heads nor their width."""
    heads = {"q_proj": (8 * 256, 64), "k_proj": (4 * 256, 64), "v_proj": (4 * 256, 64)}
    shapes = {**heads, "o_proj": (64, 8 * 256), "q_norm": (256,), "k_norm": (256,)}
    tensors = {
        f"model.layers.0.self_attn.{name}.weight": np.ones(shape, np.float32)
        for name, shape in shapes.items()
    }
    unnamed = ("num_attention_heads", "num_key_value_heads", "head_dim", "rms_norm_eps")
    positions = ("max_position_embeddings", "rope_theta", "rope_local_base_freq")
    config = {**dict.fromkeys((*unnamed, *positions)), "num_hidden_layers": 1}
    keys = convert(write_folder(tmp_path / "m", "gemma3", config=config, tensors=tensors).path)
    found = {key.removeprefix("gemma3."): value for key, value in keys.metadata.items()}
    assert (found["attention.head_count"], found["attention.head_count_kv"]) == (8, 4)
    assert (found["attention.key_length"], found["context_length"]) == (256, 131072)
    assert found["attention.layer_norm_rms_epsilon"] == pytest.approx(1e-6)
    assert (found["rope.freq_base"], found["rope.freq_base_swa"]) == (1_000_000, 10_000)


# --- keys


def test_the_keys_are_those_of_llama_cpp(tmp_path, convert):
    made = write_folder(tmp_path / "my-model-1B-v2", "llama")
    (made.path / "generation_config.json").write_text('{"temperature": 0.6, "top_p": 0.9}')
    keys = convert(made.path).metadata
    assert keys.string("general.architecture") == "llama"
    assert keys.string("general.type") == "model"
    assert keys.string("general.name") == "My Model 1B v2"
    assert keys.number("general.sampling.temp") == pytest.approx(0.6)
    assert keys.integer("general.quantization_version") == 2
    assert keys.integer("llama.block_count") == 2
    assert keys.integer("llama.context_length") == 128
    assert keys.integer("llama.attention.head_count_kv") == 2
    assert keys.integer("llama.rope.dimension_count") == 16
    assert keys.number("llama.rope.freq_base") == 5000


def test_a_folder_of_the_hubs_cache_is_named_by_its_repository(tmp_path, convert):
    path = tmp_path / "models--someone--tiny-llama" / "snapshots" / ("0" * 40)
    keys = convert(write_folder(path, "llama").path).metadata
    assert keys.string("general.name") == "Tiny Llama"


def test_scaled_positions_are_told(tmp_path, convert):
    yarn = {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 32}
    keys = convert(
        write_folder(tmp_path / "y", "qwen2", config={"rope_scaling": yarn}).path
    ).metadata
    assert keys.string("qwen2.rope.scaling.type") == "yarn"
    assert keys.number("qwen2.rope.scaling.factor") == 4
    assert keys.integer("qwen2.rope.scaling.original_context_length") == 32
    newer = {"rope_theta": None, "rope_parameters": {"rope_type": "default", "rope_theta": 777.0}}
    keys = convert(write_folder(tmp_path / "n", "qwen2", config=newer).path).metadata
    assert keys.number("qwen2.rope.freq_base") == 777


@pytest.mark.parametrize(
    ("kind", "mode", "number"),
    [("bert", "mean_tokens", 1), ("bert", "cls_token", 2), ("qwen3", "lasttoken", 3)],
)
def test_the_pooling_of_a_model_for_embeddings_is_told(tmp_path, convert, kind, mode, number):
    made = write_folder(tmp_path / "m", kind)
    (made.path / "1_Pooling").mkdir()
    text = json.dumps({f"pooling_mode_{mode}": True})
    (made.path / "1_Pooling" / "config.json").write_text(text)
    keys = convert(made.path).metadata
    assert keys.integer(f"{kind}.pooling_type") == number
    assert keys.get("bert.attention.causal", False) is False


# --- bad input


@pytest.fixture
def refusal(tmp_path, capfd):
    def call(folder: Path, code: int, *options: str) -> str:
        out = tmp_path / "out.gguf"
        assert run(["convert", str(folder), str(out), *options]) == code
        assert not out.exists()
        return capfd.readouterr().err

    return call


@pytest.fixture
def made(tmp_path) -> Made:
    return write_folder(tmp_path / "m", "llama", files=2)


def test_a_missing_file_of_weights_is_named(made, refusal):
    (made.path / "model-00002-of-00002.safetensors").unlink()
    err = refusal(made.path, 3)
    assert "model-00002-of-00002.safetensors is missing, one of 2 files" in err


def test_a_tensor_that_the_index_names_has_to_be_there(made, refusal):
    index = made.path / "model.safetensors.index.json"
    table = json.loads(index.read_text())
    table["weight_map"]["model.extra"] = "model-00001-of-00002.safetensors"
    index.write_text(json.dumps(table))
    assert "the tensor model.extra" in refusal(made.path, 3)


@pytest.mark.parametrize("places", [["a"], "a", {"a": 3}, {"a": None}, 5])
def test_an_index_that_names_no_files_is_refused(made, refusal, places):
    text = json.dumps({"weight_map": places})
    (made.path / "model.safetensors.index.json").write_text(text)
    assert "its weight_map names no files" in refusal(made.path, 3)


def test_an_unknown_architecture_is_refused_with_the_known_ones(tmp_path, refusal):
    made = write_folder(tmp_path / "m", "llama", config={"architectures": ["MambaForCausalLM"]})
    err = refusal(made.path, 2)
    assert "MambaForCausalLM" in err and "LlamaForCausalLM" in err


def test_quantized_weights_are_refused(tmp_path, refusal):
    config = {"quantization_config": {"quant_method": "gptq"}}
    err = refusal(write_folder(tmp_path / "m", "llama", config=config).path, 2)
    assert "quant_method gptq" in err


def test_a_folder_without_tokenizer_is_refused(made, refusal):
    (made.path / "tokenizer.model").unlink()
    assert "has no tokenizer" in refusal(made.path, 2)


def test_pickles_are_refused(tmp_path, refusal):
    made = write_folder(tmp_path / "m", "llama")
    (made.path / "model.safetensors").rename(made.path / "pytorch_model.bin")
    assert "is a pickle, which can run any program" in refusal(made.path, 2)


def test_what_is_no_folder_is_refused(tmp_path, refusal):
    assert "does not exist" in refusal(tmp_path / "none", 2)
    (tmp_path / "file").write_text("")
    assert "is a file" in refusal(tmp_path / "file", 2)
    (tmp_path / "empty").mkdir()
    assert "has no config.json" in refusal(tmp_path / "empty", 2)


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({"hidden_size": None}, "hidden_size is missing"),
        ({"hidden_size": "64"}, "hidden_size is '64', not an integer"),
        ({"rms_norm_eps": "x"}, "rms_norm_eps is 'x', not a number"),
        ({"num_attention_heads": 7}, "num_attention_heads"),
        ({"num_key_value_heads": 0}, "num_key_value_heads is 0"),
        ({"num_hidden_layers": 1 << 20}, "num_hidden_layers is 1048576"),
        ({"vocab_size": 1 << 40}, "vocab_size"),
        ({"hidden_size": -64}, "hidden_size is -64"),
        ({"rms_norm_eps": 1e300}, "rms_norm_eps is 1e+300"),
        ({"rms_norm_eps": 10**400}, "rms_norm_eps is 1000000"),
    ],
)
def test_a_configuration_that_does_not_fit_is_refused(tmp_path, refusal, config, said):
    assert said in refusal(write_folder(tmp_path / "m", "llama", config=config).path, 3)


def test_factors_of_positions_that_do_not_fit_together_are_refused(tmp_path, refusal):
    for n, wrong in enumerate(({"factor": 0.0}, {"low_freq_factor": 4.0}, {"rope_theta": 0.0})):
        config = {"rope_scaling": {**KINDS["llama3"].config["rope_scaling"], **wrong}}
        folder = write_folder(tmp_path / str(n), "llama3", config=config).path
        assert "do not fit together" in refusal(folder, 3)


@pytest.mark.parametrize("wrong", ["x", None, True, 10**400, float("nan")])
def test_a_factor_that_is_no_number_is_refused(tmp_path, refusal, wrong):
    long = {**KINDS["phi3-long"].config["rope_scaling"], "long_factor": [1.0] * 7 + [wrong]}
    made = write_folder(tmp_path / "m", "phi3-long", config={"rope_scaling": long})
    assert "long_factor is " in refusal(made.path, 3)


def test_positions_that_are_scaled_in_an_unknown_way_are_refused(tmp_path, refusal):
    config = {"rope_scaling": {"rope_type": "twisted", "factor": 2.0}}
    assert "'twisted'" in refusal(write_folder(tmp_path / "m", "qwen2", config=config).path, 2)


@pytest.mark.parametrize(
    ("tensors", "said"),
    [
        ({"model.norm.weight": None}, "output_norm.weight"),
        ({"model.layers.1.mlp.up_proj.weight": None}, "blk.1.ffn_up.weight"),
        ({"model.what.weight": np.ones(4, np.float32)}, "model.what.weight has no place in"),
        ({"model.norm.weight": np.ones(5, np.float32)}, "output_norm"),
        ({"model.norm.weight": np.float32(1)}, "output_norm"),
    ],
)
def test_tensors_that_are_missing_or_wrong_are_named(tmp_path, refusal, tensors, said):
    assert said in refusal(write_folder(tmp_path / "m", "llama", tensors=tensors).path, 3)


def test_a_weight_that_the_type_cannot_hold_is_refused(tmp_path, refusal):
    big = np.full((64, 64), 1e6, np.float32)
    tensors = {"model.layers.0.self_attn.o_proj.weight": big}
    made = write_folder(tmp_path / "m", "llama", tensors=tensors)
    assert "which F16 cannot hold" in refusal(made.path, 1, "--type", "F16")
    assert "--type is 'Q4_K'" in refusal(made.path, 2, "--type", "Q4_K")


@pytest.mark.parametrize(("kind", "value"), [("Q8_0", 1e7), ("BF16", 3.4e38), ("F32", np.inf)])
def test_what_would_become_infinite_is_refused(tmp_path, refusal, kind, value):
    big = np.full((64, 64), value, np.float32)
    tensors = {"model.layers.0.self_attn.o_proj.weight": big}
    made = write_folder(tmp_path / "m", "llama", tensors=tensors)
    assert f"which {kind} cannot hold" in refusal(made.path, 1, "--type", kind)
