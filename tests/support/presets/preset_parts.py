"""What the tiny models of `make_gguf.py` consist of: tensors and metadata, by their parts.

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
