"""The NumPy Transformer: every operator computed at once, as plainly as it can be written.

This is the definition that the fast backends are tested against; it is slow and obvious.
"""

import copy
import math
import threading
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ops.interface import (
    BLOCK,
    Activation,
    Chosen,
    Heads,
    Interrupted,
    Linear,
    Rope,
    Routing,
    Step,
    Weight,
)
from ops.machine import available_memory
from ops.memory_plan import Limits, plan
from ops.needs import Needs, needs_of
from ops.operations import Slot, Use
from ops.profile import OperatorTime
from ops.program import Program
from ops.state.blocks import BlockPool
from ops.state.formats import CacheType
from ops.state.layout import StateLayout
from ops.state.sequence import SequenceState, reserve
from quant.errors import UsageError
from quant.format import dequantize

Floats = NDArray[Any]  # of float32; NumPy's own types lose that at every other step


def softmax(x: Floats) -> Floats:  # (..., n) -> (..., n)
    e: Floats = np.exp(x - x.max(-1, keepdims=True))
    total: Floats = e.sum(-1, keepdims=True)
    return e / total


def sigmoid(x: Floats) -> Floats:
    return np.exp(-np.logaddexp(0, -x))


def silu(x: Floats) -> Floats:
    return x * sigmoid(x)


def gelu(x: Floats) -> Floats:
    """The tanh form (Hendrycks and Gimpel 2016)."""
    root: Floats = np.float32(0.5) * x * (1 + np.tanh(0.7978845608 * x * (1 + 0.044715 * x * x)))
    return root


ACTIVATIONS: dict[str, Callable[[Floats], Floats]] = {"silu": silu, "gelu": gelu}


def exact(weight: Weight, x: Floats) -> Floats:
    """Activations as they enter a product."""
    return x


def rounded_to_bytes(x: Floats) -> Floats:  # (rows, N) -> same
    """Activations as fast backends take them: 32 share a scale, the largest becomes ±127."""
    blocks = x.reshape(-1, 32)
    largest = np.abs(blocks).max(-1, keepdims=True)
    with np.errstate(divide="ignore"):
        inverse = np.where(largest > 0, np.float32(127) / largest, np.float32(0))
    y: Floats = np.rint(blocks * inverse) * (largest / np.float32(127))
    return y.reshape(x.shape)


def rounded_to_q8_0(x: Floats) -> Floats:  # (rows, N) -> same
    """As a cache of that type keeps it: 32 share a scale in f16."""
    blocks = x.reshape(-1, 32)
    scale = np.abs(blocks).max(-1, keepdims=True) / np.float32(127)
    with np.errstate(divide="ignore"):
        inverse = np.where(scale > 0, np.float32(1) / scale, np.float32(0))
    y: Floats = np.rint(blocks * inverse) * scale.astype(np.float16).astype(np.float32)
    return y.reshape(x.shape)


def rounded_to_halves(x: Floats) -> Floats:
    with np.errstate(over="ignore"):
        return x.astype(np.float16).astype(np.float32)


KEPT: dict[str, Callable[[Floats], Floats]] = {
    "f16": rounded_to_halves,
    "f32": np.array,
    "q8_0": rounded_to_q8_0,
}
"""What the cache's types make of keys and values."""


