"""A model recorded once: the sequence of its operators over symbolic buffers, and where these lie.

The recorder is an `Operators` object that computes nothing. It checks every shape, so that a file
whose tensors do not fit is refused at load; a backend lowers the recording to its own kernels.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal

from ops.interface import (
    Activation,
    Array,
    Chosen,
    Heads,
    Linear,
    Operators,
    Rope,
    Routing,
    Weight,
    check_widths,
)
from quant.errors import ModelFileError

Rows = Literal["tokens", "outputs", "step"]


@dataclass(frozen=True, slots=True, eq=False)
class Buffer:
    """Activations of a step: (rows of the step * multiple, width) of 4-byte elements.

    `rows` is what the step has many of; "step" stands for one.
    """

    rows: Rows
    multiple: int
    width: int


Parameter = Linear | Weight | Rope | Heads | Routing | Activation | float | int | None


@dataclass(frozen=True, slots=True, eq=False)
class Operation:
    """One recorded call: the operator's name, the buffers it reads and writes, its constants."""

    name: str
    inputs: tuple[Buffer, ...]
    outputs: tuple[Buffer, ...]
    parameters: tuple[Parameter, ...]


@dataclass(slots=True)
class Recorder:
    """Writes down what a model's forward pass calls (see interface.Operators for the meanings)."""

    operations: list[Operation] = field(default_factory=list)

    def embed(self, table: Weight) -> Buffer:
        _check_experts(table, 1)
        return self._add("embed", (), Buffer("tokens", 1, table.columns), table)

    def embed_positions(self, table: Weight) -> Buffer:
        _check_experts(table, 1)
        return self._add("embed_positions", (), Buffer("tokens", 1, table.columns), table)

    def linear(self, w: Linear, x: Buffer) -> Buffer:
        self._check(w, x, 1)
        return self._add("linear", (x,), Buffer(x.rows, x.multiple, w.weight.rows), w)

    def rms_norm(self, x: Buffer, w: Linear, eps: float) -> Buffer:
        _check_norm(w)
        if w.bias:
            raise ModelFileError(f"the tensor {w.bias.name} has no place in this model")
        if x.width % w.weight.columns:
            check_widths(w.weight.name, w.weight.columns, x.width)
        return self._same("rms_norm", x, w, eps)

    def layer_norm(self, x: Buffer, w: Linear, eps: float) -> Buffer:
        check_widths(w.weight.name, w.weight.columns, x.width)
        _check_norm(w)
        if w.bias:
            check_widths(w.bias.name, w.bias.columns, x.width)
            _check_vector(w.bias)
        return self._same("layer_norm", x, w, eps)

    def rope(self, x: Buffer, rope: Rope) -> Buffer:
        return self._same("rope", x, rope)

    def temperature(self, x: Buffer, scale: float, period: int) -> Buffer:
        return self._same("temperature", x, scale, period)

    def attention(
        self, q: Buffer, k: Buffer, v: Buffer, heads: Heads, sinks: Weight | None = None
    ) -> Buffer:
        where = f"blk.{heads.layer}.attn"
        check_widths(f"{where}_q", q.width, heads.query_heads * heads.head_width)
        check_widths(f"{where}_k", k.width, heads.kv_heads * heads.head_width)
        check_widths(f"{where}_v", v.width, heads.kv_heads * heads.head_width)
        if sinks is not None:
            check_widths(sinks.name, sinks.columns, heads.query_heads)
            _check_vector(sinks)
        self.operations.append(Operation("store", (k, v), (), (heads,)))
        return self._add("attention", (q,), Buffer("tokens", 1, q.width), heads, sinks)

    def add(self, x: Buffer, y: Buffer) -> Buffer:
        if x.width != y.width:
            raise ModelFileError(f"a layer's output has the width {y.width}, its input {x.width}")
        return self._add("add", (x, y), Buffer(x.rows, x.multiple, x.width))

    def scale(self, x: Buffer, factor: float) -> Buffer:
        return self._same("scale", x, factor)

    def softcap(self, x: Buffer, cap: float) -> Buffer:
        return self._same("softcap", x, cap)

    def activate(self, x: Buffer, activation: Activation) -> Buffer:
        return self._same("activate", x, activation)

    def gate(self, gate: Buffer, up: Buffer, activation: Activation) -> Buffer:
        if gate.width != up.width:
            raise ModelFileError(f"ffn_gate has {gate.width} rows, ffn_up {up.width}")
        out = Buffer(gate.rows, gate.multiple, gate.width)
        return self._add("gate", (gate, up), out, activation)

    def route(self, logits: Buffer, routing: Routing) -> Chosen:
        check_widths("ffn_gate_inp", logits.width, routing.total)
        ids = Buffer("tokens", 1, routing.used)
        weights = Buffer("tokens", 1, routing.used)
        self.operations.append(Operation("route", (logits,), (ids, weights), (routing,)))
        return Chosen(ids, weights, routing.total)

    def expert_linear(self, w: Linear, x: Buffer, chosen: Chosen) -> Buffer:
        self._check(w, x, chosen.total)
        out = Buffer("tokens", chosen.ids.width, w.weight.rows)
        return self._add("expert_linear", (x, chosen.ids), out, w)

    def expert_sum(self, y: Buffer, chosen: Chosen) -> Buffer:
        out = Buffer("tokens", 1, y.width)
        return self._add("expert_sum", (y, chosen.weights), out)

    def select_outputs(self, x: Buffer) -> Buffer:
        return self._add("select_outputs", (x,), Buffer("outputs", 1, x.width))

    def _check(self, w: Linear, x: Buffer, experts: int) -> None:
        _check_experts(w.weight, experts)
        check_widths(w.weight.name, w.weight.columns, x.width)
        if w.bias:
            check_widths(w.bias.name, w.bias.columns, w.weight.rows)
            check_widths(w.bias.name, len(w.bias.data), w.weight.experts)
        if w.scale:
            check_widths(w.scale.name, w.scale.columns, w.weight.experts)

    def _same(self, name: str, x: Buffer, *parameters: Parameter) -> Buffer:
        return self._add(name, (x,), Buffer(x.rows, x.multiple, x.width), *parameters)

    def _add(
        self, name: str, inputs: tuple[Buffer, ...], output: Buffer, *parameters: Parameter
    ) -> Buffer:
        self.operations.append(Operation(name, inputs, (output,), parameters))
        return output


