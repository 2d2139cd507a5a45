"""Folders of tiny models with random weights, as transformers saves them.

made = write_folder(tmp_path / "m", "llama")     # of KINDS
made.weights["model.norm.weight"]                # float32, as stored
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from tiny_tokenizers import (
    LLAMA3,
    QWEN2,
    write_byte_pairs,
    write_json,
    write_sentence_pieces,
    write_word_pieces,
)

from quant.bits import Floats
from quant.format import FORMATS, dequantize, quantize

D, H, K, F, L = 64, 4, 2, 96, 2
NOTHING: Mapping[str, Any] = {}
Shapes = dict[str, tuple[int, ...]]


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of model: its configuration, its tokenizer, what is in it beside the table."""

    config: Mapping[str, Any]
    tokenizer: Callable[[Path], int]
    block: Mapping[str, tuple[int, ...]]
    top: Mapping[str, tuple[int, ...]]
    layer: str = "model.layers.{}."


@dataclass(frozen=True, slots=True)
class Made:
    path: Path
    config: Mapping[str, Any]
    weights: Mapping[str, Floats]


USUAL = {
    "hidden_size": D,
    "num_hidden_layers": L,
    "num_attention_heads": H,
    "num_key_value_heads": K,
    "intermediate_size": F,
    "max_position_embeddings": 128,
    "rms_norm_eps": 1e-5,
    "rope_theta": 5000.0,
}
NORMS = {"input_layernorm.weight": (D,), "post_attention_layernorm.weight": (D,)}
GEMMA_NORMS = {
    **NORMS,
    "pre_feedforward_layernorm.weight": (D,),
    "post_feedforward_layernorm.weight": (D,),
}
HEAD_NORMS = {"self_attn.q_norm.weight": (16,), "self_attn.k_norm.weight": (16,)}
ATTENTION = {
    "self_attn.q_proj.weight": (D, D),
    "self_attn.k_proj.weight": (K * 16, D),
    "self_attn.v_proj.weight": (K * 16, D),
    "self_attn.o_proj.weight": (D, D),
}
BIASES = {
    "self_attn.q_proj.bias": (D,),
    "self_attn.k_proj.bias": (K * 16,),
    "self_attn.v_proj.bias": (K * 16,),
}
GATED = {
    "mlp.gate_proj.weight": (F, D),
    "mlp.up_proj.weight": (F, D),
    "mlp.down_proj.weight": (D, F),
}
FUSED = {
    "self_attn.qkv_proj.weight": (D + 2 * K * 16, D),
    "self_attn.o_proj.weight": (D, D),
    "mlp.gate_up_proj.weight": (2 * F, D),
    "mlp.down_proj.weight": (D, F),
}
TOP = {"model.embed_tokens.weight": (0, D), "model.norm.weight": (D,)}  # 0: the tokens
HEAD = {**TOP, "lm_head.weight": (0, D)}
GPT2 = {
    **{f"ln_{n}.{part}": (D,) for n in (1, 2) for part in ("weight", "bias")},
    "attn.c_attn.weight": (D, 3 * D),
    "attn.c_attn.bias": (3 * D,),
    "attn.c_proj.weight": (D, D),
    "attn.c_proj.bias": (D,),
    "mlp.c_fc.weight": (D, 4 * D),
    "mlp.c_fc.bias": (4 * D,),
    "mlp.c_proj.weight": (4 * D, D),
    "mlp.c_proj.bias": (D,),
}
GPT2_TOP = {
    "transformer.wte.weight": (0, D),
    "transformer.wpe.weight": (128, D),
    "transformer.ln_f.weight": (D,),
    "transformer.ln_f.bias": (D,),
}
BERT = {
    f"{name}.{part}": (*shape, D if name != "output.dense" else F)[: 2 if part == "weight" else 1]
    for name, shape in {
        "attention.self.query": (D,),
        "attention.self.key": (D,),
        "attention.self.value": (D,),
        "attention.output.dense": (D,),
        "intermediate.dense": (F,),
        "output.dense": (D,),
    }.items()
    for part in ("weight", "bias")
} | {
    f"{name}.LayerNorm.{part}": (D,)
    for name in ("attention.output", "output")
    for part in ("weight", "bias")
}
BERT_TOP = {
    "embeddings.word_embeddings.weight": (0, D),
    "embeddings.position_embeddings.weight": (128, D),
    "embeddings.token_type_embeddings.weight": (2, D),
    "embeddings.LayerNorm.weight": (D,),
    "embeddings.LayerNorm.bias": (D,),
    "pooler.dense.weight": (D, D),
    "pooler.dense.bias": (D,),
}


