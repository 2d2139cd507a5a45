"""The operators as a recording holds them: one record each, with its buffers, weights and costs.

A field says what it is by its metadata: a buffer that is read or written, a weight that is
multiplied, looked up or a vector beside. Whoever asks what a model needs (memory, work, states,
weights) asks these records. A backend has one rule for each type: `RECORDED` are written down by a
model, `FUSED` come from rewriting a recording (ops.fusion, ops.cuda.lowering.merging).
"""

import functools
from collections.abc import Iterator
from dataclasses import dataclass, field, fields
from typing import Any, Literal, Protocol

import numpy as np

from ops.interface import Activation, Heads, Linear, Rope, Routing, Step, Weight

RowKind = Literal["tokens", "outputs", "step"]
Role = Literal["product", "table", "vector"]


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
        roles: tuple[Role, ...] = ("product", "table", "vector")
        for role in roles:
            for name in _fields_of(self._kind, role):
                value = getattr(self, name)
                for one in value if isinstance(value, tuple) else (value,):
                    if one is not None:
                        yield role, one


@functools.cache
def _fields_of(kind: type[Operation], role: str) -> tuple[str, ...]:
    return tuple(each.name for each in fields(kind) if each.metadata.get("role") == role)


# what a model records (see interface.Operators for the meanings)


@dataclass(frozen=True, slots=True, eq=False)
class Embed(Operation):
    """The table's rows for the step's tokens, or for their positions."""

    y: Buffer = field(metadata=WRITTEN)
    table: Weight = field(metadata=TABLE)
    index: Literal["tokens", "positions"] = "tokens"

    def costs(self, step: Step, cache: PositionBytes) -> Cost:
        return Cost(self.y.count(step) * self.table.data.shape[1])


@dataclass(frozen=True, slots=True, eq=False)
class Product(Operation):
    """y = w·x (+ added); with `up` y = activation(w·x) · up·x. `quantized` is y in blocks of 32."""

    x: Buffer = field(metadata=READ)
    y: Buffer = field(metadata=WRITTEN)
    w: Linear = field(metadata=PRODUCT)
    up: Linear | None = field(default=None, metadata=PRODUCT)
    activation: Activation | None = None  # of a product with `up`
    added: Buffer | None = field(default=None, metadata=READ)
    quantized: Buffer | None = field(default=None, metadata=WRITTEN)

    def costs(self, step: Step, cache: PositionBytes) -> Cost:
        return _product_costs(self, self.y.count(step))


@dataclass(frozen=True, slots=True, eq=False)
class ExpertProduct(Operation):
    """As `Product`, each row of y with the matrix of its expert.

    `order` are the rows of y sorted by expert, `starts` where each expert's begin.
    """

    x: Buffer = field(metadata=READ)
    ids: Buffer = field(metadata=READ)
    y: Buffer = field(metadata=WRITTEN)
    w: Linear = field(metadata=PRODUCT)
    up: Linear | None = field(default=None, metadata=PRODUCT)
    activation: Activation | None = None
    order: Buffer | None = field(default=None, metadata=READ)
    starts: Buffer | None = field(default=None, metadata=READ)

    def costs(self, step: Step, cache: PositionBytes) -> Cost:
        return _product_costs(self, self.y.count(step))


@dataclass(frozen=True, slots=True, eq=False)
class RmsNorm(Operation):
    x: Buffer = field(metadata=READ)
    y: Buffer = field(metadata=WRITTEN)
    w: Linear = field(metadata=VECTOR)
    eps: float = 0.0


@dataclass(frozen=True, slots=True, eq=False)
class LayerNorm(Operation):
    x: Buffer = field(metadata=READ)
    y: Buffer = field(metadata=WRITTEN)
    w: Linear = field(metadata=VECTOR)
    eps: float = 0.0


@dataclass(frozen=True, slots=True, eq=False)
class Rotate(Operation):
    """Rotary positions; `angles` is the table that `Angles` writes."""

    x: Buffer = field(metadata=READ)
    y: Buffer = field(metadata=WRITTEN)
    rope: Rope
    angles: Buffer | None = field(default=None, metadata=READ)


