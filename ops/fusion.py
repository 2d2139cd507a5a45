"""Rewriting a recording for a backend: operators that follow each other become one.

Each rule keeps the meaning: `ops.reference`, which runs the model as it was written, is the oracle
of the result. The operators that come out are described in `ops.operations`, from `FUSED` on.
"""

from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace

from ops.interface import Rope
from ops.operations.attention import Angles, Attention, NormRopeStore, Rotate, Store
from ops.operations.base import Buffer, Operation
from ops.operations.elementwise import Add, Gate, Quantize
from ops.operations.experts import Group, Route
from ops.operations.norms import RmsNorm, RmsNormQuantize
from ops.operations.products import ExpertProduct, Product

Products = Product | ExpertProduct


def fuse(
    operations: Sequence[Operation], quantized: Collection[str], block_bytes: int
) -> list[Operation]:
    """The same results from fewer passes over memory, and fewer barriers.

    `quantized` are the formats whose products take quantized activations, `block_bytes` what 32 of
    those take.
    """
    fused = _gated(list(operations))
    fused = _added(fused)
    fused = list(_quantized(fused, quantized, block_bytes))
    fused = _normalised(fused)
    fused = _entered(list(_rotated(fused)))
    return list(_grouped(fused))


def readers_of(operations: Sequence[Operation]) -> Counter[Buffer]:
    """How many operators read each buffer."""
    return Counter(buffer for op in operations for buffer in op.inputs)


def makers_of(operations: Sequence[Operation]) -> dict[Buffer, Operation]:
    """The operator that writes each buffer."""
    return {buffer: op for op in operations for buffer in op.outputs}


def _without(operations: list[Operation], gone: set[Operation]) -> list[Operation]:
    return [op for op in operations if op not in gone]


def _gated(operations: list[Operation]) -> list[Operation]:
    """Two products of the same input that only a gate reads."""
    readers, makers, gone = readers_of(operations), makers_of(operations), set[Operation]()
    for n, op in enumerate(operations):
        if not isinstance(op, Gate):
            continue
        gate, up = makers.get(op.gate), makers.get(op.up)
        if not isinstance(gate, Products) or not isinstance(up, Products):
            continue
        if max(readers[op.gate], readers[op.up]) == 1 and _alike(gate, up):
            operations[n] = replace(gate, y=op.y, up=up.w, activation=op.activation)
            gone |= {gate, up}
    return _without(operations, gone)


def _alike(gate: Products, up: Products) -> bool:
    if type(gate) is not type(up) or gate.inputs != up.inputs:
        return False
    a, b = gate.w.weight, up.w.weight
    return a.format is b.format and (a.rows, a.columns) == (b.rows, b.columns)


def _added(operations: list[Operation]) -> list[Operation]:
    """A product that is only added to something."""
    readers, makers, gone = readers_of(operations), makers_of(operations), set[Operation]()
    for n, op in enumerate(operations):
        if not isinstance(op, Add):
            continue
        maker = makers.get(op.b)
        if not isinstance(maker, Product) or maker.up is not None or maker.added is not None:
            continue
        if readers[op.b] == 1 and maker not in gone:
            operations[n] = replace(maker, y=op.y, added=op.a)
            gone.add(maker)
    return _without(operations, gone)


