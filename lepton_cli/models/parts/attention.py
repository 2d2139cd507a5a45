"""Grouped attention (Ainslie et al. 2023): several query heads share a head of keys and values."""

from dataclasses import dataclass

from lepton_cli.models.parts.block import Norm
from lepton_cli.models.weights import Layer
from ops.interface import Activation, Array, Heads, Operators, Rope, check_widths


@dataclass(frozen=True, slots=True)
class Temperature:
    """Queries grow: · (1 + scale · ln(1 + floor((position + offset) / period)))."""

    scale: float
    period: int
    offset: int = 0

    def __call__(self, ops: Operators, q: Array) -> Array:
        return ops.temperature(q, self.scale, self.period, self.offset)


@dataclass(frozen=True, slots=True)
class GroupedAttention:
    """The token mixer of most models; `w` may hold one matrix for q, k and v, biases and sinks.

    `head_norm` normalises q and k before they turn (`norm_last`: behind), head by head or as
    `whole_rows`; `inner_norm` the heads' results before the last matrix. `clamp` bounds q, k and v;
    `gate` is the activation of a matrix whose rows multiply the results, one by one or by heads.
    """

    heads: Heads
    rope: Rope | None
    head_norm: Norm | None = None
    inner_norm: Norm | None = None
    temperature: Temperature | None = None
    norm_last: bool = False
    whole_rows: bool = False
    clamp: float | None = None
    gate: Activation | None = None

    def __call__(self, ops: Operators, x: Array, w: Layer) -> Array:
        y = self.attend(ops, *self.project(ops, x, w), w)
        if self.gate is not None:
            gate, rows = w.attn_gate, w.attn_gate.weight.rows
            if rows != self.heads.query_heads:
                check_widths(gate.weight.name, rows, self.heads.query_heads * self.heads.values)
            y = ops.multiply(y, ops.activate(ops.linear(gate, x), self.gate))
        return ops.linear(w.attn_output, y)  # (T, D)

    def attend(self, ops: Operators, q: Array, k: Array, v: Array, w: Layer) -> Array:
        """(T, H*d), (T, K*d), (T, K*e) -> (T, H*e): all between the first and the last matrix."""
        if self.clamp is not None:
            q, k, v = (ops.clamp(y, -self.clamp, self.clamp) for y in (q, k, v))
        if self.norm_last:
            q, k = self.normalized(ops, *self.turned(ops, q, k), w)
        else:
            q, k = self.turned(ops, *self.normalized(ops, q, k, w))
        if self.temperature is not None:
            q = self.temperature(ops, q)
        sinks = w.attn_sinks.weight if "attn_sinks" in w else None
        y = ops.attention(q, k, v, self.heads, sinks)  # (T, H*e)
        if self.inner_norm is not None:
            y = self.inner_norm(ops, y, w.attn_sub_norm)
        return y

    def normalized(self, ops: Operators, q: Array, k: Array, w: Layer) -> tuple[Array, Array]:
        norm = self.head_norm
        if norm is None:
            return q, k
        stretch = None if self.whole_rows else self.heads.head_width
        return norm(ops, q, w.attn_q_norm, stretch), norm(ops, k, w.attn_k_norm, stretch)

    def turned(self, ops: Operators, q: Array, k: Array) -> tuple[Array, Array]:
        if self.rope is None:
            return q, k
        return ops.rope(q, self.rope), ops.rope(k, self.rope)

    def project(self, ops: Operators, x: Array, w: Layer) -> tuple[Array, Array, Array]:
        """q, k and v; a fused matrix holds the rows of all three in this order."""
        h = self.heads
        q, k, v = h.query_heads * h.head_width, h.kv_heads * h.head_width, h.kv_heads * h.values
        if "attn_qkv" in w:
            check_widths(w.attn_qkv.weight.name, w.attn_qkv.weight.rows, q + k + v)
            stretches = ((0, q), (q, q + k), (q + k, q + k + v))
            parts = [w.attn_qkv.part(*stretch) for stretch in stretches]
        else:
            parts = [w.attn_q, w.attn_k, w.attn_v]
            for part, rows in zip(parts, (q, k, v), strict=True):
                check_widths(part.weight.name, part.weight.rows, rows)
        return ops.linear(parts[0], x), ops.linear(parts[1], x), ops.linear(parts[2], x)


@dataclass(frozen=True, slots=True)
class GatedAttention(GroupedAttention):
    """Results times σ(gate), where `attn_q` holds each head's query and then its gate."""

    def __call__(self, ops: Operators, x: Array, w: Layer) -> Array:
        width, gated = self.heads.head_width, w.attn_q.weight
        check_widths(gated.name, gated.rows, 2 * self.heads.query_heads * width)
        both = ops.linear(w.attn_q, x)  # (T, H*2d)
        q, gate = (ops.columns(both, n * width, (n + 1) * width, 2 * width) for n in range(2))
        y = self.attend(ops, q, ops.linear(w.attn_k, x), ops.linear(w.attn_v, x), w)
        return ops.linear(w.attn_output, ops.gate(gate, y, "sigmoid"))  # (T, D)


def falling_slopes(heads: int, most: float) -> tuple[float, ...]:
    """ALiBi's slopes (Press et al. 2021): 2^(-most/n), 2^(-2·most/n), ... for n heads.

    n is a power of two; further heads take every second one of the slopes between.
    """
    n = 1 << (heads.bit_length() - 1)
    between = range(1, 2 * (heads - n), 2)
    exponents = [h / n for h in range(1, n + 1)] + [h / (2 * n) for h in between]
    return tuple(2.0 ** (-most * exponent) for exponent in exponents)
