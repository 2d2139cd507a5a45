"""Tiny encoders: bert and its relatives, decoders' blocks that see whole texts, and T5."""

from preset_parts import (
    DENSE,
    FFN,
    FFN_NORM,
    FUSED,
    HALVES,
    POST_NORMS,
    QK_NORM,
    QKV_BIAS,
    TIED,
    UNGATED,
    WINDOW,
    Preset,
    instead,
    shapes,
)

EMBEDDED = shapes(
    "token_embd.weight:VD token_types.weight:2D token_embd_norm.weight:D token_embd_norm.bias:D"
)
PROJECTED = shapes("attn_q.weight:AD attn_k.weight:AD attn_v.weight:AD attn_output.weight:DA")
BIASES = shapes("attn_q.bias:A attn_k.bias:A attn_v.bias:A attn_output.bias:D")
SUM_NORMS = shapes(
    "attn_output_norm.weight:D attn_output_norm.bias:D"
    " layer_output_norm.weight:D layer_output_norm.bias:D"
)
BERT = PROJECTED | BIASES | SUM_NORMS | UNGATED
FUSED_ATTENTION = shapes("attn_qkv.weight:CD attn_output.weight:DA")
UNGATED_EXPERTS = shapes("ffn_gate_inp.weight:ED ffn_up_exps.weight:EFD ffn_down_exps.weight:EDF")
CODE = shapes(
    "attn_q_norm.weight:A attn_q_norm.bias:A attn_k_norm.weight:A attn_k_norm.bias:A"
    " attn_norm_2.weight:D attn_norm_2.bias:D"
)
NEW_NORMS = shapes("token_embd.weight:VD token_embd_norm.weight:D output_norm.weight:D")
POSITIONS = shapes("position_embd.weight:TD")
JUDGE = shapes("cls.weight:DD cls.bias:D cls.output.weight:1D cls.output.bias:1")
HEADS = {"K": 4}  # as many of keys as of queries
MEAN, FIRST, LAST, RANK = ({"pooling_type": number} for number in (1, 2, 3, 4))


def in_stack(stack: str, text: str) -> dict[str, str]:
    return {f"{stack}.{name}": shape for name, shape in shapes(text).items()}


RELATIVE = (
    "attn_norm.weight:D attn_q.weight:AD attn_k.weight:AD attn_v.weight:AD attn_o.weight:DA"
    " ffn_norm.weight:D ffn_up.weight:FD ffn_down.weight:DF"
)
CROSS = (
    "cross_attn_norm.weight:D cross_attn_q.weight:AD cross_attn_k.weight:AD"
    " cross_attn_v.weight:AD cross_attn_o.weight:DA"
)
T5_ENCODER = in_stack("enc", RELATIVE)
T5 = T5_ENCODER | in_stack("dec", f"{RELATIVE} {CROSS}")
T5_GATES = in_stack("enc", "ffn_gate.weight:FD") | in_stack("dec", "ffn_gate.weight:FD")
T5_TOP = shapes("token_embd.weight:VD enc.output_norm.weight:D dec.output_norm.weight:D")
T5_BIASES = {
    0: in_stack("enc", "attn_rel_b.weight:bH")
    | in_stack("dec", "attn_rel_b.weight:bH cross_attn_rel_b.weight:bH")
}
BUCKETS = {"attention.relative_buckets_count": 32}
START = BUCKETS | {"decoder_start_token_id": 0}
T5_SIZES = {"K": 4, "b": 32, "d": 8}  # scores that are not scaled, of narrow heads

ENCODER_DECODERS = {
    "t5": Preset("t5", T5, T5_TOP, START, T5_SIZES, T5_BIASES),
    "t5-gated": Preset(
        "t5", T5 | T5_GATES, T5_TOP | shapes("output.weight:VD"), START, T5_SIZES, T5_BIASES
    ),
}
"""What reads a prompt, and what answers it."""

