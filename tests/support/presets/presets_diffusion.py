"""Tiny models that see all tokens."""

from preset_parts import ATTENTION, DENSE, EXPERTS, FFN_NORM, MOE, QK_NORM, QKV_BIAS, Preset

EXPERT_BLOCK = ATTENTION | QK_NORM | FFN_NORM | EXPERTS
DIFFUSION = {
    "dream": Preset("dream", DENSE | QKV_BIAS),
    "llada": Preset("llada", DENSE),
    "llada-moe": Preset("llada-moe", EXPERT_BLOCK, keys=MOE),
    "rnd1": Preset("rnd1", EXPERT_BLOCK, keys=MOE),
}
