"""Attention over a window, and over rows that stand for several tokens each (DeepSeek-AI 2026)."""

from dataclasses import dataclass, replace

from lepton_cli.models.parts.block import Norm
from lepton_cli.models.parts.feed_forward import Mixture
from lepton_cli.models.weights import Layer
from ops.interface import (
    Array,
    ExpertChoice,
    Further,
    Heads,
    Linear,
    Operators,
    Rope,
    Weight,
    check_widths,
)


@dataclass(frozen=True, slots=True)
class Compression:
    """A row for each `ratio` tokens, made of `parts` times as many; another number keeps them."""

    ratio: int
    parts: int
    number: int


@dataclass(frozen=True, slots=True)
class CompressedAttention:
    """One head, whose keys are its values, for all heads of queries. Their last columns turn.

    The results turn back by the position of the query. They go through a matrix of each of `groups`
    of heads, then through one for all.
    """

    heads: Heads
    rope: Rope
    norm: Norm
    eps: float
    groups: int
    compression: Compression | None = None

    def __call__(self, ops: Operators, x: Array, w: Layer) -> Array:
        width, count = self.heads.head_width, self.heads.query_heads
        check_widths(w.attn_q_b.weight.name, w.attn_q_b.weight.rows, count * width)
        check_widths(w.attn_kv.weight.name, w.attn_kv.weight.rows, width)
        q = ops.linear(w.attn_q_b, self.norm(ops, ops.linear(w.attn_q_a, x), w.attn_q_a_norm))
        q = self.turned(ops, ops.rms_norm(q, width, self.eps), self.rope, count)
        kv = self.turned(ops, self.norm(ops, ops.linear(w.attn_kv, x), w.attn_kv_a_norm), self.rope)
        further, no_keys = self.further(ops, x, w), ops.columns(kv, 0, 0)
        y = ops.attention(q, no_keys, kv, self.heads, w.attn_sinks.weight, further)  # (T, H*d)
        back = replace(self.rope, frequencies=-self.rope.frequencies)
        y = ops.head_linear(self.grouped(w.attn_output_a), self.turned(ops, y, back, count))
        return ops.linear(w.attn_output_b, y)

    def turned(self, ops: Operators, x: Array, rope: Rope, heads: int = 1) -> Array:
        """The last columns of each of so many heads."""
        width, start = self.heads.head_width, self.heads.head_width - rope.head_width
        turning = ops.rope(ops.columns(x, start, width, width), rope)
        return ops.join([ops.columns(x, 0, start, width), turning], heads)

    def further(self, ops: Operators, x: Array, w: Layer) -> Further | None:
        """They turn by the position of their first token."""
        made = self.compression
        if made is None:
            return None
        places = w.attn_compressor_ape.weight
        entering = [ops.linear(w[f"attn_compressor_{name}"], x) for name in ("kv", "gate")]
        rows = ops.compress(ops.join(entering), places, made.ratio, made.parts)  # (T, d)
        rows = self.norm(ops, rows, w.attn_compressor_norm)
        rows = self.turned(ops, rows, replace(self.rope, start=made.ratio - 1))
        heads = replace(self.heads, layer=made.number, window=None, stride=made.ratio)
        return Further(ops.columns(rows, 0, 0), rows, heads)

    def grouped(self, w: Linear) -> Linear:
        """Files hold the groups' matrices one below the other."""
        rows = w.weight.rows * w.weight.experts
        check_widths(w.weight.name, rows // self.groups * self.groups, rows)
        return Linear(replace(w.weight, experts=self.groups))


@dataclass(frozen=True, slots=True)
class ListedMixture(Mixture):
    """The first layers' experts, which a table lists for each token."""

    table: Weight | None = None

    def choose(self, ops: Operators, x: Array, w: Layer) -> ExpertChoice:
        assert self.table is not None
        listed = ops.embed(self.table)  # (T, k)
        return ops.route(ops.linear(w.ffn_gate_inp, x), self.routing, listed=listed)
