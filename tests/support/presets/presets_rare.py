"""Tiny models whose parts no other architecture has."""

from preset_parts import FFN, FFN_NORM, FUSED, Preset

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
RARE = {
    "graniteswitch": Preset(
        "graniteswitch",
        FUSED | FFN_NORM | FFN | SWITCHED,
        keys={"embedding_scale": 12.0, "residual_scale": 0.22, "logit_scale": 8.0}
        | {"adapters.count": 2, "adapters.lora_rank": 8, "rope.scaling.finetuned": True}
        | {"adapters.token_ids_activate": [40, 41], "adapters.token_ids_substitute": [50, 51]},
        dimensions={"r": 8, "s": 3},
    ),
}
