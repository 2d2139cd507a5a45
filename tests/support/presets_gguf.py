"""What the tiny models of `make_gguf.py` consist of: tensors, metadata and vocabularies.

A tensor's shape is written in letters, slowest dimension first:

D model width                   A = H d, all query heads        E experts
H query heads, K kv heads       B = K d, all kv heads           T context length
d width of a head               C = A + 2 B, q, k and v         V vocabulary
F feed-forward width            G = 2 F                         R = d / 2, rotated pairs
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


def shapes(text: str) -> dict[str, str]:
    return dict(item.split(":") for item in text.split())


ATTENTION = shapes(
    "attn_norm.weight:D attn_q.weight:AD attn_k.weight:BD attn_v.weight:BD attn_output.weight:DA"
)
FFN_NORM = shapes("ffn_norm.weight:D")
FFN = shapes("ffn_gate.weight:FD ffn_up.weight:FD ffn_down.weight:DF")
EXPERTS = shapes(
    "ffn_gate_inp.weight:ED ffn_gate_exps.weight:EFD ffn_up_exps.weight:EFD"
    " ffn_down_exps.weight:EDF"
)
CHOSEN_WITH_BIAS = shapes("exp_probs_b.bias:E")
SHARED_EXPERT = shapes("ffn_gate_shexp.weight:FD ffn_up_shexp.weight:FD ffn_down_shexp.weight:DF")
QKV_BIAS = shapes("attn_q.bias:A attn_k.bias:B attn_v.bias:B")
QK_NORM = shapes("attn_q_norm.weight:d attn_k_norm.weight:d")
POST_NORMS = shapes("post_attention_norm.weight:D post_ffw_norm.weight:D")
DENSE = ATTENTION | FFN_NORM | FFN
TIED = shapes("token_embd.weight:VD output_norm.weight:D")
UNTIED = TIED | shapes("output.weight:VD")

FUSED = shapes("attn_norm.weight:D attn_qkv.weight:CD attn_output.weight:DA")
UNGATED = shapes("ffn_up.weight:FD ffn_up.bias:F ffn_down.weight:DF ffn_down.bias:D")
HALVES = shapes("ffn_up.weight:GD ffn_down.weight:DF")
ROW_NORMS = shapes("attn_q_norm.weight:A attn_k_norm.weight:B")
LAYER_NORMS = shapes("attn_norm.bias:D ffn_norm.bias:D")
UNTIED_LAYER_NORM = UNTIED | shapes("output_norm.bias:D")
BRANCHES = {
    name: DENSE[name] for name in DENSE if name not in ("attn_norm.weight", "ffn_norm.weight")
}

LATENT = (
    FFN_NORM
    | FFN
    | shapes(
        "attn_norm.weight:D attn_kv_a_mqa.weight:mD attn_kv_a_norm.weight:r attn_output.weight:Do"
    )
)
LOW_RANK_QUERIES = shapes("attn_q_a.weight:rD attn_q_a_norm.weight:r attn_q_b.weight:qr")
# a rank of 32; heads of 16 columns that do not turn and 8 that do; values of 12
LATENT_SIZES = {"H": 4, "r": 32, "n": 16, "v": 12, "m": 40, "q": 96, "o": 48, "u": 112}
LATENT_KEYS: dict[str, Any] = {
    "attention.q_lora_rank": 32,
    "attention.kv_lora_rank": 32,
    "attention.key_length_mla": 24,
    "attention.value_length_mla": 12,
    "attention.head_count_kv": 1,
    "rope.dimension_count": 8,
    "rope.scaling.type": "yarn",
    "rope.scaling.factor": 4.0,
    "rope.scaling.original_context_length": 64,
    "rope.scaling.yarn_log_multiplier": 0.0707,
}

MOE: dict[str, Any] = {"expert_count": 4, "expert_used_count": 2}
WINDOW: dict[str, Any] = {"attention.sliding_window": 8}
CAPS: dict[str, Any] = {"attn_logit_softcapping": 50.0, "final_logit_softcapping": 30.0}
HALF_ROTARY: dict[str, Any] = {"rope.dimension_count": 8}
YARN: dict[str, Any] = {
    "rope.scaling.type": "yarn",
    "rope.scaling.factor": 4.0,
    "rope.scaling.original_context_length": 64,
}


@dataclass(frozen=True, slots=True)
class Preset:
    """What distinguishes an architecture; keys come without the architecture's prefix."""

    architecture: str
    block: Mapping[str, str]  # tensors of every block
    top: Mapping[str, str] = field(default_factory=lambda: UNTIED)
    keys: Mapping[str, Any] = field(default_factory=dict)
    dimensions: Mapping[str, int] = field(default_factory=dict)
    layers: Mapping[int, Mapping[str, str]] = field(default_factory=dict)
    """By number: what a layer has instead; a tensor without a shape is left out."""
    bare_keys: Mapping[str, Any] = field(default_factory=dict)  # as they are, without a prefix