def _llama3(folder: Path) -> int:
    return write_byte_pairs(folder, LLAMA3, ignore_merges=True)


def _qwen2(folder: Path) -> int:
    return write_byte_pairs(folder, QWEN2)


def _gpt2(folder: Path) -> int:
    return write_byte_pairs(folder, None)


SCALED = {
    "rope_type": "llama3",
    "factor": 4.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 32,
}
LONG = {
    "type": "longrope",
    "long_factor": [1.5 + n for n in range(8)],
    "short_factor": [1.0 + n / 8 for n in range(8)],
}
GEMMA = {**USUAL, "head_dim": 16, "sliding_window": 4, "query_pre_attn_scalar": 16}
KINDS = {
    "llama": Kind(
        {**USUAL, "architectures": ["LlamaForCausalLM"]},
        write_sentence_pieces,
        {**NORMS, **ATTENTION, **GATED},
        HEAD,
    ),
    "llama3": Kind(
        {**USUAL, "architectures": ["LlamaForCausalLM"], "rope_scaling": SCALED},
        _llama3,
        {**NORMS, **ATTENTION, **GATED},
        TOP,
    ),
    "mistral": Kind(
        {**USUAL, "architectures": ["MistralForCausalLM"], "head_dim": 16},
        write_sentence_pieces,
        {**NORMS, **ATTENTION, **GATED},
        HEAD,
    ),
    "qwen2": Kind(
        {**USUAL, "architectures": ["Qwen2ForCausalLM"]},
        _qwen2,
        {**NORMS, **ATTENTION, **BIASES, **GATED},
        HEAD,
    ),
    "qwen3": Kind(
        {**USUAL, "architectures": ["Qwen3ForCausalLM"], "head_dim": 16},
        _qwen2,
        {**NORMS, **ATTENTION, **HEAD_NORMS, **GATED},
        TOP,
    ),
    "gemma2": Kind(
        {
            **GEMMA,
            "architectures": ["Gemma2ForCausalLM"],
            "rope_theta": 10000.0,
            "attn_logit_softcapping": 5.0,
            "final_logit_softcapping": 3.0,
        },
        write_sentence_pieces,
        {**GEMMA_NORMS, **ATTENTION, **GATED},
        TOP,
    ),
    "gemma3": Kind(
        {
            **GEMMA,
            "architectures": ["Gemma3ForCausalLM"],
            "num_hidden_layers": 6,
            "rope_theta": 100000.0,
            "rope_local_base_freq": 9000.0,
        },
        write_sentence_pieces,
        {**GEMMA_NORMS, **ATTENTION, **HEAD_NORMS, **GATED},
        TOP,
    ),
    "phi3": Kind(
        {**USUAL, "architectures": ["Phi3ForCausalLM"], "sliding_window": None},
        write_sentence_pieces,
        {**NORMS, **FUSED},
        HEAD,
    ),
    "phi3-long": Kind(
        {
            **USUAL,
            "architectures": ["Phi3ForCausalLM"],
            "original_max_position_embeddings": 64,
            "rope_scaling": LONG,
        },
        write_sentence_pieces,
        {**NORMS, **FUSED},
        HEAD,
    ),
    "gpt2": Kind(
        {
            "architectures": ["GPT2LMHeadModel"],
            "n_layer": L,
            "n_embd": D,
            "n_head": H,
            "n_positions": 128,
            "layer_norm_epsilon": 1e-5,
        },
        _gpt2,
        GPT2,
        GPT2_TOP,
        "transformer.h.{}.",
    ),
    "bert": Kind(
        {
            "architectures": ["BertModel"],
            "hidden_size": D,
            "num_hidden_layers": L,
            "num_attention_heads": H,
            "intermediate_size": F,
            "max_position_embeddings": 128,
            "layer_norm_eps": 1e-12,
            "type_vocab_size": 2,
        },
        write_word_pieces,
        BERT,
        BERT_TOP,
        "encoder.layer.{}.",
    ),
}


