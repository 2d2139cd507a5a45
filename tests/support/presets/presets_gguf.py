"""The tiny models of `make_gguf.py`, by name."""

from preset_parts import (
    ALL_INPUTS,
    ATTENTION,
    BRANCHES,
    CAPS,
    CHOSEN_WITH_BIAS,
    DENSE,
    EXPERTS,
    FFN,
    FFN_NORM,
    FUSED,
    GEMMA4_SIZES,
    GLOBAL,
    HALF_ROTARY,
    HALVES,
    LATENT,
    LATENT_KEYS,
    LATENT_SIZES,
    LAYER_INPUTS,
    LAYER_NORMS,
    LOCAL_AND_GLOBAL,
    LOW_RANK_QUERIES,
    MOE,
    NO_KEYS,
    POST_NORMS,
    QK_NORM,
    QKV_BIAS,
    ROW_NORMS,
    SHARED_EXPERT,
    STREAMS,
    TIED,
    UNGATED,
    UNTIED,
    UNTIED_LAYER_NORM,
    WINDOW,
    YARN,
    Preset,
    instead,
    shapes,
)
from presets_diffusion import DIFFUSION
from presets_encoders import ENCODER_DECODERS, ENCODERS
from presets_rare import RARE
from presets_recurrent import RECURRENT

OTHERS = DIFFUSION | ENCODERS | ENCODER_DECODERS | RARE | RECURRENT
PRESETS = {
    "llama": Preset("llama", DENSE),
    "llama-moe": Preset("llama", ATTENTION | FFN_NORM | EXPERTS, keys=MOE),
    "qwen2": Preset("qwen2", DENSE | QKV_BIAS),
    "qwen3": Preset("qwen3", DENSE | QK_NORM, dimensions={"H": 8}),
    "qwen3moe": Preset("qwen3moe", ATTENTION | QK_NORM | FFN_NORM | EXPERTS, keys=MOE),
    "grovemoe": Preset(
        "grovemoe",
        ATTENTION
        | QK_NORM
        | FFN_NORM
        | EXPERTS
        | shapes("ffn_gate_chexps.weight:2dD ffn_up_chexps.weight:2dD ffn_down_chexps.weight:2Dd"),
        keys=MOE | {"experts_per_group": 2, "expert_group_scale": 0.05},
        dimensions={"2": 2},
    ),
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
    "smollm3": Preset("smollm3", DENSE, dimensions={"L": 4}),
    "starcoder2": Preset(
        "starcoder2", ATTENTION | FFN_NORM | LAYER_NORMS | UNGATED, UNTIED_LAYER_NORM
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
} | OTHERS