# Gemma 3n and 4: P inputs a layer, I of all; heads of W in global layers, Q of queries, U of values
LAYER_INPUTS = shapes("inp_gate.weight:PD proj.weight:DP post_norm.weight:D")
ALL_INPUTS = shapes(
    "per_layer_token_embd.weight:VI per_layer_model_proj.weight:ID per_layer_proj_norm.weight:P"
)
GLOBAL = shapes(
    "attn_q.weight:QD attn_k.weight:UD attn_v.weight:UD attn_output.weight:DQ"
    " attn_q_norm.weight:W attn_k_norm.weight:W"
)
NO_KEYS = dict.fromkeys(("attn_k.weight", "attn_v.weight", "attn_k_norm.weight"), "")
LOCAL_AND_GLOBAL: dict[str, Any] = {
    "attention.key_length": 32,
    "attention.value_length": 32,
    "attention.key_length_swa": 16,
    "attention.value_length_swa": 16,
    "rope.dimension_count": 32,
    "rope.dimension_count_swa": 16,
    "attention.sliding_window_pattern": [True, False],
    "embedding_length_per_layer_input": 0,
}
STREAMS = shapes(
    "altup_router.weight:JD altup_router_norm.weight:D altup_predict_coef.weight:MJ"
    " altup_correct_coef.weight:JJ altup_correct_scale.weight:D"
    " laurel_l.weight:ZD laurel_r.weight:DZ laurel_post_norm.weight:D"
)
GEMMA4_SIZES = {"W": 32, "Q": 128, "U": 64, "r": 16}

# state spaces: X channels, h heads, n rows of a state in g groups (of Mamba-2), r numbers for step
# sizes (of Mamba), k taps
MAMBA = shapes(
    "attn_norm.weight:D ssm_in.weight:YD ssm_conv1d.weight:Xk ssm_conv1d.bias:X ssm_x.weight:xX"
    " ssm_dt.weight:Xr ssm_dt.bias:X ssm_a:Xn ssm_d:X ssm_out.weight:DX"
)
MAMBA_2 = shapes(
    "attn_norm.weight:D ssm_in.weight:ZD ssm_conv1d.weight:zk ssm_conv1d.bias:z ssm_dt.bias:h"
    " ssm_a:ho ssm_d:ho ssm_norm.weight:gw ssm_out.weight:DX"
)
MAMBA_SIZES = {"X": 72, "Y": 144, "n": 8, "r": 4, "x": 20, "k": 4}
MAMBA_2_SIZES = {"X": 72, "n": 8, "h": 6, "g": 2, "w": 36, "z": 104, "Z": 182, "o": 1, "k": 4}
MAMBA_KEYS: dict[str, Any] = {
    "ssm.conv_kernel": 4,
    "ssm.inner_size": 72,
    "ssm.state_size": 8,
    "ssm.time_step_rank": 4,
}
MAMBA_2_KEYS = MAMBA_KEYS | {"ssm.time_step_rank": 6, "ssm.group_count": 2}
SECOND_ATTENDS: dict[str, Any] = {"attention.head_count_kv": [0, 2]}


PLAMO_SCAN = shapes(
    "ssm_in.weight:YD ssm_conv1d.weight:Xk ssm_x.weight:vX ssm_dt.weight:hu ssm_dt.bias:h ssm_a:h"
    " ssm_d:h ssm_b_norm:n ssm_c_norm:n ssm_dt_norm:u ssm_out.weight:DX"
)
ROUTED_UNGATED = CHOSEN_WITH_BIAS | shapes(
    "attn_norm.weight:D ffn_gate_inp.weight:ED ffn_up_shexp.weight:FD ffn_down_shexp.weight:DF"
)

# RWKV: heads of 16, m numbers for shares of the way (M: of five branches), y for decays
CHANNEL_MIX = shapes(
    "attn_norm_2.weight:D attn_norm_2.bias:D channel_mix_lerp_k.weight:D"
    " channel_mix_key.weight:FD channel_mix_value.weight:DF"
)
TIME_MIX = shapes("attn_norm.weight:D time_mix_receptance.weight:DD time_mix_output.weight:DD")
TIME_MIX_6 = TIME_MIX | shapes(
    "time_mix_lerp_x.weight:D time_mix_lerp_fused.weight:511D time_mix_w1.weight:MD"
    " time_mix_w2.weight:5Dm time_mix_decay.weight:D time_mix_decay_w1.weight:yD"
    " time_mix_decay_w2.weight:Dy time_mix_gate.weight:DD"
)
TIME_MIX_7 = TIME_MIX | shapes(
    "time_mix_w0.weight:D time_mix_w1.weight:yD time_mix_w2.weight:Dy"
    " time_mix_a0.weight:D time_mix_a1.weight:mD time_mix_a2.weight:Dm"
    " time_mix_v0.weight:D time_mix_v1.weight:mD time_mix_v2.weight:Dm"
    " time_mix_k_k.weight:D time_mix_k_a.weight:D time_mix_r_k.weight:D"
    " time_mix_key.weight:DD time_mix_value.weight:DD"
)
HEAD_NORM = shapes("attn_norm.bias:D time_mix_ln.weight:D time_mix_ln.bias:D")
RWKV_TOP = shapes("token_embd_norm.weight:D token_embd_norm.bias:D output_norm.bias:D")
RWKV_SIZES = {"m": 8, "M": 40, "y": 12, "1": 1, "5": 5, "6": 6}
RWKV_KEYS: dict[str, Any] = {"wkv.head_size": 16, "attention.head_count": 0}


def instead(own: Mapping[str, str], others: Mapping[str, str]) -> dict[str, str]:
    """What a layer has in place of the others."""
    return {**dict.fromkeys(others, ""), **own}