@dataclass(frozen=True, slots=True, eq=False)
class Temperature(Operation):
    x: Buffer = field(metadata=READ)
    y: Buffer = field(metadata=WRITTEN)
    scale: float
    period: int


@dataclass(frozen=True, slots=True, eq=False)
class Store(Operation):
    """Keys and values go to the cache."""

    k: Buffer = field(metadata=READ)
    v: Buffer = field(metadata=READ)
    heads: Heads

    @property
    def state(self) -> Pages:
        return pages_of(self.heads)


@dataclass(frozen=True, slots=True, eq=False)
class Attention(Operation):
    """What the cache holds, seen from q. `quantized` is y in blocks of 32."""

    q: Buffer = field(metadata=READ)
    y: Buffer = field(metadata=WRITTEN)
    heads: Heads
    sinks: Weight | None = field(default=None, metadata=VECTOR)
    quantized: Buffer | None = field(default=None, metadata=WRITTEN)

    @property
    def reads_state(self) -> bool:
        return True

    def costs(self, step: Step, cache: PositionBytes) -> Cost:
        """Positions that several tokens of a sequence see are read once."""
        heads = self.heads
        seen = step.positions.astype(np.int64) + 1
        if heads.window is not None:
            seen = np.minimum(seen, heads.window)
        read = 0
        for run in step.runs():
            stop = int(step.positions[run].max()) + 1
            read += min(stop, int(seen[run].max()) + run.stop - run.start - 1)
        macs = int(seen.sum()) * heads.query_heads * (heads.head_width + heads.values)
        return Cost(read * cache.position_bytes(heads.layer), macs)


@dataclass(frozen=True, slots=True, eq=False)
class Convolve(Operation):
    """A causal convolution of each channel; its slot holds the rows before the step's."""

    x: Buffer = field(metadata=READ)
    y: Buffer = field(metadata=WRITTEN)
    w: Linear = field(metadata=VECTOR)
    slot: Slot

    @property
    def state(self) -> Slot:
        return self.slot

    @property
    def reads_state(self) -> bool:
        return True


@dataclass(frozen=True, slots=True, eq=False)
class Multiply(Operation):
    a: Buffer = field(metadata=READ)
    b: Buffer = field(metadata=READ)
    y: Buffer = field(metadata=WRITTEN)


@dataclass(frozen=True, slots=True, eq=False)
class Add(Operation):
    a: Buffer = field(metadata=READ)
    b: Buffer = field(metadata=READ)
    y: Buffer = field(metadata=WRITTEN)


@dataclass(frozen=True, slots=True, eq=False)
class Scale(Operation):
    x: Buffer = field(metadata=READ)
    y: Buffer = field(metadata=WRITTEN)
    factor: float


@dataclass(frozen=True, slots=True, eq=False)
class Softcap(Operation):
    x: Buffer = field(metadata=READ)
    y: Buffer = field(metadata=WRITTEN)
    cap: float


@dataclass(frozen=True, slots=True, eq=False)
class Activate(Operation):
    x: Buffer = field(metadata=READ)
    y: Buffer = field(metadata=WRITTEN)
    activation: Activation


@dataclass(frozen=True, slots=True, eq=False)
class Gate(Operation):
    """y = activation(gate) · up."""

    gate: Buffer = field(metadata=READ)
    up: Buffer = field(metadata=READ)
    y: Buffer = field(metadata=WRITTEN)
    activation: Activation


@dataclass(frozen=True, slots=True, eq=False)
class Route(Operation):
    logits: Buffer = field(metadata=READ)
    ids: Buffer = field(metadata=WRITTEN)
    weights: Buffer = field(metadata=WRITTEN)
    routing: Routing


@dataclass(frozen=True, slots=True, eq=False)
class ExpertSum(Operation):
    x: Buffer = field(metadata=READ)
    weights: Buffer = field(metadata=READ)
    y: Buffer = field(metadata=WRITTEN)