def write_folder(
    path: Path,
    name: str,
    *,
    dtype: str = "F32",
    files: int = 1,
    seed: int = 0,
    config: Mapping[str, Any] = NOTHING,
    tensors: Mapping[str, Floats | None] = NOTHING,
) -> Made:
    """`config` and `tensors` replace and add; what is None there is left out."""
    path.mkdir(parents=True, exist_ok=True)
    kind = KINDS[name]
    tokens = kind.tokenizer(path)
    values = {**kind.config, "vocab_size": tokens, **config}
    values = {key: value for key, value in values.items() if value is not None}
    write_json(path / "config.json", values)
    random, layers = np.random.default_rng(seed), min(values.get("num_hidden_layers", L), 6)
    shapes: Shapes = {n: tuple(size or tokens for size in s) for n, s in kind.top.items()}
    for layer in range(layers):
        shapes |= {kind.layer.format(layer) + n: shape for n, shape in kind.block.items()}
    made = {n: _random(n, shape, random) for n, shape in shapes.items()}
    chosen = {n: each for n, each in {**made, **tensors}.items() if each is not None}
    rounded = _write_files(path, chosen, dtype, files)
    return Made(path, values, rounded)


def _random(name: str, shape: tuple[int, ...], random: np.random.Generator) -> Floats:
    values = random.standard_normal(shape, dtype=np.float32)
    if len(shape) == 1:
        return np.float32(0.1) * values + np.float32("weight" in name)
    return values * np.float32(0.7 if "embed" in name or "wte" in name else 2 / shape[-1] ** 0.5)


def _write_files(
    path: Path, tensors: Mapping[str, Floats], dtype: str, files: int
) -> dict[str, Floats]:
    """Returns the weights as they are stored."""
    names = list(tensors)
    rounded, places = dict[str, Floats](), dict[str, str]()
    for number in range(files):
        file = "model.safetensors"
        if files > 1:
            file = f"model-{number + 1:05}-of-{files:05}.safetensors"
        raws = {}
        for name in names[number::files]:
            raw = quantize(FORMATS[dtype], np.atleast_1d(tensors[name]))
            raws[name] = (dtype, tensors[name].shape, raw.tobytes())
            rounded[name] = dequantize(FORMATS[dtype], raw).reshape(tensors[name].shape)
            places[name] = file
        write_safetensors(path / file, raws)
    if files > 1:
        write_json(path / "model.safetensors.index.json", {"weight_map": places})
    return rounded


def write_safetensors(
    path: Path, tensors: Mapping[str, tuple[str, tuple[int, ...], bytes]]
) -> None:
    header, at = dict[str, Any](), 0
    for name, (dtype, shape, raw) in tensors.items():
        places = [at, at + len(raw)]
        header[name] = {"dtype": dtype, "shape": list(shape), "data_offsets": places}
        at += len(raw)
    text = json.dumps({"__metadata__": {"format": "pt"}, **header}).encode()
    data = b"".join(raw for *_, raw in tensors.values())
    path.write_bytes(len(text).to_bytes(8, "little") + text + data)