class PlainCache:
    """A sequence's K and V as float32 in rows, holding only what the cache's types can hold."""

    def __init__(self, state: SequenceState, k: CacheType, v: CacheType) -> None:
        """`state` is of float32; `k` and `v` are the types that it stands for."""
        self._state, self._types = state, (k, v)

    def keep(self, layer: int, position: int, k: Floats, v: Floats) -> None:  # (K·d,) twice
        views = self.view(layer, position // BLOCK)
        for rows, kind, row in zip(views, self._types, (k, v), strict=True):
            rows[position % BLOCK] = KEPT[kind](row)

    def slot(self, slot: Slot) -> Floats:
        """What a recurrent layer keeps; to be written in place."""
        start = self._state.layout.slot_offset(slot)
        memory: NDArray[np.uint8] = self._state.slots
        kept: Floats = memory[start : start + 4 * math.prod(slot.shape)].view(np.float32)
        return kept.reshape(slot.shape)

    def view(self, layer: int, block: int) -> tuple[Floats, Floats]:  # (256, K·d), (256, K·e)
        """K and V of one layer in one block."""
        page, start = self._state.layout.page(layer), self._state.layout.offsets(layer)[0]
        memory, parts = self._state.blocks[block].memory, list[Floats]()
        for width in (page.heads * page.key_width, page.heads * page.value_width):
            stop = start + 4 * BLOCK * width
            parts.append(memory[start:stop].view(np.float32).reshape(BLOCK, width))
            start = stop
        return parts[0], parts[1]


class Reference:
    """`Operators` on NumPy arrays, for one step over its sequences' caches."""

    def __init__(
        self,
        step: Step,
        caches: Sequence[PlainCache],
        values: Callable[[Weight], Floats],
        entering: Callable[[Weight, Floats], Floats] = exact,
    ) -> None:
        """`entering` is what becomes of activations that meet a weight."""
        self.step, self.values, self.entering = step, values, entering
        self.sequences, self.number = caches, -1
        runs = zip(step.runs(), caches, strict=True)
        self.caches = [cache for run, cache in runs for _ in range(run.start, run.stop)]  # (T,)

    def layer(self, number: int) -> "Reference":
        bound = copy.copy(self)
        bound.number = number
        return bound

    def embed(self, table: Weight) -> Floats:
        return self.values(table)[self.step.tokens]

    def embed_positions(self, table: Weight) -> Floats:
        return self.values(table)[self.step.positions]

    def linear(self, w: Linear, x: Floats) -> Floats:
        scale, x = self.values(w.scale)[0] if w.scale else 1, self.entering(w.weight, x)
        return x @ self.values(w.weight).T * scale + self._bias(w)

    def rms_norm(self, x: Floats, w: Linear, eps: float) -> Floats:
        parts = x.reshape(len(x), x.shape[1] // w.weight.columns, w.weight.columns)
        mean = np.mean(parts * parts, -1, keepdims=True, dtype=np.float64)
        y: Floats = parts * (1 / np.sqrt(mean + eps)).astype(np.float32) * self.values(w.weight)[0]
        return y.reshape(x.shape)

    def layer_norm(self, x: Floats, w: Linear, eps: float) -> Floats:
        centred = x - x.mean(-1, keepdims=True)
        variance = np.mean(centred * centred, -1, keepdims=True)
        y: Floats = centred / np.sqrt(variance + np.float32(eps)) * self.values(w.weight)[0]
        return y + self._bias(w)

    def rope(self, x: Floats, rope: Rope) -> Floats:
        pairs = len(rope.frequencies)
        y = x.reshape(len(x), -1, rope.head_width).copy()  # (T, heads, d)
        angle = self.step.positions[:, None, None] * rope.frequencies.astype(np.float64)
        cos = (np.cos(angle) * rope.magnitude).astype(np.float32)
        sin = (np.sin(angle) * rope.magnitude).astype(np.float32)
        turned = slice(0, 2 * pairs)
        if rope.interleaved:
            first, second = y[..., turned][..., 0::2], y[..., turned][..., 1::2]
        else:
            first, second = y[..., :pairs], y[..., pairs : 2 * pairs]
        a, b = first.copy(), second.copy()
        first[...], second[...] = a * cos - b * sin, a * sin + b * cos
        return y.reshape(x.shape)

    def temperature(self, x: Floats, scale: float, period: int) -> Floats:
        factor = 1 + scale * np.log1p(self.step.positions // period)
        grown: Floats = x * factor[:, None].astype(np.float32)
        return grown

    def attention(
        self, q: Floats, k: Floats, v: Floats, heads: Heads, sinks: Weight | None = None
    ) -> Floats:
        self._store(k, v, heads.layer)
        return np.stack([self._attend(t, q[t], heads, sinks) for t in range(len(q))])

    def convolve(self, x: Floats, w: Linear) -> Floats:
        taps: Floats = self.values(w.weight)  # (D, K)
        slot = Slot(self.number, "convolution", (taps.shape[1] - 1, x.shape[1]))
        y = np.empty_like(x)
        for run, cache in zip(self.step.runs(), self.sequences, strict=True):
            kept = cache.slot(slot)
            rows = np.concatenate([kept, x[run]])  # (K - 1 + tokens, D)
            windows = np.lib.stride_tricks.sliding_window_view(rows, taps.shape[1], 0)
            y[run] = np.einsum("tdk,dk->td", windows, taps)
            kept[:] = rows[len(rows) - len(kept) :]
        return y + self._bias(w)

    def multiply(self, x: Floats, y: Floats) -> Floats:
        return x * y

    def add(self, x: Floats, y: Floats) -> Floats:
        return x + y

    def scale(self, x: Floats, factor: float) -> Floats:
        return x * np.float32(factor)

    def softcap(self, x: Floats, cap: float) -> Floats:
        return np.float32(cap) * np.tanh(x / np.float32(cap))

    def activate(self, x: Floats, activation: Activation) -> Floats:
        return ACTIVATIONS[activation](x)

    def gate(self, gate: Floats, up: Floats, activation: Activation) -> Floats:
        if activation == "clamped_swiglu":
            g, u = np.minimum(gate, np.float32(7)), np.clip(up, np.float32(-7), np.float32(7))
            clamped: Floats = g * sigmoid(np.float32(1.702) * g) * (u + 1)
            return clamped
        return ACTIVATIONS[activation](gate) * up

    def route(self, logits: Floats, routing: Routing) -> Chosen:
        scores = {"softmax": softmax, "sigmoid": sigmoid}.get(routing.gating, np.array)(logits)
        ids = np.argsort(-scores, -1, kind="stable")[:, : routing.used].astype(np.int32)
        weights = np.take_along_axis(scores, ids, -1)
        if routing.gating == "softmax_of_chosen":
            weights = softmax(weights)
        elif routing.normalize:
            weights = weights / np.maximum(weights.sum(-1, keepdims=True), np.float32(6.1e-5))
        return Chosen(ids, weights * np.float32(routing.scale), routing.total)

    def expert_linear(self, w: Linear, x: Floats, chosen: Chosen) -> Floats:
        ids = chosen.ids.reshape(-1)  # (T·k,)
        x = np.repeat(self.entering(w.weight, x), len(ids) // len(x), 0)
        matrices = self.values(w.weight).reshape(w.weight.experts, w.weight.rows, -1)
        biases = self.values(w.bias) if w.bias else np.zeros((w.weight.experts, 1), np.float32)
        scales = self.values(w.scale)[0] if w.scale else np.ones(w.weight.experts, np.float32)
        y = np.empty((len(ids), w.weight.rows), np.float32)
        for row, expert in enumerate(ids):
            y[row] = matrices[expert] @ x[row] * scales[expert] + biases[expert]
        return y

    def expert_sum(self, y: Floats, chosen: Chosen) -> Floats:
        total: Floats = np.einsum("tkd,tk->td", y.reshape(*chosen.ids.shape, -1), chosen.weights)
        return total

    def select_outputs(self, x: Floats) -> Floats:
        return x[self.step.outputs]

    def _bias(self, w: Linear) -> Floats | float:
        return self.values(w.bias)[0] if w.bias else 0.0

    def _store(self, k: Floats, v: Floats, layer: int) -> None:
        for t, position in enumerate(self.step.positions):
            self.caches[t].keep(layer, int(position), k[t], v[t])

    def _attend(self, t: int, q: Floats, heads: Heads, sinks: Weight | None) -> Floats:
        last = int(self.step.positions[t])
        first = 0 if heads.window is None else max(0, last - heads.window + 1)
        blocks = [self.caches[t].view(heads.layer, b) for b in range(last // BLOCK + 1)]
        keys, values = (
            np.concatenate(part)[first : last + 1] for part in zip(*blocks, strict=True)
        )
        k = keys.reshape(len(keys), heads.kv_heads, heads.head_width)  # (S, K, d)
        v = values.reshape(len(values), heads.kv_heads, heads.values)  # (S, K, e)
        group = heads.query_heads // heads.kv_heads
        query = q.reshape(heads.kv_heads, group, heads.head_width)
        scores = np.einsum("kgd,skd->kgs", query, k) * np.float32(heads.scale)
        if heads.softcap is not None:
            scores = self.softcap(scores, heads.softcap)
        if sinks is not None:
            sink = self.values(sinks).reshape(heads.kv_heads, group, 1)
            scores = np.concatenate([scores, sink], -1)
        shares = softmax(scores)[..., : len(k)]
        out: Floats = np.einsum("kgs,ske->kge", shares, v)
        return out.reshape(-1)


def reference_needs(program: Program, limits: Limits, kv: tuple[CacheType, CacheType]) -> Needs:
    """Weights in the file and as float32; the cache is float32 whatever types it stands for."""

    def size(use: Use) -> int:
        return use.weight.data.nbytes + 4 * len(use.weight.data) * use.weight.columns

    _, buffers = plan(program.operations, limits, program.output.buffer)
    StateLayout.of(program, *kv)  # types that do not fit are refused
    return needs_of(program, StateLayout.of(program, "f32", "f32"), buffers, size)


class ReferenceRunner:
    """Runs a model's forward pass step by step; the weights are dequantized when first used."""

    def __init__(
        self,
        program: Program,
        kv: tuple[CacheType, CacheType],
        entering: Callable[[Weight, Floats], Floats] = exact,
    ) -> None:
        assert program.forward is not None, "only a whole program can be computed as it was written"
        self._entering, self._types, self.digest = entering, kv, program.digest()
        self._forward = program.forward
        self._weights = dict[tuple[int, tuple[int, ...], str], Floats]()
        StateLayout.of(program, *kv)  # types that do not fit are refused
        self.pool = BlockPool(StateLayout.of(program, "f32", "f32"))

    def run(  # (O, V)
        self, step: Step, states: Sequence[SequenceState], interrupt: threading.Event | None = None
    ) -> Floats:
        """Raises Interrupted, but only before a step: none is broken off."""
        if interrupt is not None and interrupt.is_set():
            raise Interrupted
        reserve(step, states)
        plain = [PlainCache(state, *self._types) for state in states]
        logits: Floats = self._forward(Reference(step, plain, self._values, self._entering))
        return logits

    def profile(self, step: Step, states: Sequence[SequenceState]) -> list[OperatorTime]:
        """Raises UsageError: operators are not timed."""
        raise UsageError("the reference backend has no profile", "use --backend cpu")

    def room(self) -> int:
        """How many more blocks of cache memory has room for."""
        return available_memory().bytes // max(1, self.pool.layout.block_bytes)

    def close(self) -> None:
        self._weights.clear()
        self.pool.clear()

    def _values(self, weight: Weight) -> Floats:  # (experts * rows, columns)
        key = (weight.data.ctypes.data, weight.data.shape, weight.format.name)
        if key not in self._weights:
            self._weights[key] = dequantize(weight.format, weight.data)
        return self._weights[key]
