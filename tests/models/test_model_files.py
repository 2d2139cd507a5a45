"""What files may hold: keys and tensors that do not fit are named, odd ones are followed."""

from pathlib import Path

import numpy as np
import pytest
from make_gguf import write_model
from passes import ids_of, logits_of, nmse
from presets_gguf import PRESETS

import lepton_cli
from lepton_cli.engine.loading import plan as loading
from lepton_cli.models.parts.attention import falling_slopes
from ops.operations.attention import Attention, Rotate
from ops.operations.norms import RmsNorm
from quant.errors import ModelFileError, UsageError
from quant.format import FORMATS
from quant.gguf import GGUF


def refused(path: Path) -> str:
    file = GGUF.open(path)
    with pytest.raises(ModelFileError) as caught:
        loading.build(file, loading.trained_context(file))
    assert str(path) in caught.value.message
    return caught.value.message


@pytest.mark.parametrize("name", ["token_embd.weight", "blk.1.attn_k.weight", "output_norm.weight"])
def test_a_missing_tensor_is_named(tmp_path, name):
    path = write_model(tmp_path / "m.gguf", tensors={name: None})
    assert name in refused(path)


@pytest.mark.parametrize(
    ("preset", "name"),
    [
        ("jamba", "blk.0.ssm_c_norm.weight"),
        ("mamba", "blk.0.ssm_dt.bias"),
        ("mamba", "blk.1.ssm_conv1d.bias"),
        ("mamba2", "blk.0.ssm_norm.weight"),
    ],
)
def test_a_missing_tensor_of_a_state_space_is_named(tmp_path, preset, name):
    assert name in refused(write_model(tmp_path / "m.gguf", preset, tensors={name: None}))


@pytest.mark.parametrize("size", [7, 1 << 20])
@pytest.mark.parametrize("preset", ["rwkv6", "rwkv6qwen2", "rwkv7"])
def test_heads_that_do_not_fit_a_recurrent_model_are_refused(tmp_path, preset, size):
    message = refused(
        write_model(tmp_path / "m.gguf", preset, metadata={f"{preset}.wkv.head_size": size})
    )
    assert "time_mix_receptance" in message


def test_nemotron_files_may_name_the_epsilon_of_their_norms_as_that_of_layer_norms(tmp_path):
    eps = {
        "nemotron_h.attention.layer_norm_rms_epsilon": None,
        "nemotron_h.attention.layer_norm_epsilon": 2e-5,
    }
    file = GGUF.open(write_model(tmp_path / "m.gguf", "nemotron_h", metadata=eps))
    operations = loading.build(file, 256).operations
    [used] = {operation.eps for operation in operations if isinstance(operation, RmsNorm)}
    assert used == pytest.approx(2e-5)


def test_a_tensor_of_the_wrong_shape_is_named(tmp_path):
    wrong = np.zeros((64, 48), np.float32)
    path = write_model(tmp_path / "m.gguf", tensors={"blk.0.ffn_up.weight": wrong})
    assert "blk.0.ffn_up" in refused(path)


def test_a_tensor_that_nobody_uses_is_named(tmp_path):
    path = write_model(tmp_path / "m.gguf", tensors={"blk.0.attn_q_norm.weight": "d"})
    assert "blk.0.attn_q_norm.weight" in refused(path)


@pytest.mark.parametrize(
    "key", ["llama.block_count", "llama.embedding_length", "llama.attention.head_count"]
)
def test_a_missing_key_is_named(tmp_path, key):
    assert key in refused(write_model(tmp_path / "m.gguf", metadata={key: None}))


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("llama.block_count", 0),
        ("llama.block_count", 3),
        ("llama.attention.head_count", 0),
        ("llama.attention.head_count", 3),
        ("llama.attention.head_count_kv", 3),
        ("llama.rope.dimension_count", 999),
        ("llama.rope.dimension_count", 3),
        ("llama.embedding_length", "many"),
        ("llama.context_length", 0),
        ("llama.rope.scaling.type", "spiral"),
    ],
)
def test_absurd_hyper_parameters_are_refused(tmp_path, key, value):
    refused(write_model(tmp_path / "m.gguf", metadata={key: value}))


