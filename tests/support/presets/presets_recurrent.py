"""Tiny models with layers that keep a state of fixed size."""

from preset_parts import (
    ATTENTION,
    CHANNEL_MIX,
    CHOSEN_WITH_BIAS,
    DELTA,
    DELTA_KEYS,
    DELTA_SIZES,
    DENSE,
    EXPERTS,
    FFN,
    FFN_NORM,
    FUSED,
    GATED_ATTENTION,
    GATED_SHARED_EXPERT,
    HALVES,
    HEAD_NORM,
    KIMI_DELTA,
    KIMI_KEYS,
    KIMI_SIZES,
    LATENT,
    LATENT_KEYS,
    LATENT_SIZES,
    LOW_RANK_QUERIES,
    MAMBA,
    MAMBA_2,
    MAMBA_2_KEYS,
    MAMBA_2_SIZES,
    MAMBA_KEYS,
    MAMBA_SIZES,
    MERGED_CONTROLS,
    MOE,
    PLAMO_SCAN,
    QK_NORM,
    ROUTED_UNGATED,
    RWKV_KEYS,
    RWKV_SIZES,
    RWKV_TOP,
    SECOND_ATTENDS,
    SHARED_EXPERT,
    TIME_MIX_6,
    TIME_MIX_7,
    UNGATED,
    UNTIED,
    WINDOW,
    Preset,
    instead,
    shapes,
)

RECURRENT = {
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
}
