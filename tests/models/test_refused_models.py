"""Files whose tensors do not fit their architecture: each is refused by the tensor's name."""

import re

import numpy as np
import pytest
from make_gguf import write_model
from presets_gguf import PRESETS

from lepton_cli.engine.loading import plan as loading
from quant.errors import ModelFileError
from quant.format import FORMATS
from quant.gguf import GGUF, Tensor

# as many rows as tokens, positions, or kinds of texts
FREE = ("token_embd.weight", "position_embd.weight", "token_types.weight")
OPTIONAL = ("output.weight", "position_embd.weight", ".bias", "ssm_norm.weight")
OPTIONAL += ("token_types.weight",)
OPTIONAL += ("attn_gate.weight", "attn_v.weight")


@pytest.fixture(scope="module", params=sorted(PRESETS))
def file(request, tmp_path_factory) -> GGUF:
    return GGUF.open(write_model(tmp_path_factory.mktemp("made") / "m.gguf", request.param))


def used_shapes(file: GGUF) -> list[tuple[str, tuple[int, ...]]]:
    """Of the tensors that are read; some files of gemma4 hold others."""
    used = {use.weight.name for use in loading.build(file, 256).weights()}
    return [(name, file.tensors[name].shape) for name in file.tensors if name in used]


def stem(name: str) -> str:
    return name.removesuffix(".weight")


def within(name: str) -> str:
    """What a complaint names: the tensor, or, of two that do not fit, one of the same block."""
    found = re.match(r"((enc|dec)\.)?blk\.\d+\.", name)
    return found[0] if found else stem(name)


def complaint(file: GGUF, name: str, shape: tuple[int, ...] | None) -> str:
    """What is said of the file without the tensor, or with one of another shape."""
    given = file.tensors[name]
    if shape is None:
        del file.tensors[name]
    else:
        data = np.zeros((int(np.prod(shape[:-1])), shape[-1] * 4), np.uint8)
        file.tensors[name] = Tensor(name, FORMATS["F32"], shape, data)
    try:
        with pytest.raises(ModelFileError) as caught:
            loading.build(file, 256)
    finally:
        file.tensors[name] = given
    return caught.value.message


