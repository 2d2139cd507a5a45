"""Forward passes of transformers' models in float64, written from their definitions.

They know nothing of GGUF: rotary pairs are halves, norms of Gemma add one, Conv1D is transposed.
"""

import math
from collections.abc import Callable, Mapping, Sequence

import numpy as np
from make_folder import Made
from numpy.typing import NDArray

Values = NDArray[np.float64]


def logits(made: Made, ids: Sequence[int]) -> Values:  # (T, V)
    name = made.config["architectures"][0]
    weights = {key: value.astype(np.float64) for key, value in made.weights.items()}
    if name == "GPT2LMHeadModel":
        return _gpt2(made.config, weights, ids)
    if name == "BertModel":
        return _bert(made.config, weights, ids)
    return _decoder(name.removesuffix("ForCausalLM"), made.config, weights, ids)


def _decoder(kind: str, config: Mapping, w: Mapping[str, Values], ids: Sequence[int]) -> Values:
    gemma, eps = kind.startswith("Gemma"), config["rms_norm_eps"]

    def norm(x: Values, name: str) -> Values:
        scaled = x / np.sqrt((x * x).mean(-1, keepdims=True) + eps)
        return scaled * (w[name] + gemma)

    x = w["model.embed_tokens.weight"][list(ids)]
    if gemma:
        x = x * math.sqrt(config["hidden_size"])
    for layer in range(config["num_hidden_layers"]):
        at = f"model.layers.{layer}."
        y = _attention(kind, config, w, at, layer, norm(x, at + "input_layernorm.weight"), norm)
        if gemma:
            x = x + norm(y, at + "post_attention_layernorm.weight")
            y = _gated(w, at, norm(x, at + "pre_feedforward_layernorm.weight"), _gelu)
            x = x + norm(y, at + "post_feedforward_layernorm.weight")
        else:
            x = x + y
            x = x + _gated(w, at, norm(x, at + "post_attention_layernorm.weight"), _silu)
    head = w.get("lm_head.weight", w["model.embed_tokens.weight"])
    y = norm(x, "model.norm.weight") @ head.T
    cap = config.get("final_logit_softcapping")
    return cap * np.tanh(y / cap) if cap else y