@pytest.mark.parametrize(
    ("name", "preset", "nearest"),
    [
        ("llama5", "llama", "those of llama;"),
        ("griffin", "qwen3", "those of qwen3"),
        ("qwen2-x", "qwen2", "those of qwen2"),
        ("gemma9", "gpt2", "the most similar known names are gemma"),
        ("zzz", "gpt2", "no known name is similar; `lepton models --architectures` lists"),
    ],
)
def test_an_unknown_architecture_is_named_with_what_it_is_most_like(
    tmp_path, name, preset, nearest
):
    """The file's own keys carry its name, so that a known architecture can read them."""
    architecture = PRESETS[preset].architecture
    known = GGUF.open(write_model(tmp_path / "known.gguf", preset)).metadata
    keys = {key for key in known if key.startswith(f"{architecture}.")}
    renamed = {name + key.removeprefix(architecture): known[key] for key in keys}
    metadata = renamed | {"general.architecture": name}
    odd = {"blk.0.odd.weight": "D"} if preset == "gpt2" else {}
    path = write_model(tmp_path / "m.gguf", preset, metadata=metadata, tensors=odd)
    with pytest.raises(ModelFileError) as caught:
        loading.trained_context(GGUF.open(path))
    assert name in caught.value.message and nearest in (caught.value.hint or "")


@pytest.mark.parametrize(
    ("shared", "pattern", "named"),
    [
        (4, [True, False, True, False], "layer 0 has no keys, and no local layer before it"),
        (2, [True, True, True, False], "layer 3 has no keys, and no global layer before it"),
        (1, [True, False, True], "sliding_window_pattern has 3 entries for 4 layers"),
    ],
)
def test_keys_that_no_earlier_layer_has_are_named(tmp_path, shared, pattern, named):
    keys = {"shared_kv_layers": shared, "sliding_window_pattern": pattern}
    metadata = {f"gemma4.attention.{key}": value for key, value in keys.items()}
    assert named in refused(write_model(tmp_path / "m.gguf", "gemma4", metadata=metadata))


