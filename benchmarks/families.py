"""The real dimensions of the models to measure on, and the tensors of each family."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from quant.format import FORMATS, Format

F32 = FORMATS["F32"]
NOT_QUANTIZED = {
    "ssm_conv1d": F32,
    "shortconv.conv": F32,
    "ffn_gate_inp": F32,
    "per_layer_model_proj": FORMATS["F16"],
    "position_embd": F32,
    "token_types": F32,
}

WORD_PIECES = "bert"  # in place of a pre-tokenizer's name
Tensors = dict[str, tuple[int, ...]]  # slowest dimension first


@dataclass(frozen=True, slots=True)
class Planned:
    """A planned tensor; without deviation it is a vector of `level`."""

    name: str
    format: Format
    shape: tuple[int, ...]
    deviation: float | None = None
    level: float = 1.0


@dataclass(frozen=True, slots=True)
class Shape:
    """A model's dimensions, by our usual letters."""

    architecture: str
    pre_tokenizer: str
    V: int
    L: int
    D: int
    H: int
    K: int
    d: int
    F: int
    context: int
    rope_base: float
    epsilon: float
    block: Callable[["Shape", int], Tensors]  # a layer's tensors, without "blk.N."
    tied: bool = True  # the output matrix is the embedding's
    keys: Mapping[str, Any] = field(default_factory=dict)  # beside, or in place of, the common ones
    top: Callable[["Shape", int], Tensors] = lambda s, tokens: {}  # what belongs to no layer, too
    output_norm: str = "output_norm"

    def all_keys(self) -> dict[str, Any]:
        """Without the architecture's prefix."""
        common = {
            "block_count": self.L,
            "context_length": self.context,
            "embedding_length": self.D,
            "feed_forward_length": self.F,
            "attention.head_count": self.H,
            "attention.head_count_kv": self.K,
            "attention.key_length": self.d,
            "attention.value_length": self.d,
            "attention.layer_norm_rms_epsilon": self.epsilon,
            "rope.freq_base": self.rope_base,
            "rope.dimension_count": self.d,
        }
        return {**common, **self.keys}


def plan_tensors(shape: Shape, kind: Format, tokens: int) -> Iterator[Planned]:
    """All tensors of a model with so many tokens, its matrices in one format."""
    top: Tensors = {f"{shape.output_norm}.weight": (shape.D,), **shape.top(shape, tokens)}
    heads = ["token_embd.weight"] if shape.tied else ["token_embd.weight", "output.weight"]
    for name in heads:
        yield Planned(name, kind, (tokens, shape.D), 0.02)
    for name, size in top.items():
        yield _planned(name, size, kind)
    for layer in range(shape.L):
        for name, size in shape.block(shape, layer).items():
            yield _planned(f"blk.{layer}.{name}", size, kind)


def _planned(name: str, shape: tuple[int, ...], kind: Format) -> Planned:
    if name.endswith(".bias"):
        return Planned(name, F32, shape, 0.1)
    if len(shape) == 1:
        level = -1.0 if name.endswith("ssm_a") else 1.0  # a decay has to decay
        return Planned(name, F32, shape, level=level)
    kept = next((NOT_QUANTIZED[end] for end in NOT_QUANTIZED if f"{end}.weight" in name), kind)
    return Planned(name, kept, shape, shape[-1] ** -0.5)


# --- parts of blocks


def vectors(*names: str, width: int) -> Tensors:
    return {f"{name}.weight": (width,) for name in names}


def attention(s: Shape) -> Tensors:
    queries, keys = s.H * s.d, s.K * s.d
    return {
        "attn_q.weight": (queries, s.D),
        "attn_k.weight": (keys, s.D),
        "attn_v.weight": (keys, s.D),
        "attn_output.weight": (s.D, queries),
    }


def dense(s: Shape, width: int, suffix: str = "") -> Tensors:
    return {
        f"ffn_gate{suffix}.weight": (width, s.D),
        f"ffn_up{suffix}.weight": (width, s.D),
        f"ffn_down{suffix}.weight": (s.D, width),
    }


def experts(s: Shape) -> Tensors:
    count, width = s.keys["expert_count"], s.keys["expert_feed_forward_length"]
    return {
        "ffn_gate_inp.weight": (count, s.D),
        "ffn_gate_exps.weight": (count, width, s.D),
        "ffn_up_exps.weight": (count, width, s.D),
        "ffn_down_exps.weight": (count, s.D, width),
    }


# --- blocks