ENCODERS = {
    "t5encoder": Preset(
        "t5encoder",
        T5_ENCODER,
        shapes("token_embd.weight:VD enc.output_norm.weight:D"),
        BUCKETS | {"pooling_type": 1},
        T5_SIZES,
        {0: in_stack("enc", "attn_rel_b.weight:bH")},
    ),
    "bert": Preset("bert", BERT, EMBEDDED | POSITIONS, FIRST, HEADS | {"2": 2}),
    "bert-rank": Preset("bert", BERT, EMBEDDED | POSITIONS | JUDGE, RANK, HEADS | {"2": 2}),
    "nomic-bert": Preset(
        "nomic-bert", FUSED_ATTENTION | FFN | SUM_NORMS, EMBEDDED, MEAN, HEADS | {"2": 2}
    ),
    "nomic-bert-moe": Preset(
        "nomic-bert-moe",
        FUSED_ATTENTION | shapes("attn_qkv.bias:C attn_output.bias:D") | SUM_NORMS | UNGATED,
        EMBEDDED,
        MEAN | {"expert_count": 4, "expert_used_count": 2, "moe_every_n_layers": 2},
        HEADS | {"2": 2},
        {1: instead(UNGATED_EXPERTS, UNGATED)},
    ),
    "jina-bert-v2": Preset(
        "jina-bert-v2",
        PROJECTED | BIASES | SUM_NORMS | FFN | shapes("ffn_down.bias:D"),
        EMBEDDED,
        MEAN,
        HEADS | {"2": 2},
    ),
    "jina-bert-v2-code": Preset(
        "jina-bert-v2",
        PROJECTED | BIASES | SUM_NORMS | CODE | HALVES | shapes("ffn_down.bias:D"),
        EMBEDDED,
        MEAN,
        HEADS | {"2": 2},
    ),
    "jina-bert-v3": Preset(
        "jina-bert-v3",
        FUSED_ATTENTION | shapes("attn_qkv.bias:C attn_output.bias:D") | SUM_NORMS | UNGATED,
        EMBEDDED,
        MEAN,
        HEADS | {"2": 2},
    ),
    "modern-bert": Preset(
        "modern-bert",
        FUSED | FFN_NORM | HALVES,
        NEW_NORMS,
        FIRST | WINDOW,
        HEADS | {"L": 4},
        {0: {"attn_norm.weight": ""}},
    ),
    "modern-bert-rank": Preset(
        "modern-bert",
        FUSED | FFN_NORM | HALVES,
        NEW_NORMS
        | shapes("cls.weight:DD cls.norm.weight:D cls.output.weight:1D cls.output.bias:1"),
        RANK | WINDOW | {"hidden_activation": "silu"},
        HEADS | {"L": 4},
        {0: {"attn_norm.weight": ""}},
    ),
    "neo-bert": Preset(
        "neo-bert",
        FUSED | FFN_NORM | HALVES,
        shapes("token_embd.weight:VD enc.output_norm.weight:D"),
        FIRST,
        HEADS,
    ),
    "eurobert": Preset("eurobert", DENSE, TIED, LAST),
    "llama-embed": Preset("llama-embed", DENSE, TIED, MEAN),
    "gemma-embedding": Preset(
        "gemma-embedding",
        DENSE | POST_NORMS | QK_NORM,
        TIED | shapes("dense_2.weight:FD dense_3.weight:DF"),
        MEAN | WINDOW,
        {"L": 6},
    ),
    "qwen3-embed": Preset("qwen3", DENSE | QK_NORM, TIED, LAST, {"H": 8}),
    "qwen3-rank": Preset(
        "qwen3", DENSE | QK_NORM, TIED | shapes("cls.output.weight:2D"), RANK, {"2": 2}
    ),
    "qwen2-uncausal": Preset("qwen2", DENSE | QKV_BIAS, keys=LAST | {"attention.causal": False}),
}