def _check_experts(weight: Weight, experts: int) -> None:
    if weight.experts != experts:
        message = f"the tensor {weight.name} holds {weight.experts} matrices; the model needs"
        raise ModelFileError(f"{message} {experts}")


def _check_norm(w: Linear) -> None:
    _check_vector(w.weight)
    if w.scale:
        raise ModelFileError(f"the tensor {w.scale.name} has no place in this model")


def _check_vector(weight: Weight) -> None:
    if len(weight.data) != 1:
        raise ModelFileError(f"the tensor {weight.name} should be a vector")


@dataclass(frozen=True, slots=True)
class Limits:
    """The most rows of a step; they size the buffers."""

    tokens: int
    outputs: int

    def rows(self, buffer: Buffer) -> int:
        """The most rows of a buffer."""
        of_step = {"tokens": self.tokens, "outputs": self.outputs, "step": 1}
        return of_step[buffer.rows] * buffer.multiple


@dataclass(frozen=True, slots=True, eq=False)
class Program:
    """A recording, or a stretch of one: what must be there before it runs, and what it gives."""

    operations: tuple[Operation, ...]
    inputs: tuple[Buffer, ...]
    output: Buffer

    def split(self, layer: int) -> tuple["Program", "Program"]:
        """What comes before a layer's first operator, and the rest; one buffer goes across."""
        mark = f"blk.{layer}."
        cut = next(n for n, op in enumerate(self.operations) if _names(op, mark))
        first, second = self.operations[:cut], self.operations[cut:]
        made = {buffer for op in first for buffer in op.outputs}
        read = {buffer for op in second for buffer in op.inputs}
        [crossing] = made & read
        return Program(first, self.inputs, crossing), Program(second, (crossing,), self.output)


def record(forward: Callable[[Operators], Array]) -> Program:
    """A model's whole forward pass. Raises ModelFileError."""
    recorder = Recorder()
    output: Buffer = forward(recorder)
    return Program(tuple(recorder.operations), (), output)


def _names(op: Operation, mark: str) -> bool:
    """Whether an operator takes a tensor whose name begins so."""
    weights = (p.weight if isinstance(p, Linear) else p for p in op.parameters)
    return any(isinstance(w, Weight) and w.name.startswith(mark) for w in weights)


def plan(
    operations: Sequence[Operation], limits: Limits, keep: Buffer, given: Sequence[Buffer] = ()
) -> tuple[dict[Buffer, int], int]:
    """Offsets in bytes for every buffer, and the total: memory is used again after the last reader.

    `keep` (the logits) stays valid after the step; `given` are filled before it. First fit over the
    free stretches.
    """
    last = {b: n for n, op in enumerate(operations) for b in (*op.inputs, *op.outputs)}
    last[keep] = len(operations)
    places: dict[Buffer, int] = {}
    live: list[tuple[int, int, Buffer]] = []  # (start, stop, buffer), sorted
    total = 0
    for n, op in enumerate(operations):
        for buffer in (*(given if n == 0 else ()), *op.outputs):
            size = -(-buffer_bytes(buffer, limits) // 64) * 64
            start = _first_fit(live, size)
            places[buffer] = start
            live = sorted([*live, (start, start + size, buffer)], key=lambda place: place[:2])
            total = max(total, start + size)
        live = [place for place in live if last[place[2]] > n]
    return places, total


def buffer_bytes(buffer: Buffer, limits: Limits) -> int:
    return 4 * limits.rows(buffer) * buffer.width


def _first_fit(live: list[tuple[int, int, Buffer]], size: int) -> int:
    at = 0
    for start, stop, _ in live:
        if start - at >= size:
            return at
        at = max(at, stop)
    return at
