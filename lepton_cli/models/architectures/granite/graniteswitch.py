"""Granite with adapters that tokens switch on (IBM 2026), for themselves and what follows."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from lepton_cli.models.architectures.granite.granite import Granite
from lepton_cli.models.parts.attention import GroupedAttention
from lepton_cli.models.parts.block import Norm, ones_like
from lepton_cli.models.weights import Layer, constant
from ops.interface import Array, ExpertChoice, Heads, Linear, Operators, Routing, Weight

MAX_ADAPTERS, GAIN, HALF_UP = 4096, 15.0, 2.0**-10


@dataclass(frozen=True, slots=True)
class Switched:
    """Matrices, to whose product each token adds that of its adapter's two narrow ones."""

    slots: ExpertChoice

    def __call__(
        self, ops: Operators, w: Layer, name: str, x: Array, matrix: Linear | None = None
    ) -> Array:
        """With the adapter of `name`; `matrix`: a part of a fused one in its place."""
        down, up = (Linear(w.weight(f"{name}.lora_{part}")) for part in "ab")
        narrow = ops.expert_linear(down, x, self.slots)
        y = ops.linear(w[name] if matrix is None else matrix, x)
        return ops.add(y, ops.expert_linear(up, narrow, self.slots))


@dataclass(frozen=True, slots=True)
class SwitchedBlock:
    """A pre-norm block whose branches are multiplied by `scale`."""

    attention: GroupedAttention
    norm: Norm
    scale: float

    def __call__(self, ops: Operators, x: Array, w: Layer, switched: Switched) -> Array:
        y = self.attend(ops, self.norm(ops, x, w.attn_norm), w, switched)
        x = ops.add(x, ops.scale(y, self.scale))
        y = self.norm(ops, x, w.ffn_norm)
        gate, up = (switched(ops, w, name, y) for name in ("ffn_gate", "ffn_up"))
        y = switched(ops, w, "ffn_down", ops.gate(gate, up, "silu"))
        return ops.add(x, ops.scale(y, self.scale))

    def attend(self, ops: Operators, x: Array, w: Layer, switched: Switched) -> Array:
        heads = self.attention.heads
        keys, values = heads.kv_heads * heads.head_width, heads.kv_heads * heads.values
        parts = w.attn_qkv.parts(heads.query_heads * heads.head_width, keys, values)
        names = ("attn_q", "attn_k", "attn_v")
        q, k, v = (switched(ops, w, name, x, part) for name, part in zip(names, parts, strict=True))
        return switched(ops, w, "attn_output", self.attention.attend(ops, q, k, v, w))


class GraniteSwitch(Granite):
    """A head of attention, whose keys and values depend on tokens alone, finds their adapters.

    A token has the one that a token before it, or itself, switches on, or slot 0. Of several it is
    the slot nearest to their mean, as with llama.cpp.
    """

    def embed(self, ops: Operators) -> Array:
        return ops.scale(ops.embed(self.substituted), self.embedding_scale())

    def through_blocks(self, ops: Operators, x: Array) -> Array:
        switched = Switched(self.slots(ops, x))
        for n in range(self.layers):
            block = SwitchedBlock(self.attention(n), self.norm, self.residual_scale())
            x = block(ops.layer(n), x, Layer(self.weights, n), switched)
            x = self.steered(ops.layer(n), x, n)
        return x

    def slots(self, ops: Operators, x: Array) -> ExpertChoice:
        """(T, D) of any numbers -> (T, 1): the number nearest to what the head found."""
        width, count = self.head_width(0), len(self.switches)
        empty = ops.scale(ops.columns(x, 0, width - 1), 0.0)
        signals = ops.embed(self.signals)  # (T, 2)
        key, value = (ops.columns(signals, n, n + 1) for n in range(2))
        q, k, v = (ops.join([each, empty]) for each in (ones_like(ops, key), key, value))
        found = ops.attention(q, k, v, Heads(self.layers, 1, 1, width, scale=1.0))
        near = ops.linear(self.nearness, ops.columns(found, 0, 1))  # (T, slots)
        return ops.route(near, Routing(count + 1, 1, "softmax_of_chosen"))

    @cached_property
    def switches(self) -> tuple[tuple[int, int], ...]:
        """For each adapter the token that switches it on, and the one that enters in its place."""
        keys, count = self.keys, self.keys.positive("adapters.count")
        if count > MAX_ADAPTERS:
            raise keys.error("adapters.count", f"is {count}")
        lists = []
        for name in ("adapters.token_ids_activate", "adapters.token_ids_substitute"):
            ids = keys.integers(name)
            if len(ids) != count:
                raise keys.error(name, f"has {len(ids)} entries for {count} adapters")
            if min(ids) < 0 or max(ids) >= self.embedding.rows:
                raise keys.error(name, f"is {ids[:8]} of {self.embedding.rows} tokens")
            lists.append(ids)
        return tuple(zip(*lists, strict=True))

    @cached_property
    def substituted(self) -> Weight:
        """The embedding with the rows of tokens that switch replaced, in a copy."""
        table = self.embedding
        data = table.data.copy()
        for token, substitute in self.switches:
            data[token] = table.data[substitute]
        return Weight(table.name, table.format, table.columns, data)

    @cached_property
    def signals(self) -> Weight:
        """For each token the head's key, positive where it switches, and its slot."""
        table = np.zeros((self.embedding.rows, 2), np.float32)
        table[:, 0] = -self.keys.number("adapters.router_gain", GAIN)
        for slot, (token, _) in enumerate(self.switches, 1):
            table[token] = -table[token, 0], slot
        return constant("the switches", table)

    @cached_property
    def nearness(self) -> Linear:
        """Of a number s to each slot n: 2·n·s − n² is largest for the nearest, halves go up."""
        slots = np.arange(len(self.switches) + 1, dtype=np.float32)
        nearest = 2 * HALF_UP * slots - slots**2
        return Linear(constant("the slots", 2 * slots[:, None]), constant("the slots", nearest))
