"""The decoder that all architectures share: embed, blocks of two mixers, logits.

An architecture's file overrides what differs. Pre-norm residual blocks of grouped attention and
SwiGLU (Touvron et al. 2023) are the default; blocks are composed of what `parts` holds.
"""

from functools import cached_property
from typing import ClassVar

import numpy as np

from lepton_cli.models.keys import MAX_HEAD_WIDTH, Keys
from lepton_cli.models.parts.attention import GroupedAttention
from lepton_cli.models.parts.block import Mixer, Norm, PreNorm, RmsNorm
from lepton_cli.models.parts.feed_forward import Dense, Mixture
from lepton_cli.models.rope import Frequencies, scaled
from lepton_cli.models.weights import Layer, Weights
from ops.interface import (
    Activation,
    Array,
    Gating,
    Heads,
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
    output_norm: ClassVar[str] = "output_norm"
    interleaved_rope: ClassVar[bool] = False
    activation: ClassVar[Activation] = "silu"
    ffn_norm: ClassVar[str] = "ffn_norm"  # the tensor that stands before the channel mixer
    gating: ClassVar[Gating] = "softmax"
    has_head_norm: ClassVar[bool] = False  # queries and keys are normalised head by head
    ignored: ClassVar[frozenset[str]] = frozenset()  # tensors that are known to be of no use

    def __init__(self, file: GGUF, context: int) -> None:
        """`context` is the number of positions in use, on which long-rope factors depend."""
        self.keys = Keys(file.metadata)
        self.layers, self.width = self.keys.layers(), self.keys.positive("embedding_length")
        self.weights, self.context = Weights(file), context
        self.eps = self.keys.number(f"attention.{self.norm_eps}")

    def forward(self, ops: Operators) -> Array:
        x = self.embed(ops)  # (T, D)
        for n, block in enumerate(self.blocks):
            x = block(ops.layer(n), x, Layer(self.weights, n))
        x = self.norm(ops, ops.select_outputs(x), self.weights[self.output_norm])  # (O, D)
        return self.logits(ops, x)  # (O, V)

    @cached_property
    def blocks(self) -> tuple[Mixer, ...]:
        return tuple(self.block(n) for n in range(self.layers))

    def embed(self, ops: Operators) -> Array:
        return ops.embed(self.weights.weight("token_embd.weight"))

    def block(self, layer: int) -> Mixer:
        return PreNorm(self.mixer(layer), self.channel(layer), self.norm, self.ffn_norm)

    def mixer(self, layer: int) -> Mixer:
        return self.attention(layer)

    def attention(self, layer: int) -> GroupedAttention:
        head_norm = self.norm if self.has_head_norm else None
        return GroupedAttention(self.heads(layer), self.rope(layer), head_norm)

    def channel(self, layer: int) -> Mixer:
        return Mixture(self.routing, self.activation) if self.experts else Dense(self.activation)

    @property
    def norm(self) -> Norm:
        return RmsNorm(self.eps)

    def logits(self, ops: Operators, x: Array) -> Array:
        """Without a matrix of its own the output is tied to the embedding."""
        tied = "output" not in self.weights
        return ops.linear(self.weights["token_embd" if tied else "output"], x)

    def heads(self, layer: int) -> Heads:
        """Raises ModelFileError for numbers that cannot belong together."""
        keys, width = self.keys, self.head_width(layer)
        heads = keys.positive_at("attention.head_count", layer)
        kv_heads = keys.positive_at("attention.head_count_kv", layer, heads)
        if heads % kv_heads:
            raise keys.error("attention.head_count", f"is {heads}: no multiple of {kv_heads}")
        return Heads(
            layer=layer,
            query_heads=heads,
            kv_heads=kv_heads,
            head_width=width,
            value_width=keys.positive_at("attention.value_length", layer, width),
            scale=self.attention_scale(layer),
            window=self.window(layer),
            softcap=self.softcap(),
        )

    def head_width(self, layer: int) -> int:
        keys = self.keys
        heads = keys.positive_at("attention.head_count", layer)
        width = keys.positive_at("attention.key_length", layer, self.width // heads or 1)
        if width > MAX_HEAD_WIDTH:
            raise keys.error("attention.key_length", f"is {width}")
        return width

    def attention_scale(self, layer: int) -> float:
        return float(self.head_width(layer) ** -0.5)

    def window(self, layer: int) -> int | None:
        return None

    def softcap(self) -> float | None:
        return None

    def rope(self, layer: int) -> Rope | None:
        return self.global_rope

    @cached_property
    def global_rope(self) -> Rope | None:
        return self.read_rope()

    def read_rope(self) -> Rope | None:
        frequencies, magnitude = scaled(self.keys, self.rope_base(), self.rotary)
        return self.turn(frequencies, magnitude)

    @property
    def rotary(self) -> int:
        """How many dimensions of a head turn."""
        width = self.head_width(0)
        rotary = self.keys.positive("rope.dimension_count", width)
        if rotary > width or rotary % 2:
            raise self.keys.error("rope.dimension_count", f"is {rotary} with heads of {width}")
        return rotary

    def rope_base(self) -> float:
        return self.keys.number("rope.freq_base", 10000.0)

    def turn(self, frequencies: Frequencies, magnitude: float = 1.0) -> Rope:
        return Rope(frequencies, self.head_width(0), self.interleaved_rope, magnitude)

    def factors(self, name: str) -> Frequencies:
        """A tensor of divisors of the rotary frequencies, one a pair."""
        weight = self.weights.weight(name)
        divisors = dequantize(weight.format, weight.data).reshape(-1)
        check_widths(name, len(divisors), self.rotary // 2)
        if not np.all(divisors):
            raise ModelFileError(f"the tensor {name} holds a divisor of 0")
        return divisors

    @property
    def experts(self) -> int:
        """Of each layer that has experts."""
        return self.keys.integer("expert_count", 0)

    @property
    def routing(self) -> Routing:
        keys, total = self.keys, self.experts
        used = keys.positive("expert_used_count")
        if used > total:
            raise keys.error("expert_used_count", f"is {used} of {total} experts")
        scale = keys.number("expert_weights_scale", 0.0) or 1.0
        return Routing(total, used, self.gating, scale=scale)
