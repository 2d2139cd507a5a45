"""Operator fusion: rewrites a recorded program so that several operators become one.

Each rule preserves the result: tests compare it with `ops.reference`, which runs the unfused
program. The fused operators are described in `ops.operations`, from `FUSED` on.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import zip_longest

from ops.interface import Rope, Routing
from ops.operations.attention import Angles, Attention, NormRopeStore, Rotate, Store
from ops.operations.base import Buffer, Operation, RowKind
from ops.operations.elementwise import (
    Add,
    Columns,
    Gate,
    Quantize,
    RoundToBf16,
    SelectOutputs,
    bf16_width,
)
from ops.operations.experts import Group, Route
from ops.operations.norms import RmsNorm, RmsNormQuantize
from ops.operations.products import ExpertProduct, HeadProduct, HeadRows, Product

Products = Product | ExpertProduct

GATES = ("silu", "gelu", "clamped_swiglu")
"""The activations of gates that are part of a product; others are operators of their own."""


def fuse(
    operations: Sequence[Operation],
    quantized: Collection[str],
    block_bytes: int,
    in_bf16: Mapping[str, int] | None = None,
    output: Buffer | None = None,
) -> list[Operation]:
    """An equivalent program with fewer passes over memory and fewer barriers.

    `quantized`: the weight formats whose products take quantized activations; `block_bytes`: the
    size of 32 quantized activations; `in_bf16`: the formats whose products take activations in
    BF16, and as how many terms each; `output`: what the program gives, which is written whoever
    else reads it.
    """
    fused = _fuse_gates(list(operations), output)
    fused = _fuse_adds(fused, output)
    fused = list(_quantize_inputs(fused, quantized, block_bytes))
    fused = list(_round_inputs(fused, in_bf16 or {}))
    fused = _fuse_norm_quantize(fused, output)
    fused = _fuse_norm_rope_store(list(_share_angles(fused)), output)
    return list(_group_by_head(_group_by_expert(fused)))


def readers_of(operations: Sequence[Operation], output: Buffer | None = None) -> Counter[Buffer]:
    """How many read each buffer: operators, and who runs the program its output."""
    readers = Counter(buffer for op in operations for buffer in op.inputs)
    if output is not None:
        readers[output] += 1
    return readers


def makers_of(operations: Sequence[Operation]) -> dict[Buffer, Operation]:
    """The operator that writes each buffer."""
    return {buffer: op for op in operations for buffer in op.outputs}


def _without(operations: list[Operation], fused: set[Operation]) -> list[Operation]:
    return [op for op in operations if op not in fused]


def _fuse_gates(operations: list[Operation], output: Buffer | None) -> list[Operation]:
    """Fuses two products of the same input into the gate that is their only reader."""
    readers, makers, fused_away = (
        readers_of(operations, output),
        makers_of(operations),
        set[Operation](),
    )
    for n, op in enumerate(operations):
        if not isinstance(op, Gate):
            continue
        gate, up = makers.get(op.gate), makers.get(op.up)
        if not isinstance(gate, Products) or not isinstance(up, Products):
            continue
        alone = max(readers[op.gate], readers[op.up]) == 1
        if alone and op.activation in GATES and _same_input_and_shape(gate, up):
            operations[n] = replace(gate, y=op.y, up=up.w, activation=op.activation)
            fused_away |= {gate, up}
    return _without(operations, fused_away)


def fuse_merged_gates(
    operations: Sequence[Operation], panel_rows: int, output: Buffer | None = None
) -> list[Operation]:
    """Fuses the product of experts whose gate and `up` are one matrix into the gate of its halves.

    `panel_rows`: how many rows a backend keeps together; each half has whole panels. To be called
    before `fuse`, by backends whose kernels know merged matrices.
    """
    readers, makers = readers_of(operations, output), makers_of(operations)
    fused, gone = list(operations), set[Operation]()
    for n, op in enumerate(operations):
        if not isinstance(op, Gate) or op.activation not in GATES or op.y.width % panel_rows:
            continue
        gate, up, width = makers.get(op.gate), makers.get(op.up), op.y.width
        if not isinstance(gate, Columns) or not isinstance(up, Columns) or gate.x is not up.x:
            continue
        product, alone = makers.get(gate.x), readers[op.gate] == readers[op.up] == 1
        halves = (gate.start, up.start, gate.x.width) == (0, width, 2 * width)
        if not isinstance(product, ExpertProduct) or product.w.bias is not None:
            continue
        if alone and halves and readers[gate.x] == 2:
            fused[n] = replace(product, y=op.y, activation=op.activation, merged=True)
            gone |= {gate, up, product}
    return _without(fused, gone)


def _same_input_and_shape(gate: Products, up: Products) -> bool:
    if type(gate) is not type(up) or gate.inputs != up.inputs:
        return False
    a, b = gate.w.weight, up.w.weight
    return a.format is b.format and (a.rows, a.columns) == (b.rows, b.columns)


def _fuse_adds(operations: list[Operation], output: Buffer | None) -> list[Operation]:
    """Fuses an addition into the product that is one of its terms and has no other reader."""
    readers, makers, fused_away = (
        readers_of(operations, output),
        makers_of(operations),
        set[Operation](),
    )
    for n, op in enumerate(operations):
        if not isinstance(op, Add):
            continue
        maker = makers.get(op.b)
        if not isinstance(maker, Product) or maker.up is not None or maker.added is not None:
            continue
        if readers[op.b] == 1 and maker not in fused_away:
            operations[n] = replace(maker, y=op.y, added=op.a)
            fused_away.add(maker)
    return _without(operations, fused_away)


def _quantize_inputs(
    operations: list[Operation], formats: Collection[str], block_bytes: int
) -> Iterator[Operation]:
    """Lets products with quantized weights read quantized activations, made once per input."""
    made: dict[Buffer, Buffer] = {}
    for op in operations:
        if not isinstance(op, Products | HeadProduct) or op.w.weight.format.name not in formats:
            yield op
            continue
        if op.x not in made:
            made[op.x] = op.x.like(op.x.width // 32 * block_bytes // 4)
            yield Quantize(op.x, made[op.x], layer=op.layer)
        yield replace(op, x=made[op.x])


def _round_inputs(operations: list[Operation], formats: Mapping[str, int]) -> Iterator[Operation]:
    """Lets products with weights of these formats read activations in BF16, made once per input."""
    made: dict[tuple[Buffer, int, int], Buffer] = {}
    for op in operations:
        if not isinstance(op, Products | HeadProduct) or op.w.weight.format.name not in formats:
            yield op
            continue
        columns, terms = op.w.weight.columns, formats[op.w.weight.format.name]
        key = op.x, columns, terms
        if key not in made:
            width = op.x.width // columns * bf16_width(columns, terms)
            made[key] = op.x.like(width)
            yield RoundToBf16(op.x, made[key], columns, terms, layer=op.layer)
        yield replace(op, x=made[key])


def _fuse_norm_quantize(operations: list[Operation], output: Buffer | None) -> list[Operation]:
    """Fuses a whole-row RMS norm with the quantization that is its only reader."""
    readers, makers, fused_away = (
        readers_of(operations, output),
        makers_of(operations),
        set[Operation](),
    )
    for n, op in enumerate(operations):
        if not isinstance(op, Quantize):
            continue
        norm = makers.get(op.x)
        if not isinstance(norm, RmsNorm) or readers[op.x] > 1:
            continue
        if norm.weights is not None and norm.width == op.x.width:
            operations[n] = RmsNormQuantize(norm.x, op.y, norm.weights, norm.eps, layer=norm.layer)
            fused_away.add(norm)
    return _without(operations, fused_away)


def _share_angles(operations: list[Operation]) -> Iterator[Operation]:
    """Computes the angles of rotary positions once per step instead of once per layer."""
    made: dict[tuple[Rope, RowKind], Buffer] = {}
    for op in operations:
        if not isinstance(op, Rotate):
            yield op
            continue
        key = op.rope, op.x.rows
        if key not in made:
            width = 2 * len(op.rope.frequencies) * (2 if op.rope.interleaved else 1)
            made[key] = Buffer(op.x.rows, 1, width)
            yield Angles(made[key], op.rope, layer=op.layer)
        yield replace(op, angles=made[key])


@dataclass(frozen=True, slots=True)
class _Head:
    """The operators between q's or k's product and attention: per-head norm, then rotation."""

    source: Buffer
    norm: RmsNorm | None = None
    rotate: Rotate | None = None

    @property
    def steps(self) -> set[Operation]:
        return {step for step in (self.norm, self.rotate) if step}


def _fuse_norm_rope_store(operations: list[Operation], output: Buffer | None) -> list[Operation]:
    """Fuses what is between the products and attention: norms, rotations, the cache store."""
    readers, makers, fused_away = (
        readers_of(operations, output),
        makers_of(operations),
        set[Operation](),
    )

    def trace(buffer: Buffer, width: int) -> _Head:
        """Follows attention's input back to the product's output."""
        maker = makers[buffer]
        rotate = maker if isinstance(maker, Rotate) and readers[buffer] == 1 else None
        before = rotate.x if rotate else buffer
        norm = makers[before]
        if not isinstance(norm, RmsNorm) or readers[before] > 1:
            return _Head(before, None, rotate)
        if norm.weights is None or norm.width != width:
            return _Head(before, None, rotate)
        return _Head(norm.x, norm, rotate)

    for n, (store, attention) in enumerate(zip_longest(operations, operations[1:])):
        if not isinstance(store, Store):
            continue
        heads = store.heads
        k = trace(store.k, heads.key_columns)
        if not isinstance(attention, Attention) or attention.q.rows != store.k.rows:
            # others are stored behind these, q has only the rows that are wanted, or there is none
            operations[n] = _norm_rope_store(store, None, k)
            fused_away |= k.steps
            continue
        q = trace(attention.q, heads.head_width)
        if not _can_share_operator(q, k):
            q = _Head(attention.q)
        fused = _norm_rope_store(store, q, k)
        assert fused.y is not None
        operations[n], operations[n + 1] = fused, replace(attention, q=fused.y)
        fused_away |= q.steps | k.steps
    return _without(operations, fused_away)


def _can_share_operator(q: _Head, k: _Head) -> bool:
    """One fused operator has one table of angles and one epsilon."""
    if q.rotate and (k.rotate is None or q.rotate.angles is not k.rotate.angles):
        return False
    return not (q.norm and k.norm and q.norm.eps != k.norm.eps)


def _norm_rope_store(store: Store, q: _Head | None, k: _Head) -> NormRopeStore:
    norm = k.norm or (q.norm if q else None)
    return NormRopeStore(
        q=q.source if q else None,
        k=k.source,
        v=store.v,
        y=q.source.like() if q else None,
        heads=store.heads,
        q_norm=q.norm.weights if q and q.norm else None,
        k_norm=k.norm.weights if k.norm else None,
        eps=norm.eps if norm else 0.0,
        rope=k.rotate.rope if k.rotate else None,
        angles=k.rotate.angles if k.rotate else None,
        rotates_q=q is not None and q.rotate is not None,
        layer=store.layer,
    )


def _group_by_expert(operations: list[Operation]) -> Iterator[Operation]:
    """Gives expert products the rows of each expert, beside the expert of each row."""
    made: dict[Buffer, tuple[Buffer, Buffer, Routing]] = {}
    for op in operations:
        if isinstance(op, ExpertProduct):
            order, starts, _ = made[op.ids]
            yield replace(op, order=order, starts=starts)
            continue
        yield op
        match op:
            case Route(ids=ids, routing=routing):
                pass
            case SelectOutputs(x=chosen, y=ids) if chosen in made:
                routing = made[chosen][2]
            case _:
                continue
        order = Buffer(ids.rows, ids.width, 1)
        starts = Buffer("step", 1, routing.experts + 1)
        made[ids] = order, starts, routing
        yield Group(ids, order, starts, routing, layer=op.layer)


def _group_by_head(operations: Iterable[Operation]) -> Iterator[Operation]:
    """Gives products of heads the rows of each head, computed once per step."""
    made: dict[int, tuple[Buffer, Buffer]] = {}
    for op in operations:
        if not isinstance(op, HeadProduct):
            yield op
            continue
        if op.heads not in made:
            made[op.heads] = Buffer("tokens", op.heads, 1), Buffer("step", 1, op.heads + 1)
            yield HeadRows(*made[op.heads], op.heads, layer=op.layer)
        order, starts = made[op.heads]
        yield replace(op, order=order, starts=starts)