# delta nets: 2 heads of keys, h of values, s wide; Y channels of q, k and v, X of results, k taps
DELTA = shapes(
    "attn_norm.weight:D attn_qkv.weight:YD attn_gate.weight:XD ssm_conv1d.weight:Yk ssm_dt.bias:h"
    " ssm_a:h ssm_beta.weight:hD ssm_alpha.weight:hD ssm_norm.weight:s ssm_out.weight:DX"
    " post_attention_norm.weight:D"
)
DELTA_KEYS: dict[str, Any] = {
    "ssm.conv_kernel": 4,
    "ssm.state_size": 16,
    "ssm.group_count": 2,
    "ssm.time_step_rank": 4,
    "ssm.inner_size": 64,
    "attention.recurrent_layers": [True, False],
    "rope.dimension_count": 8,
}
DELTA_SIZES = {"h": 4, "s": 16, "Y": 128, "X": 64, "k": 4, "z": 384, "b": 8, "P": 128, "W": 24}
GATED_ATTENTION = {  # in place of a delta net; P: each head's query and gate
    **{
        name: "" for name in DELTA if name not in ("attn_norm.weight", "post_attention_norm.weight")
    },
    **shapes("attn_q.weight:PD attn_k.weight:BD attn_v.weight:BD attn_output.weight:DA"),
    **QK_NORM,
}
GATED_SHARED_EXPERT = shapes(
    "ffn_gate_shexp.weight:WD ffn_up_shexp.weight:WD ffn_down_shexp.weight:DW"
    " ffn_gate_inp_shexp.weight:D"
)
MERGED_CONTROLS = {"ssm_beta.weight": "", "ssm_alpha.weight": "", "ssm_ba.weight": "bD"}


# Kimi delta attention: h heads of s, X in all, k taps
KIMI_DELTA = shapes(
    "attn_norm.weight:D attn_q.weight:XD attn_k.weight:XD attn_v.weight:XD attn_output.weight:DX"
    " ssm_conv1d_q.weight:X1k ssm_conv1d_k.weight:X1k ssm_conv1d_v.weight:X1k ssm_beta.weight:hD"
    " ssm_f_a.weight:sD ssm_f_b.weight:Xs ssm_dt.bias:X ssm_a:h1 ssm_g_a.weight:sD"
    " ssm_g_b.weight:Xs ssm_norm.weight:s"
)
KIMI_SIZES = {"h": 4, "s": 16, "X": 64, "k": 4, "1": 1}
KIMI_KEYS: dict[str, Any] = {"kda.head_dim": 16, "ssm.conv_kernel": 4}