@pytest.mark.parametrize(
    ("preset", "tensor", "values"),
    [
        ("llama", "rope_freqs.weight", np.ones(3)),
        ("llama", "token_embd.weight", np.zeros((2, 172, 64))),
        ("llama", "blk.0.attn_q.weight", np.zeros((2, 32, 64))),
        ("llama", "blk.0.attn_q.weight", np.zeros(64)),
        ("llama", "blk.0.attn_q.bias", np.zeros((2, 32))),
        ("llama", "blk.0.attn_norm.weight", np.zeros((2, 64))),
        ("llama-moe", "blk.0.ffn_up_exps.weight", np.zeros((1, 128, 64))),
        ("llama-moe", "blk.0.ffn_up_exps.weight", np.zeros((128, 64))),
        ("gpt2", "position_embd.weight", np.zeros((5, 64))),
        ("gpt2", "output_norm.bias", np.zeros((2, 64))),
        ("gpt-oss", "blk.0.attn_sinks.weight", np.zeros((4, 4))),
        ("gpt-oss", "blk.1.ffn_down_exps.bias", np.zeros(64)),
        ("gpt2", "blk.0.attn_qkv.bias", np.zeros(1)),
        ("mamba", "blk.0.ssm_conv1d.weight", np.zeros((72, 5))),
        ("mamba", "blk.0.ssm_a", np.zeros((72, 9))),
        ("mamba2", "blk.0.ssm_conv1d.bias", np.zeros(1)),
        ("mamba2", "blk.0.ssm_norm.weight", np.zeros(72)),
        ("jamba", "blk.0.ssm_b_norm.weight", np.zeros(1)),
        ("minimax-01", "blk.0.attn_gate.weight", np.zeros((65, 64))),
        ("plamo2", "blk.0.ssm_in.weight", np.zeros((145, 64))),
        ("rwkv6", "blk.0.time_mix_w2.weight", np.zeros((6, 64, 8))),
        ("rwkv7", "blk.0.time_mix_k_k.weight", np.zeros(1)),
        ("rwkv7", "blk.0.time_mix_receptance.weight", np.zeros((65, 64))),
        ("gemma4", "per_layer_token_embd.weight", np.zeros((344, 31))),
        ("gemma4", "per_layer_model_proj.weight", np.zeros((40, 64))),
        ("gemma4", "blk.2.attn_q_norm.weight", np.zeros(8)),
        ("gemma4", "blk.0.layer_output_scale.weight", np.zeros(3)),
        ("gemma4-moe", "blk.0.ffn_gate_up_exps.weight", np.zeros((4, 272, 64))),
        ("gemma4-moe", "blk.0.ffn_gate_inp.scale", np.zeros(1)),
        ("gemma3n", "altup_proj.weight", np.zeros((2, 64, 64))),
        ("gemma3n", "blk.0.altup_predict_coef.weight", np.zeros((32, 4))),
        ("gemma3n", "blk.0.altup_correct_coef.weight", np.zeros((8, 4))),
        ("olmo2", "blk.0.attn_q_norm.weight", np.zeros(16)),
        ("stablelm", "blk.0.attn_q_norm.weight", np.zeros((3, 16))),
        ("stablelm", "blk.0.attn_k_norm.weight", np.zeros((2, 2, 16))),
        ("spark2_5", "blk.0.attn_gate.weight", np.zeros((3, 64))),
        ("talkie", "blk.0.attn_q_norm.weight", np.zeros((5, 1))),
        ("talkie", "blk.0.layer_output_scale.weight", np.zeros(3)),
        ("talkie", "blk.1.attn_k.weight", np.zeros((33, 64))),
        ("mpt", "blk.0.ffn.act.scales", np.zeros(128)),
        ("plamo3", "blk.0.post_attention_norm", np.zeros(63)),
        ("hrm_text", "hrm.z_l_init", np.zeros(63)),
    ],
)
def test_tensors_of_absurd_shapes_are_refused_by_name(tmp_path, preset, tensor, values):
    tensors = {tensor: values.astype(np.float32)}
    message = refused(write_model(tmp_path / "m.gguf", preset, tensors=tensors))
    assert tensor.removesuffix(".weight") in message


def test_a_bias_that_nobody_adds_is_refused(tmp_path):
    for name in ("output_norm.bias", "token_embd.bias", "blk.0.ffn_norm.scale"):
        path = write_model(tmp_path / "m.gguf", tensors={name: np.zeros(64, np.float32)})
        assert name in refused(path)


def test_more_experts_used_than_there_are_is_refused(tmp_path):
    path = write_model(tmp_path / "m.gguf", "llama-moe", metadata={"llama.expert_used_count": 99})
    assert "expert_used_count" in refused(path)


WINDOWED = ["cohere2", "dots3note", "gpt-oss", "maple", "muse-glimmer", "spark2_5", "step35"]


@pytest.mark.parametrize("preset", WINDOWED)
def test_a_missing_window_is_named(tmp_path, preset):
    key = f"{preset}.attention.sliding_window"
    assert key in refused(write_model(tmp_path / "m.gguf", preset, metadata={key: None}))


def test_a_model_that_also_looks_ahead_does_not_generate(tmp_path):
    path = write_model(tmp_path / "m.gguf", metadata={"llama.attention.causal": False})
    with pytest.raises(UsageError, match=r"is an encoder \(llama\)"):
        lepton_cli.load(path, pooling=None)