@dataclass(frozen=True, slots=True, eq=False)
class SelectOutputs(Operation):
    x: Buffer = field(metadata=READ)
    y: Buffer = field(metadata=WRITTEN)


RECORDED: tuple[type[Operation], ...] = (
    *(Embed, Product, ExpertProduct, RmsNorm, LayerNorm, Rotate, Temperature, Store, Attention),
    *(Convolve, Add, Multiply, Scale, Softcap, Activate, Gate, Route, ExpertSum, SelectOutputs),
)

# what rewriting makes of them


@dataclass(frozen=True, slots=True, eq=False)
class Quantize(Operation):
    """Activations in blocks of 32 bytes with a scale, as products with packed weights take them."""

    x: Buffer = field(metadata=READ)
    y: Buffer = field(metadata=WRITTEN)


@dataclass(frozen=True, slots=True, eq=False)
class RmsNormQuantize(Operation):
    """A norm of whole rows and the quantization that is its only reader."""

    x: Buffer = field(metadata=READ)
    y: Buffer = field(metadata=WRITTEN)
    w: Linear = field(metadata=VECTOR)
    eps: float = 0.0


@dataclass(frozen=True, slots=True, eq=False)
class Angles(Operation):
    """Cosines and sines of the step's positions, once for all layers."""

    y: Buffer = field(metadata=WRITTEN)
    rope: Rope


@dataclass(frozen=True, slots=True, eq=False)
class NormRopeStore(Operation):
    """All that stands between the products of q, k, v and attention: head norms, rope, cache.

    `y` is q afterwards. `rotates_q`: q turns as k does; without `angles` neither turns.
    """

    q: Buffer = field(metadata=READ)
    k: Buffer = field(metadata=READ)
    v: Buffer = field(metadata=READ)
    y: Buffer = field(metadata=WRITTEN)
    heads: Heads
    q_norm: Linear | None = field(default=None, metadata=VECTOR)
    k_norm: Linear | None = field(default=None, metadata=VECTOR)
    eps: float = 0.0
    rope: Rope | None = None
    angles: Buffer | None = field(default=None, metadata=READ)
    rotates_q: bool = False

    @property
    def state(self) -> Pages:
        return pages_of(self.heads)


@dataclass(frozen=True, slots=True, eq=False)
class Group(Operation):
    """The rows of each expert: `order` sorts them by expert, `starts` is where each one's begin."""

    ids: Buffer = field(metadata=READ)
    order: Buffer = field(metadata=WRITTEN)
    starts: Buffer = field(metadata=WRITTEN)
    routing: Routing


@dataclass(frozen=True, slots=True, eq=False)
class JoinedProducts(Operation):
    """Products of the same input as one: ys[i] = ws[i]·x."""

    x: Buffer = field(metadata=READ)
    ys: tuple[Buffer, ...] = field(metadata=WRITTEN)
    ws: tuple[Linear, ...] = field(metadata=PRODUCT)

    def costs(self, step: Step, cache: PositionBytes) -> Cost:
        return _product_costs(self, self.ys[0].count(step))


FUSED: tuple[type[Operation], ...] = (
    Quantize,
    RmsNormQuantize,
    Angles,
    NormRopeStore,
    Group,
    JoinedProducts,
)


def pages_of(heads: Heads) -> Pages:
    """What a layer's attention keeps."""
    return Pages(heads.layer, heads.kv_heads, heads.head_width, heads.values, heads.window)


def _product_costs(operation: Operation, rows: int) -> Cost:
    """Of experts at most as many as there are rows: rows may share one."""
    size = macs = 0
    for use in operation.uses():
        w = use.weight
        if use.role == "product":
            size += w.data.nbytes * min(rows, w.experts) // w.experts
            macs += rows * w.rows * w.columns
        else:
            size += w.data.nbytes * (rows > 0)
    return Cost(size, macs)
