"""What can be left out of a model's layers, read off its recording.

A cut is a number of units that leave together: channels of a feed-forward part, heads of keys and
values with the query heads that share them, or experts. Each unit is made by some rows of matrices,
and read by some columns of one. Whether the arithmetic between allows it is read off the operators:
from the matrix that reads the units back to those that make them, through what treats every unit
alike.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal

from lepton_cli.models.keys import Keys
from ops.interface import Linear, Weight
from ops.operations.attention import Attention, Rotate, Store
from ops.operations.base import Buffer, Operation
from ops.operations.elementwise import (
    Activate,
    Clamp,
    Columns,
    Gate,
    Multiply,
    Scale,
    Softcap,
    Temperature,
)
from ops.operations.experts import Route
from ops.operations.norms import LayerNorm, RmsNorm
from ops.operations.products import ExpertProduct, Product
from ops.program import Program
from quant.gguf import GGUF

Kind = Literal["channels", "heads", "experts"]

ALIKE = (Activate, Clamp, Gate, Multiply, Scale, Softcap, Temperature, Rotate)
"""Operators that treat each unit of what they read alike."""


@dataclass(frozen=True, slots=True)
class Piece:
    """The part of a tensor that belongs to units: `each` indices of an axis, from `first` on."""

    tensor: str
    axis: int  # of the tensor's shape
    first: int
    each: int


@dataclass(frozen=True, slots=True)
class Cut:
    """Units of one layer. `reader` is the tensor whose columns multiply them, with `each` a unit.

    `numbers` are the keys that count them, with the present value. `least` of them have to stay.
    """

    kind: Kind
    layer: int
    units: int
    pieces: tuple[Piece, ...]
    reader: str
    each: int
    numbers: Mapping[str, int] = field(hash=False)
    least: int = 1


Made = tuple[Weight, bool]
"""What makes units, and whether it is a matrix, whose rows do."""


class Uncut(Exception):  # noqa: N818  it is not an error
    """Why the units cannot be left out."""


@dataclass(frozen=True)
class Cuts:
    """Finds the cuts of a program that was recorded of a file."""

    program: Program
    file: GGUF

    @cached_property
    def _makers(self) -> dict[Buffer, Operation]:
        return {buffer: op for op in self.program.operations for buffer in op.outputs}

    @cached_property
    def _readers(self) -> dict[Buffer, set[Operation]]:
        readers = dict[Buffer, set[Operation]]()
        for op in self.program.operations:
            for buffer in op.inputs:
                readers.setdefault(buffer, set()).add(op)
        return readers

    def channels(self) -> Iterator[Cut | Uncut]:
        """Of every feed-forward part, dense or of all experts alike; or why not."""
        for op in self.program.operations:
            if isinstance(op, Product | ExpertProduct) and op.layer is not None:
                made = self._makers.get(op.x)
                if isinstance(made, Gate | Activate | Multiply) and not self._attends(op):
                    yield self._cut("channels", op, op.w.weight.columns)

    def heads(self) -> Iterator[Cut | Uncut]:
        """Of every attention: heads of keys and values; or why not."""
        for op in self.program.operations:
            if isinstance(op, Product) and op.layer is not None:
                attention = self._attends(op)
                if attention is not None:
                    yield self._cut("heads", op, attention.heads.kv_heads)

    def experts(self) -> Iterator[Cut | Uncut]:
        """Of every choice of experts; or why not."""
        for op in self.program.operations:
            if isinstance(op, Route) and op.layer is not None:
                try:
                    yield self._experts(op)
                except Uncut as reason:
                    yield reason

    def _attends(self, op: Product | ExpertProduct) -> Attention | None:
        """The attention whose results the product reads, behind what treats them alike."""
        found: Operation | None = self._makers.get(op.x)
        while isinstance(found, (*ALIKE, RmsNorm)) and found.layer == op.layer:
            makers = [self._makers.get(buffer) for buffer in found.inputs]
            attention = next((maker for maker in makers if isinstance(maker, Attention)), None)
            if attention is not None:
                return attention
            found = makers[0] if isinstance(found, RmsNorm) else None
        return found if isinstance(found, Attention) else None

    def _cut(self, kind: Kind, reader: Product | ExpertProduct, units: int) -> Cut | Uncut:
        trace = _Trace(self.program, self._makers, self._readers, units, {reader})
        try:
            pieces = [
                self._rows(weight, units) if is_matrix else self._numbers_of(weight, units)
                for weight, is_matrix in trace.back(reader.x)
            ]
            trace.check_nothing_else_reads()
            self._check_states(trace.seen)
            name, first = self._tensor(reader.w.weight)
            columns = reader.w.weight.columns
            if first or columns != self.file.tensors[name].shape[-1]:
                raise Uncut(f"{name} is read in parts")
            numbers = self._numbers(kind, reader)
        except Uncut as reason:
            return Uncut(f"layer {reader.layer}: {reason}")
        layer = reader.layer
        assert layer is not None, "only operators of layers are looked at"
        last = len(self.file.tensors[name].shape) - 1
        own = Piece(name, last, 0, columns // units)
        return Cut(kind, layer, units, _unique((*pieces, own)), name, columns // units, numbers)

    def _experts(self, route: Route) -> Cut:
        routing, layer = route.routing, route.layer
        router = self._makers.get(route.logits)
        assert layer is not None, "only operators of layers are looked at"
        grouped = routing.groups > 1 or routing.neighbours > 1
        if grouped or route.listed is not None or not isinstance(router, Product):
            raise Uncut(f"layer {layer}: its experts are chosen in groups, or by a list")
        units = routing.experts
        pieces = [self._rows(router.w.weight, units)]
        for vector in (router.w.bias, route.bias):
            if vector is not None:
                pieces.append(self._numbers_of(vector, units))
        reader = ""
        for op in self.program.operations:
            if isinstance(op, ExpertProduct) and op.ids is route.ids:
                pieces += [self._of_experts(weight, units) for weight in _parts(op.w)]
                reader = self._tensor(op.w.weight)[0]
        return Cut(
            "experts",
            layer,
            units,
            _unique(pieces),
            reader,
            0,
            {"expert_count": units},
            routing.used,
        )

    def _of_experts(self, weight: Weight, units: int) -> Piece:
        name, _ = self._tensor(weight)
        if self.file.tensors[name].shape[0] != units:
            raise Uncut(f"{name} has no row for each of {units} experts")
        return Piece(name, 0, 0, 1)

    def _numbers(self, kind: Kind, reader: Product | ExpertProduct) -> Mapping[str, int]:
        if kind == "heads":
            attention = self._attends(reader)
            assert attention is not None, "the units are its heads"
            heads = attention.heads
            return {
                "attention.head_count": heads.query_heads,
                "attention.head_count_kv": heads.kv_heads,
            }
        return {self._width_key(reader): reader.w.weight.columns}

    def _width_key(self, reader: Product | ExpertProduct) -> str:
        """The key of a feed-forward part's width. Raises Uncut if none has its value."""
        has_experts = any(
            isinstance(op, Route) and op.layer == reader.layer for op in self.program.operations
        )
        names = ["expert_shared_feed_forward_length"] if has_experts else ["feed_forward_length"]
        if isinstance(reader, ExpertProduct):
            names = ["expert_feed_forward_length", "feed_forward_length"]
        keys, layer = Keys(self.file.metadata), reader.layer or 0
        found = [name for name in names if name in keys]
        if not found or keys.at(found[0], layer) != reader.w.weight.columns:
            raise Uncut("no key of the file holds its width")
        return found[0]

    def _check_states(self, seen: set[Operation]) -> None:
        """What is stored must not be read by the attention of another layer."""
        layers = {op.heads.layer for op in seen if isinstance(op, Store)}
        for op in self.program.operations:
            if isinstance(op, Attention) and op not in seen and op.heads.layer in layers:
                raise Uncut("another layer reads its keys and values")

    def _rows(self, weight: Weight, units: int) -> Piece:
        """The rows of a matrix, or of each expert's, that make the units."""
        name, first = self._tensor(weight)
        return self._split(name, -2, first, weight.rows, units)

    def _numbers_of(self, weight: Weight, units: int) -> Piece:
        """The numbers of a vector, or of each expert's, that belong to the units."""
        name, _ = self._tensor(weight)
        begin = weight.data.ctypes.data - self.file.tensors[name].data.ctypes.data
        first = begin // weight.format.block_bytes % self.file.tensors[name].shape[-1]
        return self._split(name, -1, first, weight.columns, units)

    def _split(self, name: str, axis: int, first: int, size: int, units: int) -> Piece:
        if size % units:
            raise Uncut(f"{name} has {size} rows for {units} units")
        return Piece(name, len(self.file.tensors[name].shape) + axis, first, size // units)

    def _tensor(self, weight: Weight) -> tuple[str, int]:
        """The tensor that a weight is, and the row of it where the weight begins."""
        tensor = self.file.tensors.get(weight.name)
        if tensor is None:
            raise Uncut(f"{weight.name} is made of several tensors")
        offset = weight.data.ctypes.data - tensor.data.ctypes.data
        if not 0 <= offset < tensor.data.nbytes:
            raise Uncut(f"{weight.name} is read in another order")
        return tensor.name, offset // tensor.data.shape[1]


@dataclass
class _Trace:
    """The way back from the columns of a matrix to the rows that make them."""

    program: Program
    makers: dict[Buffer, Operation]
    readers: dict[Buffer, set[Operation]]
    units: int
    seen: set[Operation]

    def __post_init__(self) -> None:
        self._buffers = set[Buffer]()

    def back(self, buffer: Buffer) -> Iterator[Made]:
        """The weights that make a buffer of `units` equal parts, side by side."""
        if buffer in self._buffers:
            return
        self._buffers.add(buffer)
        op = self.makers.get(buffer)
        if op is None:
            raise Uncut("its input is no result of a matrix")
        self.seen.add(op)
        match op:
            case Product() | ExpertProduct():
                yield op.w.weight, True
                if op.w.bias is not None:
                    yield op.w.bias, False
            case Multiply() if op.b.width == 1:
                yield from self.back(op.a)
                self._buffers.add(op.b)
                self.seen.add(self.makers[op.b])
            case _ if isinstance(op, ALIKE):
                for each in op.inputs:
                    yield from self.back(each)
            case Columns() if op.x.width // op.stretch % self.units == 0:
                yield from self.back(op.x)
            case RmsNorm() | LayerNorm():
                yield from self._through_norm(op)
            case Attention():
                yield from self._through_attention(op)
            case _:
                raise Uncut(f"{type(op).__name__} stands before {self._end()}")

    def check_nothing_else_reads(self) -> None:
        """What is left out must be of no use elsewhere."""
        for buffer in self._buffers:
            for op in self.readers[buffer] - self.seen:
                raise Uncut(f"{type(op).__name__} reads a part of it, too")

    def _through_norm(self, op: RmsNorm | LayerNorm) -> Iterator[Made]:
        part = op.x.width // self.units
        if op.x.width % self.units or part % op.width:
            raise Uncut(f"a norm over all of it stands before {self._end()}")
        if op.w is not None and op.w.weight.rows > 1:
            yield op.w.weight, True
            if op.w.bias is not None:
                yield op.w.bias, True
        yield from self.back(op.x)

    def _through_attention(self, op: Attention) -> Iterator[Made]:
        heads = op.heads
        if op.further is not None or op.biases is not None or heads.slopes is not None:
            raise Uncut("its heads differ by their number")
        if heads.keys_hold_values or heads.kv_heads != self.units:
            raise Uncut("its keys hold its values")
        stores = [
            each
            for each in self.program.operations
            if isinstance(each, Store) and each.heads.layer == heads.layer
        ]
        if len(stores) != 1:
            raise Uncut("its keys and values are another layer's")
        if op.sinks is not None:
            yield op.sinks, False
        self.seen.update(stores)
        for buffer in (op.q, stores[0].k, stores[0].v):
            yield from self.back(buffer)

    def _end(self) -> str:
        names = [op.w.weight.name for op in self.seen if isinstance(op, Product | ExpertProduct)]
        return names[0] if names else "the matrix"


def _parts(linear: Linear) -> Iterator[Weight]:
    """A matrix for each expert, and what stands beside it."""
    yield linear.weight
    for vector in (linear.bias, linear.scale):
        if vector is not None:
            yield vector


def _unique(pieces: Sequence[Piece]) -> tuple[Piece, ...]:
    return tuple(dict.fromkeys(pieces))
