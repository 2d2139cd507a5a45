"""Tiny models whose parts no other architecture has."""

from typing import Any

import numpy as np
from preset_parts import (
    CHOSEN_WITH_BIAS,
    DELTA,
    DELTA_KEYS,
    DELTA_SIZES,
    EXPERTS,
    FFN,
    FFN_NORM,
    FUSED,
    GATED_ATTENTION,
    GATED_SHARED_EXPERT,
    KIMI_DELTA,
    KIMI_KEYS,
    KIMI_SIZES,
    LATENT_SIZES,
    LOW_RANK_QUERIES,
    MOE,
    SHARED_EXPERT,
    UNTIED,
    WINDOW,
    YARN,
    Preset,
    instead,
    shapes,
)

# adapters of rank r for two kinds of tokens, and slot 0 for the others: s slots
SWITCHED = {
    f"{name}.lora_{part}": f"s{shape}"
    for name, down, up in (
        ("attn_q", "rD", "Ar"),
        ("attn_k", "rD", "Br"),
        ("attn_v", "rD", "Br"),
        ("attn_output", "rA", "Dr"),
        ("ffn_gate", "rD", "Fr"),
        ("ffn_up", "rD", "Fr"),
        ("ffn_down", "rF", "Dr"),
    )
    for part, shape in (("a", down), ("b", up))
}
# four streams beside each other: M columns in all, m numbers that mix them, 4 of what enters
MIXED_STREAMS = shapes(
    "hc_attn_fn.weight:mM hc_attn_base.weight:m hc_attn_scale.weight:3"
    " hc_ffn_fn.weight:mM hc_ffn_base.weight:m hc_ffn_scale.weight:3"
)
STREAM_SIZES = {"M": 256, "m": 24, "3": 3, "4": 4}
STREAM_KEYS: dict[str, Any] = {
    "hyper_connection.count": 4,
    "hyper_connection.epsilon": 1e-6,
    "hyper_connection.sinkhorn_iterations": 20,
    "swiglu_clamp_exp": [0.1, 0.2],
    "expert_shared_count": 1,
}
POOLED_INDEXER = shapes(
    "indexer.k_norm.weight:i indexer.k_norm.bias:i indexer.proj.weight:2D"
    " indexer.attn_k.weight:iD indexer.attn_q_b.weight:er indexer_compressor_gate.weight:iD"
    " indexer_compressor_ape.weight:4i"
)
# four streams behind a gate of rank l; n-grams of up to three tokens, in four heads of p columns
GATED_STREAMS = {
    f"hc_{half}_{part}.weight": shape
    for half in ("attn", "ffn")
    for part, shape in (("norm", "4D"), ("down", "lM"), ("up", "Ml"), ("inject", "4M"))
}
NGRAMS = shapes(
    "ple_key.weight:MD ple_value.weight:DD ple_norm_key.weight:4D ple_norm_query.weight:4D"
    " ple_norm_conv.weight:4D ple_conv1d.weight:Mk"
)
NO_NORMS = {"attn_norm.weight": "", "post_attention_norm.weight": ""}
BLOCK_INDEXER = shapes(
    "indexer.q_proj.weight:bD indexer.k_proj.weight:sD indexer.q_norm.weight:s"
    " indexer.k_norm.weight:s"
)
RARE = {
    "qwen4exp": Preset(
        "qwen4exp",
        DELTA | NO_NORMS | EXPERTS | GATED_SHARED_EXPERT | GATED_STREAMS,
        shapes("token_embd.weight:VD output.weight:VD per_layer_token_embd.weight:Tp")
        | shapes("output_hc_norm.weight:4D output_hc_down.weight:lM output_hc_up.weight:Ml"),
        DELTA_KEYS
        | MOE
        | {"hyper_connection.count": 4, "hyper_connection.low_rank": 8}
        | {"expert_shared_feed_forward_length": 24, "rope.dimension_sections": [2, 1, 1, 0]}
        | {"attention.indexer.head_count": 2, "attention.indexer.key_length": 16}
        | {"attention.indexer.top_k": 256, "attention.compress_ratios": [0, 4]}
        | {"ple.layers": [0], "ple.ngram_size": 3, "ple.heads_per_ngram": 2}
        | {"ple.conv_kernel": 4, "ple.eos_token_id": 2, "embedding_length_per_layer_input": 16}
        | {
            "ple.layer_multipliers": np.array([(1 << 63) + 9, 987654321987, 77777777777], "u8"),
            "ple.head_vocab_sizes": np.array([61, 59, 67, 53], "u8"),
            "ple.head_offsets": np.array([0, 61, 120, 187], "u8"),
        },
        DELTA_SIZES | STREAM_SIZES | {"l": 8, "p": 16, "b": 32},
        {0: NGRAMS, 1: GATED_ATTENTION | NO_NORMS | BLOCK_INDEXER},
    ),
    "deepseek4": Preset(
        "deepseek4",
        FFN_NORM
        | EXPERTS
        | SHARED_EXPERT
        | MIXED_STREAMS
        | shapes("attn_norm.weight:D attn_q_a.weight:rD attn_q_a_norm.weight:r attn_q_b.weight:Mr")
        | shapes("attn_kv.weight:jD attn_kv_a_norm.weight:j attn_sinks.weight:H")
        | shapes("attn_output_a.weight:2vI attn_output_b.weight:Dn")
        | CHOSEN_WITH_BIAS,
        UNTIED | shapes("output_hc_fn.weight:4M output_hc_base.weight:4 output_hc_scale.weight:1"),
        MOE
        | STREAM_KEYS
        | WINDOW
        | YARN
        | {"attention.key_length": 64, "attention.value_length": 64, "rope.dimension_count": 16}
        | {"attention.head_count_kv": 1, "attention.q_lora_rank": 32}
        | {"attention.output_group_count": 2, "attention.output_lora_rank": 12}
        | {"attention.compress_ratios": [0, 4, 128], "attention.compress_rope_freq_base": 50000.0}
        | {"attention.indexer.head_count": 2, "attention.indexer.key_length": 64}
        | {"attention.indexer.top_k": 64, "hash_layer_count": 1, "expert_gating_func": 4}
        | {"expert_weights_norm": True, "expert_weights_scale": 1.5}
        | {"swiglu_clamp_exp": [0.1, 0.2, 0.3], "swiglu_clamp_shexp": [0.2, 0.1, 0.3]},
        STREAM_SIZES
        | {
            "L": 3,
            "H": 4,
            "r": 32,
            "j": 64,
            "v": 12,
            "n": 24,
            "I": 128,
            "1": 1,
            "2": 2,
            "i": 64,
            "x": 128,
        },
        {
            0: {"exp_probs_b.bias": ""} | shapes("ffn_gate_tid2eid.weight:V2"),
            1: shapes(
                "attn_compressor_kv.weight:ID attn_compressor_gate.weight:ID"
                " attn_compressor_ape.weight:4I attn_compressor_norm.weight:j"
                " indexer.proj.weight:2D indexer.attn_q_b.weight:xr indexer_compressor_kv.weight:xD"
                " indexer_compressor_gate.weight:xD indexer_compressor_ape.weight:4x"
                " indexer_compressor_norm.weight:i"
            ),
            2: shapes(
                "attn_compressor_kv.weight:jD attn_compressor_gate.weight:jD"
                " attn_compressor_ape.weight:Ij attn_compressor_norm.weight:j"
            ),
        },
    ),
    "glm5-next": Preset(
        "glm5-next",
        KIMI_DELTA
        | shapes("ssm_a:h")
        | FFN_NORM
        | EXPERTS
        | SHARED_EXPERT
        | CHOSEN_WITH_BIAS
        | MIXED_STREAMS,
        keys=KIMI_KEYS
        | MOE
        | STREAM_KEYS
        | {"attention.key_length": 32, "attention.value_length": 32, "rope.dimension_count": 0}
        | {
            "attention.q_lora_rank": 32,
            "attention.kv_lora_rank": 32,
            "leading_dense_block_count": 1,
        }
        | {"attention.key_length_mla": 16, "attention.value_length_mla": 12}
        | {"attention.head_count": 4, "attention.head_count_kv": [1, 0]}
        | {"expert_gating_func": 2, "expert_weights_norm": True, "expert_weights_scale": 2.5}
        | {"attention.indexer.head_count": 2, "attention.indexer.key_length": 8}
        | {"attention.indexer.top_k": 256, "attention.indexer.kpool": 4}
        | {"kda.gate_lower_bound": -5.0},
        dimensions=KIMI_SIZES
        | LATENT_SIZES
        | STREAM_SIZES
        | {"q": 64, "m": 24, "l": 32, "i": 8, "e": 16, "2": 2},
        layers={
            0: instead(
                FFN
                | LOW_RANK_QUERIES
                | POOLED_INDEXER
                | shapes("attn_norm.weight:D attn_kv_a_mqa.weight:rD attn_kv_a_norm.weight:r")
                | shapes("attn_output.weight:Do attn_k_b.weight:Hrn attn_v_b.weight:Hvr"),
                KIMI_DELTA | EXPERTS | SHARED_EXPERT | CHOSEN_WITH_BIAS,
            )
        },
    ),
    "graniteswitch": Preset(
        "graniteswitch",
        FUSED | FFN_NORM | FFN | SWITCHED,
        keys={"embedding_scale": 12.0, "residual_scale": 0.22, "logit_scale": 8.0}
        | {"adapters.count": 2, "adapters.lora_rank": 8, "rope.scaling.finetuned": True}
        | {"adapters.token_ids_activate": [40, 41], "adapters.token_ids_substitute": [50, 51]},
        dimensions={"r": 8, "s": 3},
    ),
}