PRESETS = {
    "llama": Preset("llama", DENSE),
    "llama-moe": Preset("llama", ATTENTION | FFN_NORM | EXPERTS, keys=MOE),
    "qwen2": Preset("qwen2", DENSE | QKV_BIAS),
    "qwen3": Preset("qwen3", DENSE | QK_NORM, dimensions={"H": 8}),
    "qwen3moe": Preset("qwen3moe", ATTENTION | QK_NORM | FFN_NORM | EXPERTS, keys=MOE),
    "qwen2moe": Preset(
        "qwen2moe",
        ATTENTION
        | QKV_BIAS
        | FFN_NORM
        | EXPERTS
        | SHARED_EXPERT
        | shapes("ffn_gate_inp_shexp.weight:D"),
        keys=MOE,
    ),
    "bailingmoe2": Preset(
        "bailingmoe2",
        FUSED | QK_NORM | FFN_NORM | EXPERTS | SHARED_EXPERT | CHOSEN_WITH_BIAS,
        keys=MOE | {"expert_group_count": 2, "expert_group_used_count": 1, "expert_gating_func": 2},
    ),
    "glm4moe": Preset(
        "glm4moe",
        ATTENTION
        | QK_NORM
        | shapes("post_attention_norm.weight:D")
        | EXPERTS
        | SHARED_EXPERT
        | CHOSEN_WITH_BIAS,
        keys=MOE | {"expert_weights_norm": True, "expert_weights_scale": 2.5},
        layers={0: instead(FFN, EXPERTS | SHARED_EXPERT | CHOSEN_WITH_BIAS)},
    ),
    "smallthinker": Preset(
        "smallthinker", ATTENTION | FFN_NORM | EXPERTS, keys=MOE | WINDOW, dimensions={"L": 4}
    ),
    "deepseek2": Preset(
        "deepseek2",
        LATENT | LOW_RANK_QUERIES | shapes("attn_k_b.weight:Hrn attn_v_b.weight:Hvr"),
        keys=LATENT_KEYS | {"attention.key_length": 40, "attention.value_length": 32},
        dimensions=LATENT_SIZES,
    ),
    "deepseek2-old": Preset(
        "deepseek2",
        LATENT | LOW_RANK_QUERIES | shapes("attn_kv_b.weight:ur"),
        keys=LATENT_KEYS,
        dimensions=LATENT_SIZES,
    ),
    "kimi-linear": Preset(
        "kimi-linear",
        KIMI_DELTA | FFN_NORM | EXPERTS | SHARED_EXPERT | CHOSEN_WITH_BIAS,
        keys=LATENT_KEYS
        | KIMI_KEYS
        | MOE
        | {"attention.key_length": 40, "attention.value_length": 32, "expert_gating_func": 2}
        | {"attention.head_count": [4, 0], "attention.head_count_kv": [1, 0]},
        dimensions=KIMI_SIZES | LATENT_SIZES,
        layers={
            0: instead(
                LATENT | shapes("attn_q.weight:qD attn_k_b.weight:Hrn attn_v_b.weight:Hvr"),
                KIMI_DELTA | EXPERTS | SHARED_EXPERT | CHOSEN_WITH_BIAS,
            )
        },
    ),
    "arctic": Preset(
        "arctic",
        ATTENTION | FFN_NORM | FFN | EXPERTS | shapes("ffn_norm_exps.weight:D"),
        keys=MOE,
    ),
    "cohere2moe": Preset(
        "cohere2moe",
        ATTENTION | EXPERTS | SHARED_EXPERT,
        TIED,
        MOE | WINDOW | {"logit_scale": 0.25, "leading_dense_block_count": 1},
        {"L": 5},
        {0: instead(FFN, EXPERTS | SHARED_EXPERT)},
    ),
    "phimoe": Preset(
        "phimoe",
        ATTENTION | QKV_BIAS | FFN_NORM | EXPERTS | LAYER_NORMS | shapes("attn_output.bias:D"),
        UNTIED_LAYER_NORM | shapes("output.bias:V"),
        MOE,
    ),
    "bailingmoe3": Preset(
        "bailingmoe3",
        KIMI_DELTA
        | shapes("ssm_f_a.weight:XD ssm_g_a.weight:XD")
        | {"ssm_f_b.weight": "", "ssm_g_b.weight": ""}
        | FFN_NORM
        | EXPERTS
        | SHARED_EXPERT
        | CHOSEN_WITH_BIAS,
        keys=LATENT_KEYS
        | KIMI_KEYS
        | MOE
        | {"attention.key_length": 40, "attention.value_length": 32, "expert_gating_func": 2}
        | {"attention.head_count": [4, 0], "attention.head_count_kv": [1, 0]}
        | {"kda.gate_lower_bound": -5.0}
        | {"swiglu_clamp_exp": [0.0, 0.2], "swiglu_clamp_shexp": [0.1, 0.1]},
        dimensions=KIMI_SIZES | LATENT_SIZES,
        layers={
            0: instead(
                LATENT
                | LOW_RANK_QUERIES
                | shapes("attn_k_b.weight:Hrn attn_v_b.weight:Hvr attn_gate.weight:HD"),
                KIMI_DELTA | EXPERTS | SHARED_EXPERT | CHOSEN_WITH_BIAS,
            )
        },
    ),
    "afmoe": Preset(
        "afmoe",
        ATTENTION
        | QK_NORM
        | FFN_NORM
        | EXPERTS
        | CHOSEN_WITH_BIAS
        | POST_NORMS
        | shapes("attn_gate.weight:AD"),
        keys=MOE | WINDOW,
        dimensions={"L": 4},
    ),
    "laguna": Preset(
        "laguna",
        ATTENTION | QK_NORM | FFN_NORM | EXPERTS | CHOSEN_WITH_BIAS | shapes("attn_gate.weight:HD"),
        keys=MOE | WINDOW | YARN | {"rope.dimension_count_swa": 8},
    ),
    "maple": Preset(
        "maple",
        ATTENTION | QK_NORM | FFN_NORM | EXPERTS,
        keys=MOE
        | WINDOW
        | {"attention.sliding_window_pattern": [True, False], "swiglu_clamp_exp": [0.1, 0.2]},
    ),
    "step35": Preset(
        "step35",
        ATTENTION | QK_NORM | FFN_NORM | EXPERTS | SHARED_EXPERT | shapes("attn_gate.weight:HD"),
        keys=MOE
        | WINDOW
        | {"attention.sliding_window_pattern": [True, False], "swiglu_clamp_shexp": [0.0, 0.1]},
    ),
    "dots3note": Preset(
        "dots3note",
        LATENT
        | dict.fromkeys(FFN, "")
        | LOW_RANK_QUERIES
        | EXPERTS
        | SHARED_EXPERT
        | CHOSEN_WITH_BIAS
        | shapes("attn_k_b.weight:Hrn attn_v_b.weight:Hvr attn_k_norm.weight:8")
        | shapes("attn_gate.weight:HD"),
        keys=LATENT_KEYS
        | MOE
        | WINDOW
        | {"attention.key_length": 40, "attention.value_length": 32, "expert_gating_func": 2}
        | {"attention.sliding_window_pattern": [True, False], "rope.freq_base_swa": 500.0}
        | {"attention.kv_lora_rank_swa": 32, "attention.key_length_mla_swa": 24}
        | {"attention.value_length_mla_swa": 12},
        dimensions=LATENT_SIZES | {"8": 8},
    ),
    "hy_v4": Preset(
        "hy_v4",
        LATENT
        | LOW_RANK_QUERIES
        | shapes("attn_k_b.weight:Hrn attn_v_b.weight:Hvr attn_gate.weight:oD attn_sinks.weight:H")
        | shapes("hc_attn_fn.weight:6I hc_attn_base.weight:6 hc_attn_scale.weight:2")
        | shapes("hc_ffn_fn.weight:6I hc_ffn_base.weight:6 hc_ffn_scale.weight:2"),
        UNTIED | shapes("output_hc_fn.weight:3I output_hc_base.weight:3 output_hc_scale.weight:1"),
        LATENT_KEYS
        | {"attention.key_length": 40, "attention.value_length": 32}
        | {"hyper_connection.count": 3, "hyper_connection.epsilon": 1e-2}
        | {"hyper_connection.magnitude": 2.0},
        LATENT_SIZES | {"1": 1, "2": 2, "3": 3, "6": 6, "I": 192},
    ),
    "kimi-k3": Preset(
        "kimi-k3",
        KIMI_DELTA
        | {"ssm_g_a.weight": "", "ssm_g_b.weight": ""}
        | FFN_NORM
        | SHARED_EXPERT
        | CHOSEN_WITH_BIAS
        | shapes("ssm_g.weight:XD attn_res_score.weight:D ffn_res_score.weight:D")
        | shapes("ffn_gate_inp.weight:ED ffn_gate_exps.weight:EFs ffn_up_exps.weight:EFs")
        | shapes("ffn_down_exps.weight:EsF ffn_routed_down.weight:sD ffn_routed_up.weight:Ds")
        | shapes("ffn_routed_norm.weight:s"),
        UNTIED | shapes("output_res_score.weight:D"),
        LATENT_KEYS
        | KIMI_KEYS
        | MOE
        | {"attention.key_length": 40, "attention.value_length": 32, "expert_gating_func": 2}
        | {"attention.head_count": [0, 4, 0], "attention.head_count_kv": [0, 1, 0]}
        | {"kda.gate_lower_bound": -5.0, "attn_res.block_size": 2}
        | {"activation.situ_beta": 5.0, "activation.situ_linear_beta": 4.0},
        KIMI_SIZES | LATENT_SIZES | {"L": 3},
        {
            1: LATENT
            | dict.fromkeys(FFN, "")
            | LOW_RANK_QUERIES
            | {name: "" for name in KIMI_DELTA if not name.startswith(("attn_norm", "attn_output"))}
            | {"ssm_g.weight": ""}
            | shapes("attn_k_b.weight:Hrn attn_v_b.weight:Hvr attn_gate.weight:oD")
        },
    ),
    "llama4": Preset(
        "llama4",
        ATTENTION | FFN_NORM | EXPERTS | SHARED_EXPERT,
        UNTIED | shapes("rope_freqs.weight:R"),
        MOE | {"interleave_moe_layer_step": 2},
        {"L": 4},
        {0: instead(FFN, EXPERTS | SHARED_EXPERT), 2: instead(FFN, EXPERTS | SHARED_EXPERT)},
    ),
    "grok": Preset(
        "grok",
        ATTENTION
        | FFN_NORM
        | FFN
        | EXPERTS
        | shapes("attn_output_norm.weight:D post_ffw_norm.weight:D"),
        keys=MOE,
    ),
    "plm": Preset(
        "plm",
        instead(shapes("attn_q.weight:qD attn_kv_b.weight:ur"), shapes("ffn_gate.weight:FD"))
        | {name: shape for name, shape in LATENT.items() if name != "ffn_gate.weight"},
        TIED,
        {"attention.kv_lora_rank": 32, "rope.dimension_count": 8}
        | {"attention.key_length": 24, "attention.value_length": 12},
        LATENT_SIZES,
    ),
    "gemma2": Preset("gemma2", DENSE | POST_NORMS, TIED, WINDOW | CAPS),
    "gemma3": Preset(
        "gemma3",
        DENSE | POST_NORMS | QK_NORM,
        TIED,
        WINDOW | {"rope.freq_base": 1e6},
        {"L": 6},  # the sixth layer is the first without a window
    ),
    "gemma3n": Preset(
        "gemma3n",
        DENSE | POST_NORMS | QK_NORM | LAYER_INPUTS | STREAMS,
        TIED | ALL_INPUTS | shapes("altup_proj.weight:SDD altup_unembd_proj.weight:SDD"),
        WINDOW
        | {
            "attention.sliding_window_pattern": [True, False, True, False],
            "attention.shared_kv_layers": 2,
            "embedding_length_per_layer_input": 8,
        },
        {"L": 4, "P": 8, "I": 32, "S": 3, "J": 4, "M": 16, "Z": 16},
    ),
    "gemma4": Preset(
        "gemma4",
        DENSE | POST_NORMS | QK_NORM | LAYER_INPUTS | shapes("layer_output_scale.weight:1"),
        TIED | ALL_INPUTS | shapes("rope_freqs.weight:r"),
        WINDOW
        | LOCAL_AND_GLOBAL
        | {
            "attention.sliding_window_pattern": [True, False, True, False],
            "attention.shared_kv_layers": 2,
            "embedding_length_per_layer_input": 8,
        },
        {"L": 4, "P": 8, "I": 32, "1": 1} | GEMMA4_SIZES,
        {1: GLOBAL, 3: GLOBAL | NO_KEYS},  # the third has keys that nobody needs
    ),
    "gemma4-moe": Preset(
        "gemma4",
        ATTENTION
        | POST_NORMS
        | QK_NORM
        | FFN_NORM
        | FFN
        | shapes("ffn_gate_inp.weight:ED ffn_gate_inp.scale:D ffn_gate_up_exps.weight:EGD")
        | shapes("ffn_down_exps.weight:EDF ffn_down_exps.scale:E pre_ffw_norm_2.weight:D")
        | shapes("post_ffw_norm_1.weight:D post_ffw_norm_2.weight:D"),
        TIED | shapes("rope_freqs.weight:r"),
        MOE | WINDOW | LOCAL_AND_GLOBAL,
        GEMMA4_SIZES,
        {1: GLOBAL | {"attn_v.weight": ""}},  # the keys are the values
    ),
    "phi3": Preset(
        "phi3",
        shapes("attn_norm.weight:D attn_qkv.weight:CD attn_output.weight:DA")
        | shapes("ffn_norm.weight:D ffn_up.weight:GD ffn_down.weight:DF"),
        UNTIED | shapes("rope_factors_long.weight:R rope_factors_short.weight:R"),
        {"rope.scaling.original_context_length": 128, "rope.scaling.attn_factor": 1.19},
    ),
    "mistral3": Preset("mistral3", DENSE, keys=YARN | {"attention.temperature_scale": 0.1}),
    "gpt2": Preset(
        "gpt2",
        shapes("attn_norm.weight:D attn_norm.bias:D attn_qkv.weight:CD attn_qkv.bias:C")
        | shapes("attn_output.weight:DA attn_output.bias:D ffn_norm.weight:D ffn_norm.bias:D")
        | shapes("ffn_up.weight:FD ffn_up.bias:F ffn_down.weight:DF ffn_down.bias:D"),
        TIED | shapes("output_norm.bias:D position_embd.weight:TD"),
        dimensions={"K": 4},
    ),
    "gpt-oss": Preset(
        "gpt-oss",
        ATTENTION
        | QKV_BIAS
        | EXPERTS
        | shapes("attn_output.bias:D attn_sinks.weight:H post_attention_norm.weight:D")
        | shapes("ffn_gate_inp.bias:E ffn_gate_exps.bias:EF ffn_up_exps.bias:EF")
        | shapes("ffn_down_exps.bias:ED"),
        keys=MOE | YARN | WINDOW,
    ),
    "lfm2moe": Preset(
        "lfm2moe",
        FFN_NORM
        | EXPERTS
        | CHOSEN_WITH_BIAS
        | shapes("attn_norm.weight:D shortconv.conv.weight:Dk")
        | shapes("shortconv.in_proj.weight:wD shortconv.out_proj.weight:DD"),
        shapes("token_embd.weight:VD token_embd_norm.weight:D"),
        MOE
        | {"shortconv.l_cache": 3, "expert_gating_func": 2, "attention.head_count_kv": [2, 0]}
        | WINDOW,
        {"w": 192, "k": 3},
        {
            0: ATTENTION
            | QK_NORM
            | instead(FFN, EXPERTS | CHOSEN_WITH_BIAS)
            | dict.fromkeys(
                ("shortconv.conv.weight", "shortconv.in_proj.weight", "shortconv.out_proj.weight"),
                "",
            )
        },
    ),
    "minimax-01": Preset(
        "minimax-01",
        shapes("attn_norm.weight:D attn_norm_2.weight:A attn_qkv.weight:qD attn_gate.weight:AD")
        | shapes("attn_output.weight:DA")
        | FFN_NORM
        | EXPERTS,
        keys=MOE | {"residual_scale": 3.5, "full_attention_interval": 2},
        dimensions={"q": 192},
        layers={
            1: ATTENTION
            | dict.fromkeys(("attn_norm_2.weight", "attn_qkv.weight", "attn_gate.weight"), "")
        },
    ),
    "nemotron_h_moe": Preset(
        "nemotron_h_moe",
        MAMBA_2,
        keys=MAMBA_2_KEYS
        | MOE
        | {"attention.head_count_kv": 0, "feed_forward_length": [0, 128, 128]}
        | {"expert_weights_norm": True, "expert_weights_scale": 2.5},
        dimensions=MAMBA_2_SIZES | {"L": 3, "l": 24},
        layers={
            1: instead(ROUTED_UNGATED, MAMBA_2)
            | shapes("ffn_up_exps.weight:EFD ffn_down_exps.weight:EDF"),
            2: instead(ROUTED_UNGATED, MAMBA_2)
            | shapes("ffn_up_exps.weight:EFl ffn_down_exps.weight:ElF")
            | shapes("ffn_latent_down.weight:lD ffn_latent_up.weight:Dl"),
        },
    ),
    "plamo2": Preset(
        "plamo2",
        FFN_NORM
        | HALVES
        | shapes("attn_norm.weight:D post_attention_norm:D post_ffw_norm:D")
        | PLAMO_SCAN,
        keys=MAMBA_2_KEYS | SECOND_ATTENDS,
        dimensions=MAMBA_2_SIZES | {"Y": 144, "X": 72, "v": 80, "u": 64},
        layers={
            1: instead(FUSED | shapes("attn_q_norm.weight:Hd attn_k_norm.weight:Kd"), PLAMO_SCAN)
        },
    ),
    "lfm2": Preset(
        "lfm2",
        DENSE | QK_NORM,
        shapes("token_embd.weight:VD token_embd_norm.weight:D"),
        {"shortconv.l_cache": 3},
    ),
    "chatglm": Preset("chatglm", ATTENTION | QKV_BIAS | FFN_NORM | HALVES, keys=HALF_ROTARY),
    "cogvlm": Preset(
        "cogvlm",
        FUSED
        | FFN_NORM
        | FFN
        | shapes("vis_attn_qkv.weight:CD vis_attn_output.weight:DA")
        | shapes("vis_gate.weight:FD vis_up.weight:FD vis_down.weight:DF"),
        dimensions={"K": 4},
    ),
    "cohere2": Preset("cohere2", ATTENTION | FFN, TIED, WINDOW | {"logit_scale": 0.25}, {"L": 4}),
    "command-r": Preset("command-r", ATTENTION | FFN, TIED, {"logit_scale": 0.25}),
    "deci": Preset("deci", DENSE, UNTIED | shapes("rope_freqs.weight:R")),
    "exaone4": Preset("exaone4", BRANCHES | QK_NORM | POST_NORMS, keys=WINDOW, dimensions={"L": 4}),
    "falcon": Preset(
        "falcon",
        FUSED | UNGATED | shapes("attn_norm.bias:D attn_norm_2.weight:D attn_norm_2.bias:D"),
        UNTIED_LAYER_NORM,
    ),
    "glm4": Preset("glm4", ATTENTION | QKV_BIAS | FFN_NORM | HALVES | POST_NORMS, keys=HALF_ROTARY),
    "falcon-h1": Preset(
        "falcon-h1",
        ATTENTION | MAMBA_2 | FFN | shapes("ffn_norm:D"),
        keys=MAMBA_2_KEYS,
        dimensions=MAMBA_2_SIZES,
    ),
    "granitehybrid": Preset(
        "granitehybrid",
        MAMBA_2 | FFN_NORM | FFN,
        keys=MAMBA_2_KEYS | SECOND_ATTENDS | {"residual_scale": 0.22, "embedding_scale": 12.0},
        dimensions=MAMBA_2_SIZES,
        layers={1: instead(ATTENTION, MAMBA_2)},
    ),
    "jamba": Preset(
        "jamba",
        MAMBA
        | shapes("ssm_dt_norm.weight:r ssm_b_norm.weight:n ssm_c_norm.weight:n")
        | FFN_NORM
        | FFN,
        keys=MAMBA_KEYS | SECOND_ATTENDS,
        dimensions=MAMBA_SIZES,
        layers={
            1: instead(ATTENTION, MAMBA)
            | dict.fromkeys(("ssm_dt_norm.weight", "ssm_b_norm.weight", "ssm_c_norm.weight"), "")
        },
    ),
    "mamba": Preset("mamba", MAMBA, keys=MAMBA_KEYS, dimensions=MAMBA_SIZES),
    "falcon-mamba": Preset(
        "mamba", MAMBA, keys=MAMBA_KEYS | {"ssm.dt_b_c_rms": True}, dimensions=MAMBA_SIZES
    ),
    "mamba2": Preset("mamba2", MAMBA_2, keys=MAMBA_2_KEYS, dimensions=MAMBA_2_SIZES),
    "nemotron_h": Preset(
        "nemotron_h",
        MAMBA_2,
        keys=MAMBA_2_KEYS
        | {"attention.head_count_kv": [0, 2, 0], "feed_forward_length": [0, 0, 128]},
        dimensions=MAMBA_2_SIZES | {"L": 3},
        layers={
            1: instead(ATTENTION, MAMBA_2),
            2: instead(UNGATED | shapes("attn_norm.weight:D"), MAMBA_2),
        },
    ),
    "gptneox": Preset(
        "gptneox",
        FUSED | FFN_NORM | UNGATED | LAYER_NORMS,
        UNTIED_LAYER_NORM,
        HALF_ROTARY | {"use_parallel_residual": True},
    ),
    "granite": Preset(
        "granite",
        DENSE,
        keys={"embedding_scale": 12.0, "residual_scale": 0.22, "logit_scale": 8.0}
        | {"attention.scale": 0.0625},
    ),
    "hunyuan-dense": Preset("hunyuan-dense", DENSE | QK_NORM, keys={"rope.scaling.alpha": 1000.0}),
    "nanbeige": Preset("nanbeige", DENSE, keys={"num_loops": 2}),
    "olmo2": Preset(
        "olmo2", BRANCHES | ROW_NORMS | POST_NORMS, keys=YARN | WINDOW, dimensions={"L": 4}
    ),
    "qwen3vl": Preset("qwen3vl", DENSE | QK_NORM, keys={"rope.dimension_sections": [3, 3, 2, 0]}),
    "arwkv7": Preset(
        "arwkv7",
        TIME_MIX_7 | shapes("time_mix_lerp_fused.weight:511D") | FFN_NORM | FFN,
        keys=RWKV_KEYS,
        dimensions=RWKV_SIZES,
    ),
    "rwkv6": Preset(
        "rwkv6",
        TIME_MIX_6
        | HEAD_NORM
        | CHANNEL_MIX
        | shapes("time_mix_key.weight:DD time_mix_value.weight:DD time_mix_first.weight:Hd")
        | shapes("channel_mix_lerp_r.weight:D channel_mix_receptance.weight:DD"),
        UNTIED | RWKV_TOP,
        RWKV_KEYS | {"rescale_every_n_layers": 2},
        RWKV_SIZES | {"L": 3},
    ),
    "rwkv6qwen2": Preset(
        "rwkv6qwen2",
        TIME_MIX_6
        | FFN_NORM
        | FFN
        | shapes("time_mix_key.weight:BD time_mix_key.bias:B time_mix_value.weight:BD"),
        keys=RWKV_KEYS,
        dimensions=RWKV_SIZES,
    ),
    "rwkv7": Preset(
        "rwkv7",
        TIME_MIX_7
        | HEAD_NORM
        | CHANNEL_MIX
        | shapes("time_mix_lerp_fused.weight:611D time_mix_g1.weight:yD time_mix_g2.weight:Dy"),
        UNTIED | RWKV_TOP,
        RWKV_KEYS,
        RWKV_SIZES,
    ),
    "smollm3": Preset("smollm3", DENSE, dimensions={"L": 4}),
    "starcoder2": Preset(
        "starcoder2", ATTENTION | FFN_NORM | LAYER_NORMS | UNGATED, UNTIED_LAYER_NORM
    ),
    "qwen35": Preset(
        "qwen35",
        DELTA | FFN,
        keys=DELTA_KEYS,
        dimensions=DELTA_SIZES,
        layers={1: GATED_ATTENTION},
    ),
    "qwen35moe": Preset(
        "qwen35moe",
        DELTA | EXPERTS | GATED_SHARED_EXPERT,
        keys=DELTA_KEYS | MOE,
        dimensions=DELTA_SIZES,
        layers={1: GATED_ATTENTION},
    ),
    "qwen3next": Preset(
        "qwen3next",
        DELTA | MERGED_CONTROLS | EXPERTS | GATED_SHARED_EXPERT,
        keys=DELTA_KEYS | MOE,
        dimensions=DELTA_SIZES,
        layers={1: GATED_ATTENTION | {"ssm_ba.weight": ""}},
    ),
    "apertus": Preset(
        "apertus",
        ATTENTION | QK_NORM | FFN_NORM | shapes("ffn_up.weight:FD ffn_down.weight:DF"),
        bare_keys={"xielu.alpha_p": 0.8, "xielu.alpha_n": [0.7, 0.6], "xielu.beta": 0.5},
    ),
    "arcee": Preset("arcee", ATTENTION | FFN_NORM | shapes("ffn_up.weight:FD ffn_down.weight:DF")),
    "baichuan": Preset("baichuan", DENSE),
    "bloom": Preset(
        "bloom",
        FUSED | FFN_NORM | UNGATED | LAYER_NORMS,
        UNTIED_LAYER_NORM | shapes("token_embd_norm.weight:D token_embd_norm.bias:D"),
        dimensions={"H": 6, "K": 6, "d": 16},  # no power of two
    ),
    "chameleon": Preset(
        "chameleon",
        DENSE | shapes("attn_q_norm.weight:Hd attn_k_norm.weight:Kd attn_q_norm.bias:Hd"),
        keys={"swin_norm": True},
    ),
    "hrm_text": Preset(
        "hrm_text",
        BRANCHES | shapes("attn_gate.weight:AD"),
        shapes("token_embd.weight:VD output.weight:VD hrm.z_l_init:D"),
        {"hrm.layers_per_stack": 1, "hrm.h_cycles": 1, "hrm.l_cycles": 3},
        {"L": 4},
    ),
    "jais": Preset(
        "jais",
        FUSED | FFN_NORM | FFN | LAYER_NORMS | shapes("ffn_gate.bias:F ffn_up.bias:F"),
        UNTIED_LAYER_NORM,
        {"attention.max_alibi_bias": 8.0},
    ),
    "mpt": Preset(
        "mpt",
        FUSED
        | FFN_NORM
        | UNGATED
        | shapes("attn_q_norm.weight:A attn_k_norm.weight:B ffn.act.scales:F"),
        TIED | shapes("position_embd.weight:TD"),
        {"attention.max_alibi_bias": 8.0, "attention.clamp_kqv": 0.5},
    ),
    "muse-glimmer": Preset(
        "muse-glimmer",
        DENSE | QK_NORM | POST_NORMS | shapes("attn_gate.weight:AD"),
        keys=WINDOW | {"logit_scale": 0.25},
        dimensions={"L": 4},
    ),
    "nemotron": Preset("nemotron", ATTENTION | FFN_NORM | LAYER_NORMS | UNGATED, UNTIED_LAYER_NORM),
    "olmo": Preset(
        "olmo",
        BRANCHES,
        shapes("token_embd.weight:VD output.weight:VD"),
        {"attention.clamp_kqv": 0.5},
    ),
    "plamo3": Preset(
        "plamo3",
        FUSED | QK_NORM | FFN_NORM | HALVES | shapes("post_attention_norm:D post_ffw_norm:D"),
        keys=WINDOW | {"attention.sliding_window_pattern": [True, False]},
    ),
    "spark2_5": Preset(
        "spark2_5",
        DENSE | shapes("attn_gate.weight:HD"),
        keys=WINDOW
        | {"attention.sliding_window_pattern": [True, False]}
        | {"rope.freq_base_swa": 500.0, "rope.dimension_count_swa": 8},
    ),
    "stablelm": Preset(
        "stablelm",
        ATTENTION | FFN | shapes("attn_norm.bias:D attn_q_norm.weight:Hd attn_k_norm.weight:Kd"),
        UNTIED_LAYER_NORM,
    ),
    "talkie": Preset(
        "talkie",
        BRANCHES | shapes("attn_q_norm.weight:H1 layer_output_scale.weight:1"),
        shapes("token_embd.weight:VD output.weight:VD"),
        {"logit_scale": 0.5},
    ),
    "bitnet": Preset(
        "bitnet", DENSE | shapes("attn_sub_norm.weight:A ffn_sub_norm.weight:F"), TIED
    ),
}