@pytest.mark.parametrize("entries", [[4], [4, 4, 4]])
@pytest.mark.parametrize("key", ["attention.head_count", "attention.head_count_kv"])
def test_a_list_with_another_number_of_entries_than_there_are_layers_is_refused(
    tmp_path, key, entries
):
    path = write_model(tmp_path / "m.gguf", metadata={f"llama.{key}": entries})
    assert f"{key} has {len(entries)} entries for 2 layers" in refused(path)


def test_a_list_of_local_layers_is_checked_and_followed(tmp_path):
    key = "gpt-oss.attention.sliding_window_pattern"

    def windows(pattern: list[bool]) -> list[int | None]:
        path = write_model(tmp_path / "m.gguf", "gpt-oss", metadata={key: pattern})
        operations = loading.build(GGUF.open(path), 256).operations
        return [op.heads.window for op in operations if isinstance(op, Attention)]

    assert windows([False, True]) == [None, 8]
    assert windows([True, True]) == [8, 8]
    with pytest.raises(ModelFileError, match="pattern has 3 entries for 2 layers"):
        windows([True, True, True])


def frequencies(path: Path) -> np.ndarray:
    operations = loading.build(GGUF.open(path), 256).operations
    return next(op.rope.frequencies for op in operations if isinstance(op, Rotate))


def test_only_architectures_that_define_the_keys_of_yarn_read_them(tmp_path):
    def made(architecture: str, **keys: float) -> np.ndarray:
        scaling = {"type": "yarn", "factor": 4.0, "original_context_length": 8192, **keys}
        metadata = {f"{architecture}.rope.scaling.{key}": scaling[key] for key in scaling}
        return frequencies(write_model(tmp_path / "m.gguf", architecture, metadata=metadata))

    np.testing.assert_array_equal(made("llama", yarn_beta_fast=4.0), made("llama"))
    assert np.any(made("mistral3", yarn_beta_fast=4.0) != made("mistral3"))


def test_what_follows_the_fourth_axis_does_not_turn_in_text(tmp_path):
    """Of pairs in turn by three axes, those beyond an axis's share belong to the fourth."""
    pattern = {"qwen3vl.rope.dimension_sections": [3, 2, 2, 1]}
    got = frequencies(write_model(tmp_path / "m.gguf", "qwen3vl", metadata=pattern))
    assert np.flatnonzero(got == 0).tolist() == [7]
    whole = {"qwen3vl.rope.dimension_sections": [0, 0, 0, 0]}
    assert np.all(frequencies(write_model(tmp_path / "n.gguf", "qwen3vl", metadata=whole)))


@pytest.mark.parametrize("sections", [[3, 2], [3, 2, 2, 0, 0], [3, -1, 2, 0]])
def test_absurd_sections_of_axes_are_refused(tmp_path, sections):
    metadata = {"qwen3vl.rope.dimension_sections": sections}
    path = write_model(tmp_path / "m.gguf", "qwen3vl", metadata=metadata)
    assert "dimension_sections" in refused(path)


def test_a_layer_that_a_search_emptied_passes_on_what_entered(tmp_path):
    """Deci: no heads, no heads of keys and values, no feed-forward."""
    attention, dense = "attn_norm attn_q attn_k attn_v attn_output", "ffn_norm ffn_gate ffn_up"
    gone = {0: attention, 1: "attn_q attn_k attn_v", 2: f"{attention} {dense} ffn_down"}
    tensors = {f"blk.{n}.{name}.weight": None for n in gone for name in gone[n].split()}
    lists = {"attention.head_count": [0, 4, 0, 4], "attention.head_count_kv": [0, 0, 0, 2]}
    lists["feed_forward_length"] = [128, 128, 0, 128]
    metadata = {f"deci.{key}": value for key, value in lists.items()}
    path = tmp_path / "m.gguf"
    write_model(path, "deci", metadata=metadata, tensors=tensors, dimensions={"L": 4})
    program = loading.build(GGUF.open(path), 256)
    assert [state.layer for state in program.states] == [3]
    ids = np.array(ids_of(12), np.int32)
    assert nmse(logits_of(path, ids, "cpu"), logits_of(path, ids, "reference")) < 1e-10


