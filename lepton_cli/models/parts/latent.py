"""Latent attention (DeepSeek-AI 2024): keys and values are made of one short vector a position."""

from dataclasses import dataclass
from typing import NamedTuple

from lepton_cli.models.parts.attention import Temperature
from lepton_cli.models.parts.block import Norm
from lepton_cli.models.weights import Layer
from ops.interface import Activation, Array, Heads, Operators, Rope, check_widths


class Projections(NamedTuple):
    """What a token becomes; `q` is None where all columns of the heads turn."""

    q: Array | None  # (T, H*plain)
    q_turned: Array  # (T, H*turning); no columns where none turn
    latent: Array  # (T, rank)
    k_turned: Array  # (T, turning)


@dataclass(frozen=True, slots=True)
class LatentAttention:
    """H heads of queries and keys of `plain` columns that do not turn, then of `turning` ones.

    The turning columns of keys are one vector for all heads. `rank` is the width of the latent.
    With a matrix for each head (`attn_k_b`, `attn_v_b`) queries are brought into the latent's
    space, and the cache holds rank + turning numbers a position, whatever the number of heads;
    otherwise (`attn_kv_b`) keys and values are computed and kept as in any attention.
    """

    layer: int
    heads: int
    rank: int
    plain: int
    turning: int
    values: int
    scale: float
    rope: Rope | None
    norm: Norm
    temperature: Temperature | None = None
    gate: Activation | None = None  # of numbers that multiply the results, one by one or by heads
    window: int | None = None

    def __call__(self, ops: Operators, x: Array, w: Layer) -> Array:
        made = Projections(*self.queries(ops, x, w), *self.latent(ops, x, w))
        y = (self.expanded if "attn_kv_b" in w else self.absorbed)(ops, made, w)
        if self.gate is not None:
            rows = w.attn_gate.weight.rows
            if rows != self.heads:
                check_widths(w.attn_gate.weight.name, rows, self.heads * self.values)
            y = ops.multiply(y, ops.activate(ops.linear(w.attn_gate, x), self.gate))
        return ops.linear(w.attn_output, y)  # (T, D)

    def queries(self, ops: Operators, x: Array, w: Layer) -> tuple[Array | None, Array]:
        matrix = w.attn_q if "attn_q" in w else w.attn_q_b
        width = self.plain + self.turning
        check_widths(matrix.weight.name, matrix.weight.rows, self.heads * width)
        if "attn_q" not in w:
            x = self.norm(ops, ops.linear(w.attn_q_a, x), w.attn_q_a_norm)
        q = ops.linear(matrix, x)
        plain = ops.columns(q, 0, self.plain, width) if self.plain else None
        return plain, self.turned(ops, ops.columns(q, self.plain, width, width))

    def latent(self, ops: Operators, x: Array, w: Layer) -> tuple[Array, Array]:
        matrix, last = w.attn_kv_a_mqa, self.rank + self.turning
        check_widths(matrix.weight.name, matrix.weight.rows, last)
        latent = self.norm(ops, ops.linear(matrix.part(0, self.rank), x), w.attn_kv_a_norm)
        if not self.turning:
            return latent, ops.columns(latent, 0, 0)
        k = ops.linear(matrix.part(self.rank, last), x)
        if "attn_k_norm" in w:
            k = self.norm(ops, k, w.attn_k_norm)
        return latent, self.turned(ops, k)

    def turned(self, ops: Operators, x: Array) -> Array:
        return x if self.rope is None else ops.rope(x, self.rope)

    def absorbed(self, ops: Operators, made: Projections, w: Layer) -> Array:
        """One head of keys, whose first columns are the values, for all heads of queries."""
        check_widths(w.attn_k_b.weight.name, w.attn_k_b.weight.experts, self.heads)
        check_widths(w.attn_v_b.weight.name, w.attn_v_b.weight.experts, self.heads)
        q = ops.join([ops.head_linear(w.attn_k_b, made.q), made.q_turned], self.heads)
        width = self.rank + self.turning
        heads = Heads(
            layer=self.layer,
            query_heads=self.heads,
            kv_heads=1,
            head_width=width,
            scale=self.scale,
            window=self.window,
            value_width=self.rank,
            keys_hold_values=True,
        )
        sinks = w.attn_sinks.weight if "attn_sinks" in w else None
        q = self.grown(ops, q)
        y = ops.attention(q, made.k_turned, made.latent, heads, sinks)  # (T, H*rank)
        return ops.head_linear(w.attn_v_b, y)  # (T, H*values)

    def expanded(self, ops: Operators, made: Projections, w: Layer) -> Array:
        """Keys and values for each head of queries."""
        both, end = ops.linear(w.attn_kv_b, made.latent), self.plain + self.values
        check_widths(w.attn_kv_b.weight.name, w.attn_kv_b.weight.rows, self.heads * end)
        q, k = made.q_turned, ops.join([made.k_turned] * self.heads)  # (T, H*turning) each
        if made.q is not None:
            k = ops.join([ops.columns(both, 0, self.plain, end), k], self.heads)
            q = ops.join([made.q, q], self.heads)
        v = ops.columns(both, self.plain, end, end)
        width = self.plain + self.turning
        heads = Heads(
            self.layer, self.heads, self.heads, width, self.scale, value_width=self.values
        )
        return ops.attention(self.grown(ops, q), k, v, heads)

    def grown(self, ops: Operators, q: Array) -> Array:
        return q if self.temperature is None else self.temperature(ops, q)