def llama_tokenizer() -> dict[str, Any]:
    """SentencePiece: bytes, letters and a few words that merge; ChatML's two tokens."""
    words = ["▁t", "he", "▁the", "in", "▁a", "nd", "▁and", "er", "ou", "▁h", "▁w", "ll", "▁he"]
    words += ["llo", "▁hello", "▁you", "▁y", "or", "ld", "▁wor", "▁world", "is", "▁is"]
    letters = list("▁abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ.,!?'-\n")
    pieces = words + letters
    special = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256))]
    return {
        "tokenizer.ggml.model": "llama",
        "tokenizer.ggml.tokens": [*special, *pieces, "<|im_start|>", "<|im_end|>"],
        "tokenizer.ggml.scores": [*[0.0] * 259, *[-float(i) for i in range(len(pieces))], 0.0, 0.0],
        "tokenizer.ggml.token_type": [2, 3, 3, *[6] * 256, *[1] * len(pieces), 3, 3],
        "tokenizer.ggml.unknown_token_id": 0,
        "tokenizer.ggml.bos_token_id": 1,
        "tokenizer.ggml.eos_token_id": 2,
        "tokenizer.ggml.add_bos_token": True,
        "tokenizer.ggml.add_eos_token": False,
        "tokenizer.ggml.add_space_prefix": True,
    }


def gpt2_tokenizer() -> dict[str, Any]:
    """Byte-level BPE: 256 bytes, a few merges, ChatML's two tokens."""
    plain = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    letters = [chr(byte) for byte in plain] + [chr(0x100 + i) for i in range(256 - len(plain))]
    merges = ["h e", "l l", "Ġ t", "i n", "Ġt he", "ll o", "he llo", "Ġ a", "o r", "l d", "Ġ w"]
    words = [merge.replace(" ", "") for merge in merges]
    tokens = [*letters, *words, "<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    return {
        "tokenizer.ggml.model": "gpt2",
        "tokenizer.ggml.pre": "gpt-2",
        "tokenizer.ggml.tokens": tokens,
        "tokenizer.ggml.token_type": [*[1] * (len(tokens) - 3), 3, 3, 3],
        "tokenizer.ggml.merges": merges,
        "tokenizer.ggml.bos_token_id": len(tokens) - 3,
        "tokenizer.ggml.eos_token_id": len(tokens) - 3,
        "tokenizer.ggml.add_bos_token": False,
    }