def test_slopes_of_a_number_of_heads_that_is_no_power_of_two_lie_between():
    assert falling_slopes(4, 8.0) == (2**-2, 2**-4, 2**-6, 2**-8)
    assert falling_slopes(6, 8.0) == (2**-2, 2**-4, 2**-6, 2**-8, 2**-1, 2**-3)


def test_the_baichuan_of_forty_layers_has_slopes_in_place_of_rotary_positions(tmp_path):
    for layers, slopes in ((2, None), (40, falling_slopes(4, 8.0))):
        path = write_model(tmp_path / "m.gguf", "baichuan", dimensions={"L": layers})
        operations = loading.build(GGUF.open(path), 256).operations
        assert any(isinstance(op, Rotate) for op in operations) == (slopes is None)
        assert {op.heads.slopes for op in operations if isinstance(op, Attention)} == {slopes}


def test_chameleon_never_writes_a_picture(tmp_path):
    path = write_model(tmp_path / "m.gguf", "chameleon", dimensions={"V": 8200})
    logits = logits_of(path, np.array(ids_of(3), np.int32), "cpu")
    pictures = np.zeros(8200, bool)
    pictures[4:8196] = True
    assert np.all(logits[:, pictures] == np.finfo(np.float32).min)
    assert np.all(np.abs(logits[:, ~pictures]) < 1e3)


def test_an_hrm_whose_blocks_are_not_its_runs_is_refused(tmp_path):
    path = write_model(tmp_path / "m.gguf", "hrm_text", metadata={"hrm_text.hrm.l_cycles": 2})
    assert "block_count is 4 with 3 runs" in refused(path)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("rope.freq_base", 0.0),
        ("rope.freq_base", -1.0),
        ("rope.scaling.original_context_length", 0),
        ("rope.scaling.factor", "far"),
        ("rope.scaling.yarn_beta_fast", 0.0),
        ("rope.scaling.yarn_beta_slow", float("nan")),
        ("attention.layer_norm_rms_epsilon", float("inf")),
        ("attention.key_length", 1 << 30),
    ],
)
def test_absurd_rotary_keys_are_refused(tmp_path, key, value):
    path = write_model(tmp_path / "m.gguf", "mistral3", metadata={f"mistral3.{key}": value})
    assert key in refused(path)


def test_a_weight_of_a_type_that_holds_none_is_named(tmp_path):
    path, name = write_model(tmp_path / "m.gguf"), b"blk.0.attn_k.weight"
    raw = bytearray(path.read_bytes())
    kind = raw.index(name) + len(name) + 4 + 2 * 8  # behind the number of dimensions, and two
    raw[kind : kind + 4] = FORMATS["I32"].id.to_bytes(4, "little")
    path.write_bytes(raw)
    message = refused(path)
    assert "blk.0.attn_k.weight" in message and "I32" in message


def test_blocks_that_guess_further_tokens_are_left_out_and_no_others(tmp_path):
    further = {"blk.2.nextn.eh_proj.weight": "DD", "blk.2.attn_norm.weight": "D"}
    told = {"qwen35.block_count": 3, "qwen35.nextn_predict_layers": 1}
    told["qwen35.attention.recurrent_layers"] = [True, False, False]
    path = write_model(tmp_path / "m.gguf", "qwen35", tensors=further, metadata=told)
    loading.build(GGUF.open(path), 64)
    assert "blk.2" in refused(write_model(tmp_path / "n.gguf", "qwen35", tensors=further))
    more = further | {"blk.3.attn_norm.weight": "D"}
    path = write_model(tmp_path / "o.gguf", "qwen35", tensors=more, metadata=told)
    assert "blk.3.attn_norm" in refused(path)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("ssm.time_step_rank", 3),
        ("ssm.inner_size", 48),
        ("ssm.state_size", 0),
        ("full_attention_interval", 0),
    ],
)
def test_absurd_numbers_of_a_delta_net_are_refused(tmp_path, key, value):
    metadata = {f"qwen35.{key}": value}
    if key == "full_attention_interval":
        metadata["qwen35.attention.recurrent_layers"] = None
    assert key in refused(write_model(tmp_path / "m.gguf", "qwen35", metadata=metadata))


