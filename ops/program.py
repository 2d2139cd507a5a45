"""A model recorded once: its operators in order over symbolic buffers, and what they need.

The recording is the only truth about a model: its states, weights, inputs and work are read off its
operators. The recorder is an `Operators` object that computes nothing. It checks every shape, so
that a file whose tensors do not fit is refused at load; a backend lowers the recording to its own
kernels.
"""

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Literal

import numpy as np

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
from ops.operations import (
    Activate,
    Add,
    Attention,
    Buffer,
    Convolve,
    Embed,
    ExpertProduct,
    ExpertSum,
    Gate,
    LayerNorm,
    Multiply,
    Operation,
    Pages,
    Product,
    RmsNorm,
    Rotate,
    Route,
    Scale,
    SelectOutputs,
    Slot,
    Softcap,
    State,
    Store,
    Temperature,
    Use,
)
from quant.errors import ModelFileError


@dataclass(slots=True)
class Recorder:
    """Writes down what a model's forward pass calls (see interface.Operators for the meanings)."""

    operations: list[Operation] = field(default_factory=list)
    number: int | None = None  # of the layer that is being recorded

    def layer(self, number: int) -> "Recorder":
        return Recorder(self.operations, number)

    def embed(self, table: Weight) -> Buffer:
        _check_experts(table, 1)
        return self._add(Embed(Buffer("tokens", 1, table.columns), table))

    def embed_positions(self, table: Weight) -> Buffer:
        _check_experts(table, 1)
        return self._add(Embed(Buffer("tokens", 1, table.columns), table, "positions"))

    def linear(self, w: Linear, x: Buffer) -> Buffer:
        _check_product(w, x, 1)
        return self._add(Product(x, x.like(w.weight.rows), w))

    def rms_norm(self, x: Buffer, w: Linear, eps: float) -> Buffer:
        _check_norm(w)
        if w.bias:
            raise ModelFileError(f"the tensor {w.bias.name} has no place in this model")
        if x.width % w.weight.columns:
            check_widths(w.weight.name, w.weight.columns, x.width)
        return self._add(RmsNorm(x, x.like(), w, eps))

    def layer_norm(self, x: Buffer, w: Linear, eps: float) -> Buffer:
        check_widths(w.weight.name, w.weight.columns, x.width)
        _check_norm(w)
        if w.bias:
            check_widths(w.bias.name, w.bias.columns, x.width)
            _check_vector(w.bias)
        return self._add(LayerNorm(x, x.like(), w, eps))

    def rope(self, x: Buffer, rope: Rope) -> Buffer:
        return self._add(Rotate(x, x.like(), rope))

    def temperature(self, x: Buffer, scale: float, period: int) -> Buffer:
        return self._add(Temperature(x, x.like(), scale, period))

    def attention(
        self, q: Buffer, k: Buffer, v: Buffer, heads: Heads, sinks: Weight | None = None
    ) -> Buffer:
        where = f"blk.{heads.layer}.attn"
        check_widths(f"{where}_q", q.width, heads.query_heads * heads.head_width)
        check_widths(f"{where}_k", k.width, heads.kv_heads * heads.head_width)
        check_widths(f"{where}_v", v.width, heads.kv_heads * heads.values)
        if sinks is not None:
            check_widths(sinks.name, sinks.columns, heads.query_heads)
            _check_vector(sinks)
        self.operations.append(Store(k, v, heads, layer=self.number))
        out = Buffer("tokens", 1, heads.query_heads * heads.values)
        return self._add(Attention(q, out, heads, sinks))

    def convolve(self, x: Buffer, w: Linear) -> Buffer:
        taps, name = w.weight.columns, w.weight.name
        check_widths(name, w.weight.rows, x.width)
        if w.bias:
            check_widths(w.bias.name, w.bias.columns, x.width)
        assert self.number is not None, "what is kept between steps belongs to a layer"
        slot = Slot(self.number, "convolution", (taps - 1, x.width))
        return self._add(Convolve(x, x.like(), w, slot))

    def multiply(self, x: Buffer, y: Buffer) -> Buffer:
        if x.width != y.width:
            raise ModelFileError(f"widths of {x.width} and {y.width} are multiplied")
        return self._add(Multiply(x, y, x.like()))

    def add(self, x: Buffer, y: Buffer) -> Buffer:
        if x.width != y.width:
            raise ModelFileError(f"a layer's output has the width {y.width}, its input {x.width}")
        return self._add(Add(x, y, x.like()))

    def scale(self, x: Buffer, factor: float) -> Buffer:
        return self._add(Scale(x, x.like(), factor))

    def softcap(self, x: Buffer, cap: float) -> Buffer:
        return self._add(Softcap(x, x.like(), cap))

    def activate(self, x: Buffer, activation: Activation) -> Buffer:
        return self._add(Activate(x, x.like(), activation))

    def gate(self, gate: Buffer, up: Buffer, activation: Activation) -> Buffer:
        if gate.width != up.width:
            raise ModelFileError(f"ffn_gate has {gate.width} rows, ffn_up {up.width}")
        return self._add(Gate(gate, up, gate.like(), activation))

    def route(self, logits: Buffer, routing: Routing) -> Chosen:
        check_widths("ffn_gate_inp", logits.width, routing.total)
        ids, weights = logits.like(routing.used), logits.like(routing.used)
        self._add(Route(logits, ids, weights, routing))
        return Chosen(ids, weights, routing.total)

    def expert_linear(self, w: Linear, x: Buffer, chosen: Chosen) -> Buffer:
        _check_product(w, x, chosen.total)
        out = Buffer("tokens", chosen.ids.width, w.weight.rows)
        return self._add(ExpertProduct(x, chosen.ids, out, w))

    def expert_sum(self, y: Buffer, chosen: Chosen) -> Buffer:
        return self._add(ExpertSum(y, chosen.weights, Buffer("tokens", 1, y.width)))

    def select_outputs(self, x: Buffer) -> Buffer:
        return self._add(SelectOutputs(x, Buffer("outputs", 1, x.width)))

    def _add(self, operation: Operation) -> Buffer:
        """The operator's first output."""
        self.operations.append(replace(operation, layer=self.number))
        return operation.outputs[0]