def _quantized(
    operations: list[Operation], formats: Collection[str], block_bytes: int
) -> Iterator[Operation]:
    """Products with quantized weights read quantized activations, made once for all of them."""
    made: dict[Buffer, Buffer] = {}
    for op in operations:
        if not isinstance(op, Products) or op.w.weight.format.name not in formats:
            yield op
            continue
        if op.x not in made:
            made[op.x] = op.x.like(op.x.width // 32 * block_bytes // 4)
            yield Quantize(op.x, made[op.x], layer=op.layer)
        yield replace(op, x=made[op.x])


def _normalised(operations: list[Operation]) -> list[Operation]:
    """A norm of whole rows and the quantization that is its only reader."""
    readers, makers, gone = readers_of(operations), makers_of(operations), set[Operation]()
    for n, op in enumerate(operations):
        if not isinstance(op, Quantize):
            continue
        norm = makers.get(op.x)
        if not isinstance(norm, RmsNorm) or readers[op.x] > 1:
            continue
        if norm.w.weight.columns == op.x.width:
            operations[n] = RmsNormQuantize(norm.x, op.y, norm.w, norm.eps, layer=norm.layer)
            gone.add(norm)
    return _without(operations, gone)


def _rotated(operations: list[Operation]) -> Iterator[Operation]:
    """The angles of rotary positions are computed once a step, not once a layer."""
    made: dict[Rope, Buffer] = {}
    for op in operations:
        if not isinstance(op, Rotate):
            yield op
            continue
        if op.rope not in made:
            width = 2 * len(op.rope.frequencies) * (2 if op.rope.interleaved else 1)
            made[op.rope] = Buffer("tokens", 1, width)
            yield Angles(made[op.rope], op.rope, layer=op.layer)
        yield replace(op, angles=made[op.rope])


@dataclass(frozen=True, slots=True)
class _Head:
    """What becomes of q or k after its product: a norm of each head, then its rotation."""

    source: Buffer
    norm: RmsNorm | None = None
    rotate: Rotate | None = None

    @property
    def steps(self) -> set[Operation]:
        return {step for step in (self.norm, self.rotate) if step}


def _entered(operations: list[Operation]) -> list[Operation]:
    """All that stands between the products and attention, head by head."""
    readers, makers, gone = readers_of(operations), makers_of(operations), set[Operation]()

    def trace(buffer: Buffer, width: int) -> _Head:
        """From what attention takes back to what a product gave."""
        maker = makers[buffer]
        rotate = maker if isinstance(maker, Rotate) and readers[buffer] == 1 else None
        before = rotate.x if rotate else buffer
        norm = makers[before]
        if not isinstance(norm, RmsNorm) or readers[before] > 1 or norm.w.weight.columns != width:
            return _Head(before, None, rotate)
        return _Head(norm.x, norm, rotate)

    for n, store in enumerate(operations):
        if not isinstance(store, Store):
            continue
        attention, heads = operations[n + 1], store.heads
        assert isinstance(attention, Attention)
        q, k = trace(attention.q, heads.head_width), trace(store.k, heads.head_width)
        if not _enter_together(q, k):
            q = _Head(attention.q)
        entered = _norm_rope_store(store, q, k)
        operations[n], operations[n + 1] = entered, replace(attention, q=entered.y)
        gone |= q.steps | k.steps
    return _without(operations, gone)


def _enter_together(q: _Head, k: _Head) -> bool:
    """One operator has one table of angles and one epsilon."""
    if q.rotate and (k.rotate is None or q.rotate.angles is not k.rotate.angles):
        return False
    return not (q.norm and k.norm and q.norm.eps != k.norm.eps)


def _norm_rope_store(store: Store, q: _Head, k: _Head) -> NormRopeStore:
    norm = k.norm or q.norm
    return NormRopeStore(
        q=q.source,
        k=k.source,
        v=store.v,
        y=q.source.like(),
        heads=store.heads,
        q_norm=q.norm.w if q.norm else None,
        k_norm=k.norm.w if k.norm else None,
        eps=norm.eps if norm else 0.0,
        rope=k.rotate.rope if k.rotate else None,
        angles=k.rotate.angles if k.rotate else None,
        rotates_q=q.rotate is not None,
        layer=store.layer,
    )


def _grouped(operations: list[Operation]) -> Iterator[Operation]:
    """Expert products are told, beside each row's expert, the rows of each expert."""
    made: dict[Buffer, tuple[Buffer, Buffer]] = {}
    for op in operations:
        if isinstance(op, ExpertProduct):
            order, starts = made[op.ids]
            yield replace(op, order=order, starts=starts)
            continue
        yield op
        if isinstance(op, Route):
            order = Buffer("tokens", op.ids.width, 1)
            starts = Buffer("step", 1, op.routing.total + 1)
            made[op.ids] = order, starts
            yield Group(op.ids, order, starts, op.routing, layer=op.layer)
