"""A model recorded once: its operators in order over symbolic buffers, and what they need.

The recording is the only truth about a model: its states, weights, inputs and work are read off its
operators. A backend lowers it to its own kernels.
"""

import hashlib
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, fields, replace
from mmap import mmap
from typing import Literal, Protocol

import numpy as np

from ops.interface import (
    Array,
    Heads,
    Linear,
    Operators,
    Rope,
    Routing,
    Weight,
)
from ops.operations.attention import Attention
from ops.operations.base import Buffer, Operation, Pages, Slot, State, Use
from ops.operations.elementwise import Join
from ops.operations.products import Embed
from quant.gguf import Stamp


@dataclass(frozen=True, slots=True)
class Output:
    """What a pass gives: logits, or the rows that another part of the model goes on with."""

    kind: Literal["logits", "hidden"]
    buffer: Buffer


class Source(Protocol):
    """A file that a program is made of."""

    @property
    def name(self) -> str:
        """For people."""

    @property
    def identity(self) -> str:
        """A digest of what it holds, computed when it is first asked for."""

    @property
    def stamps(self) -> tuple[Stamp, ...]:
        """Of the files on disk, in their order."""

    @property
    def maps(self) -> tuple[mmap, ...]:
        """The mapped files, in their order."""


@dataclass(frozen=True, slots=True, eq=False)
class Program:
    """A recording, or a stretch of one.

    `given` are vectors that the step brings, in buffers that are filled before it runs; a program
    without them begins with the step's tokens. `forward` is what a whole program was recorded of.
    `encoder` reads prompts before this program answers; `kept` is what both write to the state of
    a sequence that they share.
    """

    operations: tuple[Operation, ...]
    given: tuple[Buffer, ...]
    output: Output
    sources: tuple[Source, ...] = ()  # the files that it is made of: the model, adapters
    forward: Callable[[Operators], Array] | None = None
    encoder: "Encoder | None" = None
    kept: tuple[State, ...] = ()

    @property
    def states(self) -> tuple[State, ...]:
        """What a sequence keeps between steps, layer by layer; what layers share, once."""
        own = (op.state for op in self.operations if op.state is not None)
        return _once((*self.kept, *own))

    def reading(self, encoder: "Program", start: int) -> "Program":
        """The same with an encoder for prompts, which end before the first token `start`."""
        kept = _once((*encoder.states, *self.states))
        return replace(self, kept=kept, encoder=Encoder(replace(encoder, kept=kept), start))

    @property
    def parts(self) -> tuple["Program", ...]:
        """The encoder, if there is one, and the program itself."""
        return (self.encoder.program, self) if self.encoder else (self,)

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
    def vocabulary(self) -> int:
        """How many tokens it knows: those whose logits it gives, or whose rows it reads."""
        if self.output.kind == "logits":
            return self.output.buffer.width
        tables = (op.table for op in self.operations if isinstance(op, Embed))
        return next(table.rows for table in tables)

    @property
    def sees_whole_runs(self) -> bool:
        """Whether tokens see those behind them, so that a sequence has to be run in one step."""
        return any(op.heads.sees == "run" for op in self.operations if isinstance(op, Attention))

    @property
    def sees_others(self) -> bool:
        """Whether tokens see more than those before them: a step says where that ends."""
        return any(op.heads.sees != "past" for op in self.operations if isinstance(op, Attention))

    @property
    def predicts_next(self) -> bool:
        """Whether it gives the logits of what follows each token, by those before it alone."""
        return self.output.kind == "logits" and not self.sees_whole_runs and self.encoder is None

    @property
    def layers(self) -> int:
        """One more than the last block's number."""
        return 1 + max((op.layer for op in self.operations if op.layer is not None), default=-1)

    def weights(self) -> Iterator[Use]:
        """Every use of a weight, in order."""
        for operation in self.operations:
            yield from operation.uses()

    def split(self, layer: int) -> tuple["Program", "Program"]:
        """What comes before the first operator of a layer or of those behind it, and the rest.

        One buffer goes across.

        Not of a program with an `entangled_layer`.
        """
        numbers = enumerate(op.layer for op in self.operations)
        cut = next(n for n, number in numbers if number is not None and number >= layer)
        first, second, crossing = self.operations[:cut], self.operations[cut:], self._crossing(cut)
        before = Program(first, self.given, Output("hidden", crossing), self.sources)
        return before, Program(second, (crossing,), self.output, self.sources)

    @property
    def entangled_layer(self) -> int | None:
        """The first layer that needs more of the layers before it than one buffer, if any does."""
        last = {buffer: n for n, op in enumerate(self.operations) for buffer in op.inputs}
        live, layer, kept = set[Buffer](), 0, dict[int, int | None]()
        for n, op in enumerate(self.operations):
            if op.layer is not None and op.layer > layer:
                layer = op.layer
                live = {buffer for buffer in live if last.get(buffer, -1) >= n}
                if len(live) != 1:
                    return layer
            if isinstance(op.state, Pages):
                kept[op.state.layer] = op.layer
            if isinstance(op, Attention) and op.layer not in (None, kept.get(op.heads.layer)):
                return layer
            live.update(op.outputs)
        return None

    def crossings(self) -> tuple[Buffer, ...]:
        """What enters each layer, and behind these what leaves the last one.

        Not of a program with an `entangled_layer`.
        """
        inside = [n for n, op in enumerate(self.operations) if op.layer is not None]
        starts = [
            next(n for n, op in enumerate(self.operations) if op.layer == layer)
            for layer in range(self.layers)
        ]
        return tuple(self._crossing(cut) for cut in (*starts, inside[-1] + 1))

    def _crossing(self, cut: int) -> Buffer:
        made = {buffer for op in self.operations[:cut] for buffer in op.outputs}
        read = {buffer for op in self.operations[cut:] for buffer in op.inputs}
        [crossing] = (made | {*self.given}) & (read | {self.output.buffer})
        return crossing

    def without(self, dropped: Collection[int]) -> "Program":
        """The same without some layers: the next one reads what the last one before them gave.

        Not of a program with an `entangled_layer`.
        """
        crossings, entering = self.crossings(), dict[Buffer, Buffer]()
        for layer in sorted(dropped):
            entering[crossings[layer + 1]] = entering.get(crossings[layer], crossings[layer])
        kept = [op for op in self.operations if op.layer not in dropped]
        output = replace(self.output, buffer=entering.get(self.output.buffer, self.output.buffer))
        return Program(tuple(op.reading(entering) for op in kept), self.given, output, self.sources)

    def weighing(self, change: Callable[[Weight], Weight]) -> "Program":
        """The same with other weights in place of its own."""
        operations = tuple(op.weighing(change) for op in self.operations)
        return Program(operations, self.given, self.output, self.sources)

    def giving(self, buffers: Sequence[Buffer]) -> "Program":
        """A program that gives these rows of the tokens side by side, and ends behind the last."""
        joined = Buffer("tokens", 1, sum(buffer.width for buffer in buffers))
        last = max(n for n, op in enumerate(self.operations) if {*op.outputs} & {*buffers})
        operations = *self.operations[: last + 1], Join(tuple(buffers), joined, 1)
        return Program(operations, self.given, Output("hidden", joined), self.sources)

    @property
    def identity(self) -> str:
        """Of the files that it is made of: which model answers."""
        one, *others = [source.identity for source in self.sources]
        return hashlib.sha256(" ".join([one, *others]).encode()).hexdigest() if others else one

    def digest(self) -> bytes:
        """Of the operators with their shapes and constants, not of the weights' bytes."""
        numbers: dict[Buffer, int] = {}
        digest = hashlib.blake2b(digest_size=16)
        for operation in self.operations:
            digest.update(type(operation).__name__.encode())
            for each in fields(operation):
                digest.update(_described(getattr(operation, each.name), numbers).encode() + b"\0")
        return digest.digest()


