"""What all operators have in common: buffers, states, costs, and the fields that hold them.

A field says what it is by its metadata: a buffer that is read or written, a weight that is
multiplied, looked up or a vector beside. Whoever asks what a model needs (memory, work, states,
weights) asks these records.
"""

import functools
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any, Literal, Protocol, Self, get_args

from ops.interface import Linear, Step, Weight

RowKind = Literal["tokens", "outputs", "step"]
Role = Literal["product", "table", "vector"]
ROLES: tuple[Role, ...] = get_args(Role)


@dataclass(frozen=True, slots=True, eq=False)
class Buffer:
    """Activations of a step: (rows of the step * multiple, width) of 4-byte elements.

    `rows` is what the step has many of; "step" stands for one.
    """

    rows: RowKind
    multiple: int
    width: int

    def like(self, width: int | None = None) -> "Buffer":
        """Another one with as many rows."""
        return Buffer(self.rows, self.multiple, self.width if width is None else width)

    def count(self, step: Step) -> int:
        """Its rows in a step."""
        of_step = {"tokens": len(step.tokens), "outputs": len(step.outputs), "step": 1}
        return of_step[self.rows] * self.multiple


@dataclass(frozen=True, slots=True)
class Pages:
    """Keys and values of one layer: they grow with the positions and may be cut anywhere.

    `heads` rows of `key_width` and of `value_width` elements a position. Behind a `window` of
    positions they are no longer read, but kept.
    """

    layer: int
    heads: int
    key_width: int
    value_width: int
    window: int | None = None


@dataclass(frozen=True, slots=True)
class Slot:
    """What one layer keeps in a fixed size (float32), overwritten by every step."""

    layer: int
    name: str
    shape: tuple[int, ...]
    number: int = 0  # of several of its name in a layer


State = Pages | Slot


class PositionBytes(Protocol):
    """A layout of the KV cache."""

    def position_bytes(self, layer: int) -> int:
        """K and V of a layer, for one position."""


@dataclass(frozen=True, slots=True)
class Cost:
    """What an operator takes in one step: bytes of weights and cache, read once; multiply-adds."""

    bytes: int = 0
    macs: int = 0

    def __add__(self, other: "Cost") -> "Cost":
        return Cost(self.bytes + other.bytes, self.macs + other.macs)


@dataclass(frozen=True, slots=True)
class Use:
    """A weight in an operator: multiplied, a table that rows are taken of, or a vector beside."""

    weight: Weight
    role: Role
    layer: int | None


# metadata of an operation's fields: buffers, then weights
READ, WRITTEN = {"role": "read"}, {"role": "written"}
PRODUCT, TABLE, VECTOR = {"role": "product"}, {"role": "table"}, {"role": "vector"}


@dataclass(frozen=True, slots=True, eq=False)
class Operation:
    """One recorded call. `layer` is the block it belongs to; None before and behind the blocks."""

    layer: int | None = field(default=None, kw_only=True)

    @property
    def inputs(self) -> tuple[Buffer, ...]:
        return self._buffers("read")

    @property
    def outputs(self) -> tuple[Buffer, ...]:
        return self._buffers("written")

    @property
    def state(self) -> State | None:
        """What it writes that outlives the step."""
        return None

    @property
    def reads_state(self) -> bool:
        """Whether it reads what a sequence keeps."""
        return False

    def uses(self) -> Iterator[Use]:
        """Its weights."""
        for role, found in self._weights():
            if isinstance(found, Weight):
                yield Use(found, role, self.layer)
                continue
            yield Use(found.weight, role, self.layer)
            for vector in (found.bias, found.scale):
                if vector is not None:
                    yield Use(vector, "vector", self.layer)

    def reading(self, others: Mapping[Buffer, Buffer]) -> Self:
        """The same, but what it reads of `others`' keys it reads of their values."""
        changed = dict[str, Any]()
        for name in _fields_of(self._kind, "read"):
            value = getattr(self, name)
            one = value if isinstance(value, tuple) else (value,)
            if any(buffer in others for buffer in one):
                new = tuple(others.get(buffer, buffer) for buffer in one)
                changed[name] = new if isinstance(value, tuple) else new[0]
        return replace(self, **changed) if changed else self

    def weighing(self, change: Callable[[Weight], Weight]) -> Self:
        """The same with other weights."""

        def changed(value: Linear | Weight) -> Linear | Weight:
            if isinstance(value, Weight):
                return change(value)
            bias, scale = (each and change(each) for each in (value.bias, value.scale))
            return Linear(change(value.weight), bias, scale)

        new = dict[str, Any]()
        for role in ROLES:
            for name in _fields_of(self._kind, role):
                value = getattr(self, name)
                if isinstance(value, tuple):
                    new[name] = tuple(map(changed, value))
                elif value is not None:
                    new[name] = changed(value)
        return replace(self, **new) if new else self

    def costs(self, step: Step, cache: PositionBytes) -> Cost:
        """In this step. Vectors are read once; their products with activations do not count."""
        used = self.outputs[0].count(step) > 0 if self.outputs else False
        return Cost(used * sum(use.weight.data.nbytes for use in self.uses()))

    @property
    def _kind(self) -> Any:
        """Its type; `Any`, since mypy takes the instances' __hash__ for the type's own."""
        return type(self)

    def _buffers(self, role: str) -> tuple[Buffer, ...]:
        found: list[Buffer] = []
        for name in _fields_of(self._kind, role):
            value = getattr(self, name)
            found += value if isinstance(value, tuple) else () if value is None else (value,)
        return tuple(found)

    def _weights(self) -> Iterator[tuple[Role, Linear | Weight]]:
        for role in ROLES:
            for name in _fields_of(self._kind, role):
                value = getattr(self, name)
                for one in value if isinstance(value, tuple) else (value,):
                    if one is not None:
                        yield role, one


@functools.cache
def _fields_of(kind: type[Operation], role: str) -> tuple[str, ...]:
    return tuple(each.name for each in fields(kind) if each.metadata.get("role") == role)