def _attention(
    kind: str,
    config: Mapping,
    w: Mapping[str, Values],
    at: str,
    layer: int,
    x: Values,
    norm: Callable[[Values, str], Values],
) -> Values:
    heads, kv = config["num_attention_heads"], config["num_key_value_heads"]
    width = config.get("head_dim", config["hidden_size"] // heads)
    at += "self_attn."
    if at + "qkv_proj.weight" in w:
        parts = np.split(x @ w[at + "qkv_proj.weight"].T, [heads * width, (heads + kv) * width], -1)
    else:
        parts = [
            x @ w[f"{at}{part}_proj.weight"].T + w.get(f"{at}{part}_proj.bias", 0) for part in "qkv"
        ]
    q, k, v = (part.reshape(len(x), -1, width) for part in parts)
    if at + "q_norm.weight" in w:
        q, k = norm(q, at + "q_norm.weight"), norm(k, at + "k_norm.weight")
    is_local = (kind == "Gemma2" and layer % 2 == 0) or (kind == "Gemma3" and (layer + 1) % 6 != 0)
    base = config["rope_theta"]
    if kind == "Gemma3" and is_local:
        base = config["rope_local_base_freq"]
    frequencies, size = _frequencies(config, base, width)
    q, k = (_turned(part, frequencies, size) for part in (q, k))
    window = config["sliding_window"] if is_local else None
    cap = config.get("attn_logit_softcapping")
    out = _weighed(q, k, v, window=window, cap=cap, causal=True)
    return out @ w[at + "o_proj.weight"].T


def _frequencies(config: Mapping, base: float, width: int) -> tuple[Values, float]:
    """And the factor of the rotated values."""
    plain = 1 / base ** (np.arange(0, width, 2) / width)
    scaling = config.get("rope_scaling") or {}
    kind = scaling.get("rope_type", scaling.get("type"))
    if kind == "longrope":  # a context longer than the original one has the long factors
        original, whole = (
            config["original_max_position_embeddings"],
            config["max_position_embeddings"],
        )
        size = math.sqrt(1 + math.log(whole / original) / math.log(original))
        return plain / np.array(scaling["long_factor"]), size
    if kind != "llama3":
        return plain, 1.0
    factor, original = scaling["factor"], scaling["original_max_position_embeddings"]
    low, high = scaling["low_freq_factor"], scaling["high_freq_factor"]
    found = []
    for frequency in plain:
        length = 2 * math.pi / frequency
        if length < original / high:
            found.append(frequency)
        elif length > original / low:
            found.append(frequency / factor)
        else:
            smooth = (original / length - low) / (high - low)
            found.append((1 - smooth) * frequency / factor + smooth * frequency)
    return np.array(found), 1.0


def _turned(x: Values, frequencies: Values, size: float) -> Values:  # (T, H, d)
    angles = np.arange(len(x))[:, None] * frequencies
    cos, sin = np.cos(angles)[:, None] * size, np.sin(angles)[:, None] * size
    a, b = np.split(x, 2, -1)
    return np.concatenate([a * cos - b * sin, b * cos + a * sin], -1)


def _weighed(
    q: Values,
    k: Values,
    v: Values,
    *,
    causal: bool,
    window: int | None = None,
    cap: float | None = None,
) -> Values:  # (T, H*d)
    k, v = (np.repeat(part, q.shape[1] // k.shape[1], 1) for part in (k, v))
    scores = np.einsum("qhd,khd->hqk", q, k) / math.sqrt(q.shape[-1])
    if cap:
        scores = cap * np.tanh(scores / cap)
    ahead = np.arange(len(q))[:, None] - np.arange(len(q))[None]
    if causal:
        scores = np.where(ahead < 0, -np.inf, scores)
    if window:
        scores = np.where(ahead >= window, -np.inf, scores)
    scores = np.exp(scores - scores.max(-1, keepdims=True))
    scores /= scores.sum(-1, keepdims=True)
    return np.einsum("hqk,khd->qhd", scores, v).reshape(len(q), -1)


def _gated(w: Mapping[str, Values], at: str, x: Values, act: Callable[[Values], Values]) -> Values:
    at += "mlp."
    if at + "gate_up_proj.weight" in w:
        gate, up = np.split(x @ w[at + "gate_up_proj.weight"].T, 2, -1)
    else:
        gate, up = x @ w[at + "gate_proj.weight"].T, x @ w[at + "up_proj.weight"].T
    return (act(gate) * up) @ w[at + "down_proj.weight"].T


def _gpt2(config: Mapping, w: Mapping[str, Values], ids: Sequence[int]) -> Values:
    def norm(x: Values, name: str) -> Values:
        return _layer_norm(x, w, name, config["layer_norm_epsilon"])

    def conv(x: Values, name: str) -> Values:
        return x @ w[name + ".weight"] + w[name + ".bias"]

    x = w["transformer.wte.weight"][list(ids)] + w["transformer.wpe.weight"][: len(ids)]
    for layer in range(config["n_layer"]):
        at = f"transformer.h.{layer}."
        parts = np.split(conv(norm(x, at + "ln_1"), at + "attn.c_attn"), 3, -1)
        q, k, v = (part.reshape(len(x), config["n_head"], -1) for part in parts)
        x = x + conv(_weighed(q, k, v, causal=True), at + "attn.c_proj")
        x = x + conv(_gelu(conv(norm(x, at + "ln_2"), at + "mlp.c_fc")), at + "mlp.c_proj")
    return norm(x, "transformer.ln_f") @ w["transformer.wte.weight"].T


def _bert(config: Mapping, w: Mapping[str, Values], ids: Sequence[int]) -> Values:
    """The last rows, (T, D)."""

    def norm(x: Values, name: str) -> Values:
        return _layer_norm(x, w, name, config["layer_norm_eps"])

    def dense(x: Values, name: str) -> Values:
        return x @ w[name + ".weight"].T + w[name + ".bias"]

    at = "embeddings."
    x = w[at + "word_embeddings.weight"][list(ids)] + w[at + "token_type_embeddings.weight"][0]
    x = norm(x + w[at + "position_embeddings.weight"][: len(ids)], at + "LayerNorm")
    for layer in range(config["num_hidden_layers"]):
        at = f"encoder.layer.{layer}."
        parts = [dense(x, f"{at}attention.self.{name}") for name in ("query", "key", "value")]
        q, k, v = (part.reshape(len(x), config["num_attention_heads"], -1) for part in parts)
        y = dense(_weighed(q, k, v, causal=False), at + "attention.output.dense")
        x = norm(x + y, at + "attention.output.LayerNorm")
        y = dense(_gelu(dense(x, at + "intermediate.dense")), at + "output.dense")
        x = norm(x + y, at + "output.LayerNorm")
    return x


def _layer_norm(x: Values, w: Mapping[str, Values], name: str, eps: float) -> Values:
    centred = x - x.mean(-1, keepdims=True)
    scaled = centred / np.sqrt((centred * centred).mean(-1, keepdims=True) + eps)
    return scaled * w[name + ".weight"] + w[name + ".bias"]


def _silu(x: Values) -> Values:
    return x / (1 + np.exp(-x))


def _gelu(x: Values) -> Values:
    """By tanh; BERT's own is by the error function, which llama.cpp does not distinguish."""
    return 0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))
