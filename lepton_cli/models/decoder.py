"""The decoder that all architectures share: embed, blocks of attention and feed-forward, logits.

An architecture's file overrides what differs. Pre-norm residual blocks with SwiGLU (Touvron et al.
2023) are the default.
"""

from typing import ClassVar

import numpy as np

from lepton_cli.models.parameters import Keys, read_parameters
from lepton_cli.models.rope import Frequencies, scaled
from lepton_cli.models.weights import Layer, Weights
from ops.interface import (
    Activation,
    Array,
    Gating,
    Heads,
    Linear,
    Operators,
    Rope,
    Routing,
    check_widths,
)
from quant.errors import ModelFileError
from quant.format import dequantize
from quant.gguf import GGUF


class Decoder:
    """A model's hyper-parameters and weights, and its forward pass, written once for all."""

    norm_eps: ClassVar[str] = "layer_norm_rms_epsilon"
    interleaved_rope: ClassVar[bool] = False
    activation: ClassVar[Activation] = "silu"
    ffn_norm: ClassVar[str] = "ffn_norm"  # the tensor that stands before the feed-forward part
    gating: ClassVar[Gating] = "softmax"
    head_norm: ClassVar[bool] = False  # queries and keys are normalised head by head
    ignored: ClassVar[frozenset[str]] = frozenset()  # tensors that are known to be of no use

    most_positions: int | None = None  # that the file holds, where it holds a table of them

    def __init__(self, file: GGUF, context: int) -> None:
        """`context` is the number of positions in use, on which long-rope factors depend."""
        self.keys = Keys(file.metadata)
        self.parameters = read_parameters(self.keys, self.norm_eps)
        self.weights, self.context = Weights(file), context
        self.layers = [Layer(self.weights, n) for n in range(self.parameters.layers)]
        self.global_rope = self.read_rope()

    def forward(self, ops: Operators) -> Array:
        x = self.embed(ops)  # (T, D)
        for layer in self.layers:
            x = self.block(ops.layer(layer.number), x, layer)
        x = self.norm(ops, ops.select_outputs(x), self.weights["output_norm"])  # (O, D)
        return self.logits(ops, x)  # (O, V)

    def embed(self, ops: Operators) -> Array:
        return ops.embed(self.weights.weight("token_embd.weight"))

    def block(self, ops: Operators, x: Array, w: Layer) -> Array:
        x = ops.add(x, self.attention(ops, self.norm(ops, x, w.attn_norm), w))
        return ops.add(x, self.feed_forward(ops, self.norm(ops, x, getattr(w, self.ffn_norm)), w))

    def norm(self, ops: Operators, x: Array, w: Linear) -> Array:
        return ops.rms_norm(x, w, self.parameters.eps)

    def attention(self, ops: Operators, x: Array, w: Layer) -> Array:
        q, k, v = self.project(ops, x, w)  # (T, H*d), (T, K*d), (T, K*d)
        if self.head_norm:
            for norm in (w.attn_q_norm, w.attn_k_norm):
                check_widths(norm.weight.name, norm.weight.columns, self.parameters.head_width)
            q, k = self.norm(ops, q, w.attn_q_norm), self.norm(ops, k, w.attn_k_norm)
        turn = self.rope(w.number)
        if turn is not None:
            q, k = ops.rope(q, turn), ops.rope(k, turn)
        return ops.linear(w.attn_output, self.attend(ops, q, k, v, w))  # (T, D)

    def attend(self, ops: Operators, q: Array, k: Array, v: Array, w: Layer) -> Array:
        return ops.attention(q, k, v, self.heads(w.number))  # (T, H*d)

    def project(self, ops: Operators, x: Array, w: Layer) -> tuple[Array, Array, Array]:
        """q, k and v; a fused matrix holds the rows of all three in this order."""
        if "attn_qkv" not in w:
            return ops.linear(w.attn_q, x), ops.linear(w.attn_k, x), ops.linear(w.attn_v, x)
        p = self.parameters
        first, second = p.heads * p.head_width, (p.heads + p.kv_heads) * p.head_width
        last = second + p.kv_heads * p.head_width
        check_widths(w.attn_qkv.weight.name, w.attn_qkv.weight.rows, last)
        parts = ((0, first), (first, second), (second, last))
        q, k, v = (ops.linear(w.attn_qkv.part(*part), x) for part in parts)
        return q, k, v

    def feed_forward(self, ops: Operators, x: Array, w: Layer) -> Array:
        if self.parameters.experts:
            return self.mixture(ops, x, w)
        gate, up = ops.linear(w.ffn_gate, x), ops.linear(w.ffn_up, x)  # (T, F)
        return ops.linear(w.ffn_down, ops.gate(gate, up, self.activation))  # (T, D)

    def mixture(self, ops: Operators, x: Array, w: Layer) -> Array:
        """Experts (Shazeer et al. 2017): a router picks a few feed-forward parts for each token."""
        chosen = ops.route(ops.linear(w.ffn_gate_inp, x), self.routing())
        gate = ops.expert_linear(w.ffn_gate_exps, x, chosen)  # (T*k, F)
        up = ops.expert_linear(w.ffn_up_exps, x, chosen)
        y = ops.expert_linear(w.ffn_down_exps, ops.gate(gate, up, self.activation), chosen)
        return ops.expert_sum(y, chosen)  # (T, D)

    def logits(self, ops: Operators, x: Array) -> Array:
        """Without a matrix of its own the output is tied to the embedding."""
        tied = "output" not in self.weights
        return ops.linear(self.weights["token_embd" if tied else "output"], x)

    def heads(self, layer: int) -> Heads:
        p = self.parameters
        scale, window = self.attention_scale(), self.window(layer)
        return Heads(layer, p.heads, p.kv_heads, p.head_width, scale, window, self.softcap())

    def attention_scale(self) -> float:
        return float(self.parameters.head_width**-0.5)

    def window(self, layer: int) -> int | None:
        return None

    def softcap(self) -> float | None:
        return None

    def rope(self, layer: int) -> Rope | None:
        return self.global_rope

    def read_rope(self) -> Rope | None:
        frequencies, magnitude = scaled(self.keys, self.rope_base(), self.parameters.rotary)
        return self.turn(frequencies, magnitude)

    def rope_base(self) -> float:
        return self.keys.number("rope.freq_base", 10000.0)

    def turn(self, frequencies: Frequencies, magnitude: float = 1.0) -> Rope:
        width = self.parameters.head_width
        return Rope(frequencies, width, self.interleaved_rope, magnitude)

    def factors(self, name: str) -> Frequencies:
        """A tensor of divisors of the rotary frequencies, one a pair."""
        weight = self.weights.weight(name)
        divisors = dequantize(weight.format, weight.data).reshape(-1)
        check_widths(name, len(divisors), self.parameters.rotary // 2)
        if not np.all(divisors):
            raise ModelFileError(f"the tensor {name} holds a divisor of 0")
        return divisors

    def routing(self) -> Routing:
        p, scale = self.parameters, self.keys.number("expert_weights_scale", 0.0) or 1.0
        return Routing(p.experts, p.experts_used, self.gating, scale=scale)