def llama(s: Shape, layer: int) -> Tensors:
    return attention(s) | dense(s, s.F) | vectors("attn_norm", "ffn_norm", width=s.D)


def qwen2(s: Shape, layer: int) -> Tensors:
    widths = {"q": s.H * s.d, "k": s.K * s.d, "v": s.K * s.d}
    return llama(s, layer) | {f"attn_{name}.bias": (width,) for name, width in widths.items()}


def qwen3moe(s: Shape, layer: int) -> Tensors:
    norms = vectors("attn_norm", "ffn_norm", width=s.D)
    return attention(s) | experts(s) | norms | vectors("attn_q_norm", "attn_k_norm", width=s.d)


def gpt_oss(s: Shape, layer: int) -> Tensors:
    """Every product has a bias, every head a sink."""
    count, width = s.keys["expert_count"], s.keys["expert_feed_forward_length"]
    biases = {"attn_q": (s.H * s.d,), "attn_k": (s.K * s.d,), "attn_v": (s.K * s.d,)}
    biases |= {"attn_output": (s.D,), "ffn_gate_inp": (count,), "ffn_down_exps": (count, s.D)}
    biases |= {"ffn_gate_exps": (count, width), "ffn_up_exps": (count, width)}
    norms = vectors("attn_norm", "post_attention_norm", width=s.D)
    norms |= vectors("attn_sinks", width=s.H)
    return attention(s) | experts(s) | norms | {f"{k}.bias": size for k, size in biases.items()}


def delta_net(s: Shape) -> Tensors:
    width, heads = s.keys["ssm.state_size"], s.keys["ssm.time_step_rank"]
    inner = s.keys["ssm.inner_size"]
    channels = 2 * s.keys["ssm.group_count"] * width + inner
    return {
        "attn_qkv.weight": (channels, s.D),
        "attn_gate.weight": (inner, s.D),
        "ssm_conv1d.weight": (channels, s.keys["ssm.conv_kernel"]),
        "ssm_dt.bias": (heads,),
        "ssm_a": (heads,),
        "ssm_beta.weight": (heads, s.D),
        "ssm_alpha.weight": (heads, s.D),
        "ssm_norm.weight": (width,),
        "ssm_out.weight": (s.D, inner),
    }


def qwen35(s: Shape, layer: int) -> Tensors:
    """Every fourth layer has attention, with a gate beside each query."""
    mixer = delta_net(s)
    if layer % 4 == 3:
        mixer = attention(s) | {"attn_q.weight": (2 * s.H * s.d, s.D)}
        mixer |= vectors("attn_q_norm", "attn_k_norm", width=s.d)
    return mixer | vectors("attn_norm", "post_attention_norm", width=s.D) | dense(s, s.F)


def qwen35_with_head(s: Shape, layer: int) -> Tensors:
    """The last block guesses tokens; it has attention."""
    if layer < s.L - 1:
        return qwen35(s, layer)
    norms = vectors("nextn.enorm", "nextn.hnorm", width=s.D)
    return qwen35(s, 3) | {"nextn.eh_proj.weight": (s.D, 2 * s.D)} | norms


def qwen35moe(s: Shape, layer: int) -> Tensors:
    mixer = {name: size for name, size in qwen35(s, layer).items() if not name.startswith("ffn_")}
    shared = dense(s, s.keys["expert_shared_feed_forward_length"], "_shexp")
    return mixer | experts(s) | shared | vectors("ffn_gate_inp_shexp", width=s.D)


def gemma4(s: Shape, layer: int) -> Tensors:
    """Local and global layers have heads of two widths; the last ones read keys of others."""
    is_local, inputs = layer % 5 < 4, s.keys["embedding_length_per_layer_input"]
    width = s.keys["attention.key_length_swa"] if is_local else s.d
    mixer: Tensors = {
        "attn_q.weight": (s.H * width, s.D),
        "attn_output.weight": (s.D, s.H * width),
        "attn_q_norm.weight": (width,),
    }
    if layer < s.L - s.keys["attention.shared_kv_layers"]:
        mixer |= {f"attn_{name}.weight": (s.K * width, s.D) for name in "kv"}
        mixer |= vectors("attn_k_norm", width=width)
    norms = ("attn_norm", "post_attention_norm", "ffn_norm", "post_ffw_norm", "post_norm")
    own: Tensors = {
        "inp_gate.weight": (inputs, s.D),
        "proj.weight": (s.D, inputs),
        "layer_output_scale.weight": (1,),
    }
    return mixer | dense(s, s.keys["feed_forward_length"][layer]) | own | vectors(*norms, width=s.D)