def test_a_norm_that_is_narrower_than_what_it_meets_is_refused(file):
    for name, (*rows, columns) in used_shapes(file):
        if "norm" in name and columns > 1:
            assert stem(name) in complaint(file, name, (*rows, columns // 2))


def test_a_matrix_with_a_row_or_a_column_too_many_is_refused(file):
    for name, shape in used_shapes(file):
        if len(shape) > 1 and not name.endswith(FREE):
            *others, rows, columns = shape
            for wrong in ((*others, rows + 1, columns), (*others, rows, columns + 1)):
                assert within(name) in complaint(file, name, wrong)


def test_a_missing_matrix_is_refused_by_its_name_or_by_that_of_what_it_leaves(file):
    for name, shape in used_shapes(file):
        if len(shape) > 1 and not name.endswith(OPTIONAL):
            assert within(name) in complaint(file, name, None)


@pytest.mark.parametrize(
    ("preset", "key", "value"),
    [
        ("qwen35", "nextn_predict_layers", 2),
        ("mpt", "attention.head_count", 1 << 30),
        ("minimax-01", "attention.head_count", 1 << 30),
        ("nanbeige", "num_loops", 1 << 30),
        ("hy_v4", "hyper_connection.count", 1 << 30),
        ("llama", "attention.layer_norm_rms_epsilon", -1.0),
        ("bailingmoe2", "expert_gating_func", 9),
        ("qwen35", "ssm.conv_kernel", 5),
        ("lfm2moe", "shortconv.l_cache", 5),
    ],
)
def test_numbers_that_would_take_forever_or_do_not_fit_are_refused(tmp_path, preset, key, value):
    metadata = {f"{PRESETS[preset].architecture}.{key}": value}
    file = GGUF.open(write_model(tmp_path / "m.gguf", preset, metadata=metadata))
    with pytest.raises(ModelFileError, match=f"{key} is {value}|conv.* has the width"):
        loading.build(file, 256)


@pytest.mark.parametrize(
    ("preset", "key", "value"),
    [
        ("llama", "attention.scale", -0.5),
        ("llama", "attention.scale", float("nan")),
        ("llama", "attention.scale", float("inf")),
        ("llama", "rope.freq_base", 0.0),
        ("llama", "rope.freq_base", -10000.0),
        ("llama", "rope.freq_base", 1e30),
        ("llama", "rope.freq_base", float("nan")),
        ("llama", "rope.scaling.factor", -4.0),
        ("llama", "rope.scaling.attn_factor", -1.0),
        ("llama", "rope.scaling.attn_factor", 0.0),
        ("gemma3", "rope.freq_base_swa", -1.0),
        ("laguna", "rope.freq_base_swa", 0.5),
        ("deepseek2", "rope.scaling.yarn_log_multiplier", -1.0),
        ("hunyuan-dense", "rope.scaling.alpha", -2.0),
        ("gemma2", "attn_logit_softcapping", -50.0),
        ("gemma2", "final_logit_softcapping", -30.0),
        ("granite", "logit_scale", -8.0),
        ("granite", "residual_scale", -0.5),
        ("grok", "attention.output_scale", -0.5),
        ("mistral3", "attention.temperature_scale", -0.1),
        ("mpt", "attention.clamp_kqv", -1.0),
        ("jais", "attention.max_alibi_bias", -8.0),
        ("qwen3moe", "expert_weights_scale", -1.0),
        ("hy_v4", "hyper_connection.epsilon", -1.0),
        ("gpt2", "attention.layer_norm_epsilon", -1.0),
        ("cohere2moe", "attention.layer_norm_rms_epsilon", -1.0),
        ("bailingmoe3", "kda.gate_lower_bound", 1.0),
    ],
)
def test_numbers_without_a_meaning_are_refused_with_their_key(tmp_path, preset, key, value):
    name = f"{PRESETS[preset].architecture}.{key}"
    file = GGUF.open(write_model(tmp_path / "m.gguf", preset, metadata={name: value}))
    given = np.float32(value).item()
    with pytest.raises(ModelFileError, match=re.escape(f"the key {name} is {given}")):
        loading.build(file, 256)


@pytest.mark.parametrize(
    ("preset", "name"),
    [
        ("gpt2", "blk.1.attn_norm.bias"),
        ("gpt2", "output_norm.bias"),
        ("bloom", "token_embd_norm.bias"),
        ("falcon", "blk.0.attn_norm.bias"),
        ("stablelm", "blk.0.attn_norm.bias"),
        ("rwkv7", "blk.1.attn_norm_2.bias"),
    ],
)
def test_a_layer_norm_without_its_bias_is_refused(tmp_path, preset, name):
    file = GGUF.open(write_model(tmp_path / "m.gguf", preset, tensors={name: None}))
    with pytest.raises(ModelFileError, match=f"the tensor {name} is missing"):
        loading.build(file, 256)


@pytest.mark.parametrize("preset", ["lfm2moe", "gemma2"])
def test_a_model_whose_layers_cannot_see_whole_texts_is_refused_without_causal_attention(
    tmp_path, preset
):
    metadata = {f"{preset}.attention.causal": False}
    file = GGUF.open(write_model(tmp_path / "m.gguf", preset, metadata=metadata))
    with pytest.raises(ModelFileError, match=rf"{preset}\.attention\.causal is false"):
        loading.build(file, 256)


def test_kinds_of_texts_of_another_width_are_refused(tmp_path):
    narrow = {"token_types.weight": np.ones((2, 32), np.float32)}
    file = GGUF.open(write_model(tmp_path / "m.gguf", "bert", tensors=narrow))
    with pytest.raises(ModelFileError, match=r"token_types\.weight has the width 32"):
        loading.build(file, 256)