def _check_product(w: Linear, x: Buffer, experts: int) -> None:
    _check_experts(w.weight, experts)
    check_widths(w.weight.name, w.weight.columns, x.width)
    if w.bias:
        check_widths(w.bias.name, w.bias.columns, w.weight.rows)
        check_widths(w.bias.name, len(w.bias.data), w.weight.experts)
    if w.scale:
        check_widths(w.scale.name, w.scale.columns, w.weight.experts)


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
class Output:
    """What a pass gives: logits, or the rows that another part of the model goes on with."""

    kind: Literal["logits", "hidden"]
    buffer: Buffer


@dataclass(frozen=True, slots=True, eq=False)
class Program:
    """A recording, or a stretch of one.

    `given` are vectors that the step brings, in buffers that are filled before it runs; a program
    without them begins with the step's tokens. `forward` is what a whole program was recorded of.
    """

    operations: tuple[Operation, ...]
    given: tuple[Buffer, ...]
    output: Output
    sources: tuple[Path, ...] = ()  # the files whose tensors it uses
    forward: Callable[[Operators], Array] | None = None

    @property
    def states(self) -> tuple[State, ...]:
        """What a sequence keeps between steps, layer by layer."""
        return tuple(op.state for op in self.operations if op.state is not None)

    @property
    def pages(self) -> tuple[Pages, ...]:
        """Those of `states` that grow with the positions."""
        return tuple(state for state in self.states if isinstance(state, Pages))

    @property
    def most_positions(self) -> int | None:
        """How many there can be, where a table holds a row for each."""
        tables = [
            op.table.rows
            for op in self.operations
            if isinstance(op, Embed) and op.index == "positions"
        ]
        return min(tables, default=None)

    @property
    def layers(self) -> int:
        """One more than the last block's number."""
        return 1 + max((op.layer for op in self.operations if op.layer is not None), default=-1)

    def weights(self) -> Iterator[Use]:
        """Every use of a weight, in order."""
        for operation in self.operations:
            yield from operation.uses()

    def split(self, layer: int) -> tuple["Program", "Program"]:
        """What comes before a layer's first operator, and the rest; one buffer goes across."""
        cut = next(n for n, op in enumerate(self.operations) if op.layer == layer)
        first, second = self.operations[:cut], self.operations[cut:]
        made = {buffer for op in first for buffer in op.outputs}
        read = {buffer for op in second for buffer in op.inputs}
        [crossing] = made & read
        before = Program(first, self.given, Output("hidden", crossing), self.sources)
        return before, Program(second, (crossing,), self.output, self.sources)

    def digest(self) -> bytes:
        """Of the operators with their shapes and constants, not of the weights' bytes."""
        numbers: dict[Buffer, int] = {}
        digest = hashlib.blake2b(digest_size=16)
        for operation in self.operations:
            digest.update(type(operation).__name__.encode())
            for each in fields(operation):
                digest.update(_described(getattr(operation, each.name), numbers).encode() + b"\0")
        return digest.digest()


def record(forward: Callable[[Operators], Array], *sources: Path) -> Program:
    """A model's whole forward pass. Raises ModelFileError."""
    recorder = Recorder()
    output: Buffer = forward(recorder)
    operations = tuple(recorder.operations)
    return Program(operations, (), Output("logits", output), sources, forward)


def _described(value: object, numbers: dict[Buffer, int]) -> str:
    """A constant, or what stands for a buffer or a weight, the same in every process."""
    match value:
        case Buffer():
            number = numbers.setdefault(value, len(numbers))
            return f"{number}:{value.rows}*{value.multiple}x{value.width}"
        case Weight():
            shape = f"{value.experts}x{value.rows}x{value.columns}"
            return f"{value.name}:{value.format.name}:{shape}"
        case Linear():
            parts = (value.weight, value.bias, value.scale)
            return "+".join(_described(part, numbers) for part in parts)
        case Rope():
            turn = np.ascontiguousarray(value.frequencies).tobytes().hex()
            return f"{turn}:{value.head_width}:{value.interleaved}:{value.magnitude!r}"
        case tuple():
            return ",".join(_described(part, numbers) for part in value)
    return repr(value)