def gemma4_top(s: Shape, tokens: int) -> Tensors:
    inputs = s.keys["embedding_length_per_layer_input"]
    return {
        "rope_freqs.weight": (s.d // 2,),
        "per_layer_token_embd.weight": (tokens, s.L * inputs),
        "per_layer_model_proj.weight": (s.L * inputs, s.D),
        "per_layer_proj_norm.weight": (inputs,),
    }


def lfm2(s: Shape, layer: int) -> Tensors:
    common = dense(s, s.F) | vectors("attn_norm", "ffn_norm", width=s.D)
    if s.keys["attention.head_count_kv"][layer]:
        return common | attention(s) | vectors("attn_q_norm", "attn_k_norm", width=s.d)
    return common | {
        "shortconv.conv.weight": (s.D, s.keys["shortconv.l_cache"]),
        "shortconv.in_proj.weight": (3 * s.D, s.D),
        "shortconv.out_proj.weight": (s.D, s.D),
    }


def deepseek2(s: Shape, layer: int) -> Tensors:
    queries, rank = s.keys["attention.q_lora_rank"], s.keys["attention.kv_lora_rank"]
    turning, values = s.keys["rope.dimension_count"], s.keys["attention.value_length_mla"]
    width = s.keys["attention.key_length_mla"]
    mixer: Tensors = {
        "attn_q_a.weight": (queries, s.D),
        "attn_q_a_norm.weight": (queries,),
        "attn_q_b.weight": (s.H * width, queries),
        "attn_kv_a_mqa.weight": (rank + turning, s.D),
        "attn_kv_a_norm.weight": (rank,),
        "attn_k_b.weight": (s.H, rank, width - turning),
        "attn_v_b.weight": (s.H, values, rank),
        "attn_output.weight": (s.D, s.H * values),
    }
    mixer |= vectors("attn_norm", "ffn_norm", width=s.D)
    if layer < s.keys["leading_dense_block_count"]:
        return mixer | dense(s, s.F)
    shared = dense(s, s.keys["expert_feed_forward_length"], "_shexp")
    return mixer | experts(s) | shared | {"exp_probs_b.bias": (s.keys["expert_count"],)}


def bert(s: Shape, layer: int) -> Tensors:
    ungated: Tensors = {"ffn_up.weight": (s.F, s.D), "ffn_down.weight": (s.D, s.F)}
    biases = {f"attn_{name}.bias": (s.D,) for name in ("q", "k", "v", "output")}
    biases |= {"ffn_up.bias": (s.F,), "ffn_down.bias": (s.D,)}
    norms = vectors("attn_output_norm", "layer_output_norm", width=s.D)
    norms |= {"attn_output_norm.bias": (s.D,), "layer_output_norm.bias": (s.D,)}
    return attention(s) | ungated | biases | norms


def bert_top(s: Shape, tokens: int) -> Tensors:
    tables = {"position_embd.weight": (s.context, s.D), "token_types.weight": (2, s.D)}
    return {**tables, "token_embd_norm.bias": (s.D,)}


# --- models

DELTA_KEYS = {
    "full_attention_interval": 4,
    "rope.dimension_count": 64,
    "rope.dimension_sections": [11, 11, 10, 0],
    "ssm.conv_kernel": 4,
    "ssm.state_size": 128,
    "ssm.group_count": 16,
}
OWN_LAYERS, LAYERS = 15, 35  # of Gemma 4 E2B: with keys and values, and all

SHAPES = {
    "bge-small": Shape(
        *("bert", WORD_PIECES, 30522, 12, 384, 12, 12, 32, 1536),
        *(512, 10000.0, 1e-12, bert),
        keys={"attention.layer_norm_epsilon": 1e-12, "attention.causal": False, "pooling_type": 2},
        top=bert_top,
        output_norm="token_embd_norm",
    ),
    "llama1b": Shape(
        *("llama", "llama-bpe", 128256, 16, 2048, 32, 8, 64, 8192),
        *(131072, 500000.0, 1e-5, llama),
    ),
    "llama8b": Shape(
        *("llama", "llama-bpe", 128256, 32, 4096, 32, 8, 128, 14336),
        *(131072, 500000.0, 1e-5, llama, False),
    ),
    "qwen05": Shape(
        *("qwen2", "qwen2", 151936, 24, 896, 14, 2, 64, 4864),
        *(32768, 1000000.0, 1e-6, qwen2),
    ),
    "qwen35-0.8b": Shape(
        *("qwen35", "qwen35", 248320, 24, 1024, 8, 2, 256, 3584),
        *(262144, 1e7, 1e-6, qwen35),
        keys=DELTA_KEYS | {"ssm.inner_size": 2048, "ssm.time_step_rank": 16},
    ),
    "qwen35-0.8b-head": Shape(
        *("qwen35", "qwen35", 248320, 25, 1024, 8, 2, 256, 3584),
        *(262144, 1e7, 1e-6, qwen35_with_head),
        keys=DELTA_KEYS
        | {"ssm.inner_size": 2048, "ssm.time_step_rank": 16, "nextn_predict_layers": 1},
    ),
    "qwen35-4b-head": Shape(
        *("qwen35", "qwen35", 248320, 33, 2560, 16, 4, 256, 9216),
        *(262144, 1e7, 1e-6, qwen35_with_head),
        keys=DELTA_KEYS
        | {"ssm.inner_size": 4096, "ssm.time_step_rank": 32, "nextn_predict_layers": 1},
    ),
    "qwen35-35b-a3b-6-layers": Shape(
        *("qwen35moe", "qwen35", 248320, 6, 2048, 16, 2, 256, 512),
        *(262144, 1e7, 1e-6, qwen35moe, False),
        keys=DELTA_KEYS
        | {"ssm.inner_size": 4096, "ssm.time_step_rank": 32, "expert_count": 256}
        | {"expert_used_count": 8, "expert_feed_forward_length": 512}
        | {"expert_shared_feed_forward_length": 512},
    ),
    "qwen3-30b-a3b-6-layers": Shape(
        *("qwen3moe", "qwen2", 151936, 6, 2048, 32, 4, 128, 6144),
        *(262144, 1e7, 1e-6, qwen3moe, False),
        keys={"expert_count": 128, "expert_used_count": 8, "expert_feed_forward_length": 768},
    ),
    "gpt-oss-20b-6-layers": Shape(
        *("gpt-oss", "gpt-4o", 201088, 6, 2880, 64, 8, 64, 2880),
        *(131072, 150000.0, 1e-5, gpt_oss, False),
        keys={"expert_count": 32, "expert_used_count": 4, "expert_feed_forward_length": 2880}
        | {"attention.sliding_window": 128, "rope.scaling.type": "yarn"}
        | {"rope.scaling.factor": 32.0, "rope.scaling.original_context_length": 4096},
    ),
    "gemma4-e2b": Shape(
        *("gemma4", "qwen2", 262144, LAYERS, 1536, 8, 1, 512, 6144),
        *(131072, 1e6, 1e-6, gemma4),
        keys={
            "feed_forward_length": [6144 if n < OWN_LAYERS else 12288 for n in range(LAYERS)],
            "rope.freq_base_swa": 10000.0,
            "rope.dimension_count_swa": 256,
            "final_logit_softcapping": 30.0,
            "attention.sliding_window": 512,
            "attention.sliding_window_pattern": [n % 5 < 4 for n in range(LAYERS)],
            "attention.shared_kv_layers": LAYERS - OWN_LAYERS,
            "attention.key_length_swa": 256,
            "attention.value_length_swa": 256,
            "embedding_length_per_layer_input": 256,
        },
        top=gemma4_top,
    ),
    "lfm2-1.2b": Shape(
        *("lfm2", "lfm2", 65536, 16, 2048, 32, 8, 64, 8192),
        *(128000, 1e6, 1e-5, lfm2),
        keys={
            "attention.head_count_kv": [8 if n in (2, 5, 8, 10, 12, 14) else 0 for n in range(16)],
            "shortconv.l_cache": 3,
        },
        output_norm="token_embd_norm",
    ),
    "glm-4.7-flash-4-layers": Shape(
        *("deepseek2", "glm4", 154880, 4, 2048, 20, 1, 576, 10240),
        *(202752, 1e6, 1e-5, deepseek2, False),
        keys={
            "attention.q_lora_rank": 768,
            "attention.kv_lora_rank": 512,
            "attention.value_length": 512,
            "attention.key_length_mla": 256,
            "attention.value_length_mla": 256,
            "rope.dimension_count": 64,
            "leading_dense_block_count": 1,
            "expert_count": 64,
            "expert_used_count": 4,
            "expert_shared_count": 1,
            "expert_feed_forward_length": 1536,
            "expert_weights_scale": 1.8,
            "expert_weights_norm": True,
            "expert_gating_func": 2,
        },
    ),
}