@pytest.mark.parametrize(
    "name", ["attn_qkv.weight", "ssm_conv1d.weight", "ssm_alpha.weight", "ssm_a", "ssm_norm.weight"]
)
def test_a_misshapen_tensor_of_a_delta_net_is_named(tmp_path, name):
    shape = (24, 64) if name.endswith("weight") and name != "ssm_norm.weight" else (3,)
    for given in (None, np.zeros(shape, np.float32)):
        path = write_model(tmp_path / "m.gguf", "qwen35", tensors={f"blk.0.{name}": given})
        assert f"blk.0.{name.removesuffix('.weight')}" in refused(path)


@pytest.mark.parametrize(
    ("key", "value", "complaint"),
    [
        ("token_ids_activate", [40], "has 1 entries for 2 adapters"),
        ("token_ids_substitute", [50, 100_000], "is [50, 100000] of"),
        ("count", 5000, "is 5000"),
    ],
)
def test_adapters_that_do_not_fit_are_refused(tmp_path, key, value, complaint):
    metadata = {f"graniteswitch.adapters.{key}": value}
    told = refused(write_model(tmp_path / "m.gguf", "graniteswitch", metadata=metadata))
    assert f"adapters.{key} {complaint}" in told


@pytest.mark.parametrize(
    ("key", "value", "complaint"),
    [
        ("ple.layers", [0, 1], "is [0, 1]"),
        ("ple.layers", [2], "is [2]"),
        ("ple.ngram_size", 1, "is 1"),
        ("ple.head_offsets", [0, 61], "has 2 entries of 4"),
        ("ple.conv_kernel", 0, "is 0"),
        ("hyper_connection.count", 100, "is 100"),
    ],
)
def test_numbers_of_ngrams_and_streams_that_do_not_fit_are_refused(tmp_path, key, value, complaint):
    path = write_model(tmp_path / "m.gguf", "qwen4exp", metadata={f"qwen4exp.{key}": value})
    assert f"qwen4exp.{key} {complaint}" in refused(path)


@pytest.mark.parametrize(
    ("key", "value", "complaint"),
    [
        ("attention.compress_ratios", [0, 4], "has 2 entries for 3 layers"),
        ("attention.compress_ratios", [0, 8, 128], "holds 8"),
        ("attention.output_group_count", 3, "is 3 of 4 heads"),
        ("hyper_connection.sinkhorn_iterations", 0, "is 0"),
        ("attention.sliding_window", 0, "is 0"),
    ],
)
def test_numbers_of_compressed_attention_that_do_not_fit_are_refused(
    tmp_path, key, value, complaint
):
    path = write_model(tmp_path / "m.gguf", "deepseek4", metadata={f"deepseek4.{key}": value})
    assert f"deepseek4.{key} {complaint}" in refused(path)


def test_a_table_that_lists_experts_holds_whole_numbers(tmp_path):
    name = "blk.0.ffn_gate_tid2eid.weight"
    floats = write_model(tmp_path / "f.gguf", "deepseek4", tensors={name: np.zeros((300, 2))})
    assert f"{name} of integers has the type F32" in refused(floats)
    keys = {"deepseek4.expert_count": 2, "deepseek4.expert_used_count": 2}
    few = write_model(tmp_path / "few.gguf", "deepseek4", metadata=keys)
    assert f"{name} holds numbers from 0 to 3, not below 2" in refused(few)