def kinds_of_layers(program: Program) -> dict[int, str]:
    """What each layer computes, without its number, its weights and how many heads it has.

    Two layers of one kind differ only in their weights and widths.
    """
    found = dict[int, list[str]]()
    for op in program.operations:
        if op.layer is not None:
            own = [getattr(op, each.name) for each in fields(op) if each.name != "layer"]
            found.setdefault(op.layer, []).append(type(op).__name__ + " ".join(map(_kind, own)))
    return {layer: "; ".join(kinds) for layer, kinds in found.items()}


def _kind(value: object) -> str:
    match value:
        case Buffer() | Weight() | int() if not isinstance(value, bool):
            return "."
        case Linear():
            return f"w{value.bias is not None:d}{value.scale is not None:d}"
        case Heads():
            return repr(replace(value, layer=0, query_heads=0, kv_heads=0))
        case Routing():
            return repr(replace(value, total=0))
        case Slot():
            return f"{value.name}{value.number}"
        case Rope():
            return _described(value, {})
        case tuple():
            return ",".join(map(_kind, value))
    return repr(value)


@dataclass(frozen=True, slots=True)
class Encoder:
    """A program that reads a whole prompt in one step, and the token that begins the answer."""

    program: Program
    start: int


def _once(states: Iterable[State]) -> tuple[State, ...]:
    """Keys and values that several write to one place count once."""
    found = {state.layer if isinstance(state, Pages) else state: state for state in states}
    return tuple(found.values())


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
            kind = f"{value.head_width}:{value.interleaved}:{value.magnitude!r}"
            return f"{turn}:{kind}:{value.start}" if value.start else f"{turn}:{kind}"
        case tuple():
            return ",".join(_described(part, numbers) for part in value)
    return repr(value)
